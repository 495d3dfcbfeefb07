"""What a comparison of two runs knows beside its figures: plan, failures, binary pairs, margins, corrections."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from experiments.domain.statistics.binary import BinaryPairs
from experiments.domain.statistics.failures import Failures
from experiments.domain.statistics.plan import Plan

FailureRule = Literal["any", "more"]
Missing = Literal["leave_out", "worst"]


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """Whether the arm is shown not to be worse by more than `margin`; `p` is one-sided, None where undefined."""

    margin: float
    p: float | None
    adjusted_p: float | None
    is_shown: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The comparison again, with `value` in the place of each score that only the arm failed to give."""

    value: float
    filled: int
    difference: float
    p: float
    is_equivalent: bool
    is_not_worse: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """Beside the figures of one metric. `filled_*` counts the units scored `filled_with` (`missing="worst"`).

    `holm_p` and `benjamini_hochberg_p` are adjusted over all metrics compared together, whichever of them decides.
    `lacking` counts what failed together with what one side alone scored, of this metric: an evaluator that gives up
    on hard units hides them as a crash does. `worst_case` is there when the arm lacks more and that is left out.
    """

    plan: Plan
    failures: Failures
    failure_rule: FailureRule
    missing: Missing
    lacking: Failures | None = None
    filled_control: int = 0
    filled_arm: int = 0
    filled_with: float | None = None
    binary: BinaryPairs | None = None
    noninferiority: NonInferiority | None = None
    worst_case: WorstCase | None = None
    holm_p: float | None = None
    benjamini_hochberg_p: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Every field by its name, in a fixed order."""
        return {**asdict(self), "plan": self.plan.to_json()}

    def shows_failing(self, alpha: float) -> bool:
        """Whether exact McNemar shows that the arm fails, or lacks scores, more, while that is left out."""
        return self.missing == "leave_out" and (self.lacking or self.failures).is_arm_worse(alpha)

    def withholds(self, claim: Literal["better", "equivalent", "not_worse"], *, alpha: float, sign: int) -> bool:
        """Whether failures of the arm forbid this claim in its favour; `sign` is 1 where more is better, else −1.

        They do while exact McNemar shows at `alpha` that the arm lacks more, and while it lacks more by count and the
        claim would not survive the worst case. With `missing="worst"` failures have scores, and forbid nothing.
        """
        if self.shows_failing(alpha):
            return True
        worst = self.worst_case  # there only while the arm lacks more and that is left out
        if worst is None or not worst.filled:
            return False
        if claim == "better":
            return not (worst.p <= alpha and worst.difference * sign > 0)
        return not (worst.is_equivalent if claim == "equivalent" else worst.is_not_worse)
