"""Reads the specification of an experiment; what is wrong with it becomes one refusal of path, value and remedy.

REST, the command line, schedules and the console all read specifications through here.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from experiments.domain.experiment_spec import ExperimentSpec
from governance.domain.errors import InvalidInput
from governance.domain.spec_faults import no_mapping, refused_spec


def read_experiment_spec(data: Any) -> ExperimentSpec:
    """The specification, checked whole. Raises `InvalidInput` as `refused_spec` words it."""
    if not isinstance(data, Mapping):
        raise no_mapping(data, "name, dataset_id and target")
    try:
        spec = ExperimentSpec.model_validate(data)
    except ValidationError as error:
        raise refused_spec(error, ExperimentSpec) from None
    _require_sense(spec)
    return spec


def _require_sense(spec: ExperimentSpec) -> None:
    """What no single field can tell."""
    for metric, (low, high) in spec.bounds.items():
        if not low < high:
            raise InvalidInput(
                f"Field 'bounds.{metric[:200]}' is [{low}, {high}]: give the lowest value first, then the highest.",
                field=f"bounds.{metric[:200]}",
            )
    retry = spec.retry
    if retry.first_delay_seconds > retry.longest_delay_seconds:
        raise InvalidInput(
            f"Field 'retry.first_delay_seconds' is {retry.first_delay_seconds}: it must not be above "
            f"longest_delay_seconds, which is {retry.longest_delay_seconds}.",
            field="retry.first_delay_seconds",
            value=retry.first_delay_seconds,
        )
