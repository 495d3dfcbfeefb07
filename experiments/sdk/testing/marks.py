"""What `@pytest.mark.experiment(...)` says: checked; marks of module, class and test put together, the nearest wins."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from experiments.sdk import datasets
from experiments.sdk.errors import ConfigurationError
from experiments.sdk.pytest_plugin import MARK
from experiments.sdk.running.conducting import asserted_ranges, resolved_evaluators

DATAPOINT = "datapoint"
DEFAULT_NAME = "pytest"
LONGEST_NAME = 200  # of a run: the server takes 255, and the dataset's id is made of it
_KNOWN = ("name", "dataset", "evaluators", "passing_ranges", "min_pass_rate", "baseline", "max_regression", "metadata")
_OF_THE_RUN = ("min_pass_rate", "baseline", "max_regression", "metadata")


@dataclass(frozen=True)
class Options:
    """One test's mark. `ranges` are the bounds that the test is held against, `of_run` what its run is held against."""

    name: str
    evaluators: list[Any] = field(default_factory=list)
    ranges: dict[str, dict[str, float]] = field(default_factory=dict)
    of_run: dict[str, Any] = field(default_factory=dict)


def options_of(item: pytest.Item) -> Options:
    """The options of a marked test. Raises pytest.UsageError naming the test and the remedy."""
    try:
        found = _merged(item.iter_markers(MARK))
        evaluators = resolved_evaluators(_listed(found.get("evaluators")))
        ranges = {**asserted_ranges(evaluators), **_checked_ranges(found.get("passing_ranges"))}
        of_run = {key: found[key] for key in _OF_THE_RUN if found.get(key) is not None}
        _check_run(of_run)
        return Options(_name(found.get("name")), evaluators, ranges, of_run)
    except ValueError as error:  # ConfigurationError is one
        raise pytest.UsageError(f"{item.nodeid}: {error}") from None


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Make a test of each datapoint of the mark's dataset, when it has one."""
    try:
        dataset = _merged(metafunc.definition.iter_markers(MARK)).get("dataset")
        if dataset is None:
            return
        if isinstance(dataset, str | Path):
            dataset = metafunc.definition.path.parent / dataset  # like other files of a test
        rows = datasets.load(dataset)
        if DATAPOINT not in metafunc.fixturenames:
            raise ConfigurationError(f"the mark has a dataset; give the test an argument named {DATAPOINT!r}.")
    except ConfigurationError as error:
        pytest.fail(f"{metafunc.definition.nodeid}: {error}", pytrace=False)
    metafunc.parametrize(DATAPOINT, rows, ids=[_row_id(row, index) for index, row in enumerate(rows)])


def agreed(options: Iterable[tuple[str, Options]]) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """(what the run is held against, its passing ranges) of all tests of one run, as (node id, options).

    Raises pytest.UsageError when two tests say different things about their run.
    """
    of_run: dict[str, Any] = {}
    ranges: dict[str, dict[str, float]] = {}
    said_by: dict[str, str] = {}
    for nodeid, each in options:
        for target, given, word in ((of_run, each.of_run, ""), (ranges, each.ranges, "passing_ranges of ")):
            for key, value in given.items():
                if target.setdefault(key, value) != value:
                    raise pytest.UsageError(
                        f"{nodeid}: {word}{key} is {value!r}, but {target[key]!r} in {said_by[word + key]}; all tests "
                        f"of experiment {each.name!r} are one run. Say the same in both, or give one another name."
                    )
                said_by.setdefault(word + key, nodeid)
    return of_run, ranges


def _merged(marks: Iterable[pytest.Mark]) -> dict[str, Any]:
    """Keywords of all marks of a test; pytest gives the nearest one first."""
    found: dict[str, Any] = {}
    for mark in marks:
        if mark.args:
            raise ConfigurationError("the mark takes keywords only, like @pytest.mark.experiment(name='capitals').")
        for key, value in mark.kwargs.items():
            if key not in _KNOWN:
                near = difflib.get_close_matches(key, _KNOWN, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; it knows {', '.join(_KNOWN)}."
                raise ConfigurationError(f"the mark does not know {key!r}{hint}")
            found.setdefault(key, value)
    return found


def _name(value: Any) -> str:
    if value is None:
        return DEFAULT_NAME
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_NAME:
        raise ConfigurationError(f"name={value!r} must be a text of at most {LONGEST_NAME} characters.")
    return value.strip()


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _checked_ranges(value: Any) -> dict[str, dict[str, float]]:
    """Bounds by metric; a number alone is a minimum."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"passing_ranges={value!r} must be like {{'accuracy': {{'min': 0.8}}}}.")
    found: dict[str, dict[str, float]] = {}
    for metric, bounds in value.items():
        bounds = {"min": bounds} if _is_number(bounds) else bounds
        if not isinstance(bounds, Mapping) or not bounds or not bounds.keys() <= {"min", "max"}:
            raise ConfigurationError(f"passing_ranges[{metric!r}]={bounds!r} must have 'min', 'max' or both.")
        given = {key: bound for key, bound in bounds.items() if bound is not None}
        if not all(_is_number(bound) for bound in given.values()):
            raise ConfigurationError(f"passing_ranges[{metric!r}]={bounds!r}: bounds are numbers.")
        found[str(metric)] = given
    return found


def _check_run(of_run: Mapping[str, Any]) -> None:
    rate, regressions = of_run.get("min_pass_rate"), of_run.get("max_regression")
    if rate is not None and not (_is_number(rate) and 0 <= rate <= 1):
        raise ConfigurationError(f"min_pass_rate={rate!r} must be a number from 0 to 1.")
    if regressions is not None:
        is_mapping = isinstance(regressions, Mapping)
        if not is_mapping or not all(_is_number(bound) and bound >= 0 for bound in regressions.values()):
            raise ConfigurationError(f"max_regression={regressions!r} must be like {{'accuracy': 0.02}}.")
        if of_run.get("baseline") is None:
            raise ConfigurationError("max_regression needs baseline=, a run id or latest:BRANCH.")
    metadata = of_run.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ConfigurationError(f"metadata={metadata!r} must be a dict.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _row_id(row: Mapping[str, Any], index: int) -> str:
    own = row.get("id", row.get("datapoint_id"))
    return str(index if own is None else own)
