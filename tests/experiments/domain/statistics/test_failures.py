"""Failures of both sides over the units that both executed."""

from experiments.domain.statistics.failures import FailedPair, count_failures, failed_pairs

EXECUTED = [f"d{number}" for number in range(200)]


def test_failures_are_counted_over_the_executed_units_and_tested_by_mcnemar() -> None:
    found = count_failures(EXECUTED, ["d0", "d1", "elsewhere"], [f"d{number}" for number in range(1, 10)])
    assert (found.executed, found.control, found.arm, found.both) == (200, 2, 9, 1)
    assert (found.only_control, found.only_arm) == (1, 8)
    assert found.p == 2 * (1 + 9) / 2**9
    assert found.arm_fails_more
    assert found.is_arm_worse(0.05)
    assert not found.is_arm_worse(0.01)


def test_an_arm_that_fails_less_is_never_the_worse_one() -> None:
    found = count_failures(EXECUTED, [f"d{number}" for number in range(30)], ["d0"])
    assert found.p < 0.001
    assert not found.arm_fails_more
    assert not found.is_arm_worse(0.05)


def test_the_failed_pairs_are_listed_with_their_sides() -> None:
    assert failed_pairs(EXECUTED, ["d3", "d1"], ["d3", "d2", "elsewhere"]) == [
        FailedPair("d1", True, False),
        FailedPair("d2", False, True),
        FailedPair("d3", True, True),
    ]
