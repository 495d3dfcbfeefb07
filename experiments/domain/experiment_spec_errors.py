"""Reads the specification of an experiment; what is wrong with it becomes one refusal of path, value and remedy.

REST, the command line, schedules and the console all read specifications through here.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.thresholds import number
from governance.domain.errors import InvalidInput
from governance.domain.spec_faults import no_mapping, refused_spec

_NUMBERS = ("dataset_version", "repetitions", "concurrency", "deadline_seconds", "seed")
_RETRY_NUMBERS = ("max_attempts", "first_delay_seconds", "longest_delay_seconds")


def read_experiment_spec(data: Any) -> ExperimentSpec:
    """The specification, checked whole. Raises `InvalidInput` as `refused_spec` words it."""
    if not isinstance(data, Mapping):
        raise no_mapping(data, "name, dataset_id and target")
    try:
        spec = ExperimentSpec.model_validate(data)
    except ValidationError as error:
        raise refused_spec(error, ExperimentSpec) from None
    _require_no_flags(data)
    _require_sense(spec)
    return spec


def _require_no_flags(data: Mapping[str, Any]) -> None:
    """Python takes true for 1; whoever writes `repetitions: true` means something else."""
    retry, target = data.get("retry"), data.get("target")
    said = {name: data.get(name) for name in _NUMBERS}
    if isinstance(retry, Mapping):
        said |= {f"retry.{name}": retry.get(name) for name in _RETRY_NUMBERS}
    if isinstance(target, Mapping):
        said["target.version"] = target.get("version")
    bounds = data.get("bounds")
    for metric, pair in (bounds if isinstance(bounds, Mapping) else {}).items():
        said |= {f"bounds.{metric[:200]}.{place}": value for place, value in enumerate(pair)}
    for field, value in said.items():
        if isinstance(value, bool):
            raise InvalidInput(f"Field {field!r} is {value}: give a number.", field=field, value=value)


def _require_sense(spec: ExperimentSpec) -> None:
    """What no single field can tell."""
    for metric, (low, high) in spec.bounds.items():
        if not low < high:
            raise InvalidInput(
                f"Field 'bounds.{metric[:200]}' is [{low}, {high}]: give the lowest value first, then the highest.",
                field=f"bounds.{metric[:200]}",
            )
    for metric, bounds in spec.passing_ranges.items():
        _require_range(f"passing_ranges.{metric[:200]}", bounds)
    retry = spec.retry
    if retry.first_delay_seconds > retry.longest_delay_seconds:
        raise InvalidInput(
            f"Field 'retry.first_delay_seconds' is {retry.first_delay_seconds}: it must not be above "
            f"longest_delay_seconds, which is {retry.longest_delay_seconds}.",
            field="retry.first_delay_seconds",
            value=retry.first_delay_seconds,
        )


def _require_range(field: str, bounds: Any) -> None:
    """A rule that nobody can read would let everything pass."""
    known = {"min", "max"}
    if not isinstance(bounds, Mapping) or not bounds or set(bounds) - known:
        strange = sorted(set(bounds) - known) if isinstance(bounds, Mapping) else []
        field += f".{str(strange[0])[:100]}" if strange else ""
        raise InvalidInput(f'Field {field!r}: give {{"min": number}}, {{"max": number}} or both.', field=field)
    for name, bound in bounds.items():
        if isinstance(bound, bool) or number(bound) is None:
            raise InvalidInput(
                f"Field '{field}.{name}' is {str(bound)[:100]!r}: give a number.",
                field=f"{field}.{name}",
                value=str(bound)[:100],
            )
    if len(bounds) == 2 and bounds["min"] > bounds["max"]:
        raise InvalidInput(
            f"Field '{field}.min' is {bounds['min']} and max is {bounds['max']}: nothing could pass.",
            field=f"{field}.min",
            value=bounds["min"],
        )
