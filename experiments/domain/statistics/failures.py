"""Units that failed, on either side of a comparison: counted and tested, so that they do not vanish from a verdict."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from experiments.domain.statistics.binary import mcnemar_exact


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed units among the `executed` ones, which both sides ran. `p` is exact McNemar's, two-sided.

    p is None where it must not be shown yet: of runs in progress.
    """

    executed: int
    control: int
    arm: int
    both: int
    only_control: int
    only_arm: int
    p: float | None
    mid_p: float | None

    @property
    def arm_fails_more(self) -> bool:
        """More failed units on the arm's side, however sure that is."""
        return self.only_arm > self.only_control

    def is_arm_worse(self, alpha: float) -> bool:
        """Whether the arm is shown to fail more, at `alpha`."""
        return self.arm_fails_more and self.p is not None and self.p <= alpha

    def to_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class FailedPair:
    """One unit that failed on at least one side."""

    unit: str
    failed_control: bool
    failed_arm: bool


def count_failures(executed: Collection[str], failed_control: Collection[str], failed_arm: Collection[str]) -> Failures:
    """Failures of both sides over all `executed` units; those of units that only one side ran do not count."""
    units = frozenset(executed)
    control, arm = units.intersection(failed_control), units.intersection(failed_arm)
    only_control, only_arm = len(control - arm), len(arm - control)
    test = mcnemar_exact(only_control, only_arm)
    return Failures(
        executed=len(units),
        control=len(control),
        arm=len(arm),
        both=len(control & arm),
        only_control=only_control,
        only_arm=only_arm,
        p=test.p,
        mid_p=test.mid_p,
    )


def failed_pairs(
    executed: Collection[str], failed_control: Collection[str], failed_arm: Collection[str]
) -> list[FailedPair]:
    """The executed units that failed somewhere, ascending."""
    units = frozenset(executed)
    control, arm = units.intersection(failed_control), units.intersection(failed_arm)
    return [FailedPair(unit, unit in control, unit in arm) for unit in sorted(control | arm)]
