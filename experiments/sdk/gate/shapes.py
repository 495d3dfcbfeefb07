"""What a gate is asked, what it checks and what it reports, as plain objects."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.gate.rules import Figures, plain

Outcome = Literal["passed", "failed", "undecided", "too_small", "missing_metric", "missing_baseline", "skipped"]
DEFAULT_AGGREGATE = "average"


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a run. Numbers are in each metric's own unit.

    `max_regressions`: how much worse than the baseline, against the metric's direction, ≥ 0. `minimums`, `maximums`:
    bounds of the aggregate. `pass_rate`: least share of datapoints that passed, 0..1. `max_crashed`: datapoints on
    which the function may have failed. `max_missing`: executions that may lack a value of a metric that is judged, as
    when its evaluator failed. `confidence`: 0.5..0.999, fail only on regressions that are not noise.
    `is_strict`: what stays undecided fails. `allows_missing_baseline`: without one, or without common datapoints,
    regressions are not judged.
    """

    max_regressions: Mapping[str, float] = field(default_factory=dict)
    minimums: Mapping[str, float] = field(default_factory=dict)
    maximums: Mapping[str, float] = field(default_factory=dict)
    pass_rate: float | None = None
    max_crashed: int = 0
    max_missing: int = 0
    confidence: float | None = None
    is_strict: bool = False
    allows_missing_baseline: bool = False
    aggregate_function: str = DEFAULT_AGGREGATE

    def __post_init__(self) -> None:
        bounds = [*self.max_regressions.values(), *self.minimums.values(), *self.maximums.values()]
        if not all(math.isfinite(bound) for bound in bounds):
            raise ConfigurationError("A bound of a gate must be a finite number.")
        for metric, allowed in self.max_regressions.items():
            if allowed < 0:
                raise ConfigurationError(f"The regression allowed of {metric!r} is {plain(allowed)}; give 0 or more.")
        if self.pass_rate is not None and not 0 <= self.pass_rate <= 1:
            raise ConfigurationError(f"The pass rate asked for is {plain(self.pass_rate)}; give a share from 0 to 1.")
        if self.confidence is not None and not 0.5 <= self.confidence <= 0.999:
            raise ConfigurationError(f"confidence is {plain(self.confidence)}; give a share from 0.5 to 0.999.")
        if self.confidence is not None and self.aggregate_function != DEFAULT_AGGREGATE:
            raise ConfigurationError(
                f"Intervals are of means: with confidence the aggregate function is {DEFAULT_AGGREGATE}, not "
                f"{self.aggregate_function}."
            )


@dataclass(frozen=True, slots=True)
class Check:
    """One rule, what came of it, and why, in one sentence."""

    rule: str
    outcome: Outcome
    message: str
    metric: str | None = None

    @property
    def is_uncertain(self) -> bool:
        """Neither passed nor failed: passes with a warning, fails under `is_strict`."""
        return self.outcome in ("undecided", "too_small")


@dataclass(frozen=True, slots=True)
class GateReport:
    """What was checked and decided. `figures` are the compared metrics; links are None where no console is known."""

    run_id: str
    run_name: str
    run_link: str | None
    baseline_id: str | None
    baseline_name: str | None
    comparison_link: str | None
    confidence: float | None
    is_strict: bool
    checks: list[Check]
    figures: list[Figures]
    warnings: list[str]

    @property
    def failures(self) -> list[Check]:
        """The checks that stop the run."""
        return [check for check in self.checks if self.stops(check)]

    @property
    def passed(self) -> bool:
        """Whether the run may go on."""
        return not self.failures

    def stops(self, check: Check) -> bool:
        """Whether this check fails the gate."""
        if check.is_uncertain:
            return self.is_strict
        return check.outcome not in ("passed", "skipped")

    def to_json(self) -> dict[str, Any]:
        """The report as one JSON document."""
        checks = [{**asdict(check), "stops": self.stops(check)} for check in self.checks]
        return {"passed": self.passed, **asdict(self), "checks": checks}
