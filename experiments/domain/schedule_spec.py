"""What a schedule takes: its rhythm, what the started experiments are compared with, and what to start."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.experiment_spec_errors import read_experiment_spec
from governance.domain.errors import DomainError, InvalidInput
from governance.domain.spec_faults import no_mapping, refused_spec

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)]
Zone = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoBaseline(_Part):
    """Compare with nothing."""

    kind: Literal["none"] = "none"


class BaselineRun(_Part):
    """Compare with one run, always the same."""

    kind: Literal["run"] = "run"
    run_id: Annotated[str, StringConstraints(min_length=1, max_length=255)]


class LatestWithTag(_Part):
    """Compare with the last completed run of the project that carries the tag."""

    kind: Literal["latest_with_tag"] = "latest_with_tag"
    tag: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class PreviousRun(_Part):
    """Compare with the last completed run of the schedule itself."""

    kind: Literal["previous"] = "previous"


Baseline = Annotated[NoBaseline | BaselineRun | LatestWithTag | PreviousRun, Field(discriminator="kind")]


class ScheduleBody(_Part):
    """A new schedule. `spec` is that of `POST /api/v1/experiments`, without `baseline_run_id`."""

    name: Name
    crontab: Line
    timezone: Zone = "UTC"
    baseline: Baseline = Field(default_factory=NoBaseline)
    is_enabled: bool = True
    spec: dict[str, Any]


class ScheduleChanges(_Part):
    """What to change; what is left out stays."""

    name: Name | None = None
    crontab: Line | None = None
    timezone: Zone | None = None
    baseline: Baseline | None = None
    is_enabled: bool | None = None
    spec: dict[str, Any] | None = None


class _BaselineOnly(_Part):
    baseline: Baseline


def read_baseline(data: Any) -> NoBaseline | BaselineRun | LatestWithTag | PreviousRun:
    """A stored or typed baseline, checked. Raises `InvalidInput` naming `baseline` or what in it is wrong."""
    try:
        return _BaselineOnly.model_validate({"baseline": data}).baseline
    except ValidationError as error:
        raise refused_spec(error, _BaselineOnly) from None


def read_schedule(data: Any) -> ScheduleBody:
    """The body of a create. Raises `InvalidInput` naming the path that was typed."""
    if not isinstance(data, Mapping):
        raise no_mapping(data, "name, crontab and spec")
    try:
        return ScheduleBody.model_validate(data)
    except ValidationError as error:
        raise refused_spec(error, ScheduleBody) from None


def read_changes(data: Any) -> ScheduleChanges:
    """The body of a change; a null is no value. Raises `InvalidInput` naming the path that was typed."""
    if not isinstance(data, Mapping):
        raise no_mapping(data, "what is to change")
    for name, value in data.items():
        if value is None and name in ScheduleChanges.model_fields:
            raise InvalidInput(
                f"Field {name!r} is null; give it a value, or leave it out to keep what it is.", field=name
            )
    try:
        return ScheduleChanges.model_validate(data)
    except ValidationError as error:
        raise refused_spec(error, ScheduleChanges) from None


def read_spec(data: Any) -> ExperimentSpec:
    """The specification inside a schedule; refusals name the path as it was typed there: `spec.target.url`."""
    with inside_spec():
        return read_experiment_spec(data)


@contextmanager
def inside_spec() -> Iterator[None]:
    """Refusals about a field of the specification name it as it stands in a schedule."""
    try:
        yield
    except DomainError as error:
        name = error.details.get("field")
        if isinstance(name, str):
            error.details["field"] = f"spec.{name}"
            error.message = error.message.replace(f"Field {name!r}", f"Field 'spec.{name}'", 1)
        for problem in error.details.get("problems") or ():
            problem["field"] = f"spec.{problem['field']}"
        raise
