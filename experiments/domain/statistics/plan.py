"""How thoroughly a comparison is computed, by how many pairs there are."""

from dataclasses import dataclass
from typing import Any, Literal

from experiments.domain.statistics.intervals import DEFAULT_RESAMPLES

THOROUGH_PAIRS = 2_000  # of one metric; about 0.2 s each
THOROUGH_PAIRS_IN_ALL = 40_000  # of all metrics of one answer
THOROUGH_FLIPS = 99_999
QUICK_FLIPS = 9_999


@dataclass(frozen=True, slots=True)
class Plan:
    """Random flips of the permutation test, kind of interval, and resamples of the bootstrap (0 for t)."""

    flips: int
    interval: Literal["bca", "t"]
    resamples: int

    @property
    def text(self) -> str:
        """The plan in words, for the answer."""
        if self.interval == "bca":
            return f"{self.flips:,} random flips (all where 16 pairs or fewer differ) and a BCa bootstrap interval"
        return f"{self.flips:,} random flips and a t interval, because there are many pairs"

    def to_json(self) -> dict[str, Any]:
        """Every field and the text."""
        return {"flips": self.flips, "interval": self.interval, "resamples": self.resamples, "text": self.text}


THOROUGH = Plan(THOROUGH_FLIPS, "bca", DEFAULT_RESAMPLES)
QUICK = Plan(QUICK_FLIPS, "t", 0)


def plan_of(pairs: int, *, pairs_in_all: int | None = None) -> Plan:
    """The plan for a metric of `pairs` pairs in an answer of `pairs_in_all` (all its metrics together).

    Up to 2,000 pairs, and 40,000 in all, 99,999 flips and BCa; above 9,999 flips and t, whose normal approximation
    is good there. Raises ValueError for negative counts.
    """
    total = pairs if pairs_in_all is None else pairs_in_all
    if pairs < 0 or total < pairs:
        raise ValueError(f"pairs must lie in 0..pairs_in_all, got {pairs} of {total}.")
    return THOROUGH if pairs <= THOROUGH_PAIRS and total <= THOROUGH_PAIRS_IN_ALL else QUICK
