"""Figures of one metric of two runs as servers send them, and how a gate decides on them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from experiments.sdk.models import MetricComparison

TOLERANCE = 1e-9  # 0.80 − 0.78 is a little more than 0.02 in binary
RUN, BASELINE = "the run", "the baseline"
IntervalOutcome = Literal["passed", "failed", "undecided", "too_small"]


@dataclass(frozen=True, slots=True)
class Figures:
    """One metric of two runs; differences are new − old, None is undefined.

    `interval_*`, `pairs`, `more_pairs`, `verdict`, `sentence` come from the statistics of hhweb and are of the common
    datapoints; without them `old` and `new` are the aggregates of the whole runs.
    """

    metric: str
    direction: str
    old: float | None
    new: float | None
    difference: float | None
    pairs: int
    missing_in: str = ""
    interval_low: float | None = None
    interval_high: float | None = None
    level: float | None = None
    more_pairs: int | None = None
    verdict: str | None = None
    sentence: str | None = None
    remarks: tuple[str, ...] = ()
    p: float | None = None  # of the paired permutation test of no change
    failing: str = ""  # how much more often the run fails than the baseline, where the server shows that it does

    @property
    def is_in_both(self) -> bool:
        """Whether both runs have values of it."""
        return not self.missing_in

    @property
    def gain(self) -> float | None:
        """The difference, positive when the new run is better."""
        return None if self.difference is None else self.difference * self.sign

    @property
    def sign(self) -> int:
        """−1 for metrics that are better when lower."""
        return -1 if self.direction == "lower" else 1

    @property
    def gain_interval(self) -> tuple[float, float] | None:
        """The interval of `gain`, None where undefined."""
        if self.interval_low is None or self.interval_high is None:
            return None
        ends = sorted((self.interval_low * self.sign, self.interval_high * self.sign))
        return ends[0], ends[1]

    @classmethod
    def of_protocol(cls, found: "MetricComparison") -> "Figures":
        """From one metric of a comparison of the protocol."""
        old, new, difference = found.old_aggregate, found.new_aggregate, found.difference
        if difference is None and old is not None and new is not None:
            difference = new - old
        return cls(
            metric=found.metric_name,
            direction=found.direction or "higher",
            old=old,
            new=new,
            difference=difference,
            pairs=found.found_count or 0,
            missing_in=BASELINE if old is None else RUN if new is None else "",
        )

    @classmethod
    def of_one_side(cls, entry: Mapping[str, Any]) -> "Figures":
        """From one entry of `only_in_one` of hhweb's statistical comparison."""
        missing_in = RUN if entry["presence"] == "old" else BASELINE
        return cls(entry["metric_name"], "higher", None, None, None, 0, missing_in=missing_in)

    @classmethod
    def of_statistics(cls, entry: Mapping[str, Any]) -> "Figures":
        """From one entry of `metrics` of hhweb's statistical comparison; both runs have the metric."""
        found = entry["statistics"]
        ends = found["interval_low"], found["interval_high"]
        if ends == (None, None) and found.get("sd") == 0 and found.get("is_complete"):
            # All differences are equal, so the server knows no spread; the gate takes them as they are: a run that is
            # worse by the same on every datapoint must not pass for want of an interval.
            ends = found["difference"], found["difference"]
        return cls(
            metric=entry["metric_name"],
            direction=entry["direction"],
            old=found["control_mean"],
            new=found["arm_mean"],
            difference=found["difference"],
            pairs=found["n_common"],
            interval_low=ends[0],
            interval_high=ends[1],
            level=found["interval_level"],
            more_pairs=found["more_queries"],
            verdict=found["verdict"],
            sentence=found["sentence"],
            remarks=tuple(found["warnings"]),
            p=found["p"],
            failing=_failing(found.get("evidence") or {}, found["alpha"]),
        )


def _failing(evidence: Mapping[str, Any], alpha: float) -> str:
    """The sentence on failures where exact McNemar shows that the run fails more; empty otherwise."""
    failures = evidence.get("lacking") or evidence.get("failures")
    if not failures or evidence.get("missing") == "worst":
        return ""
    if failures["only_arm"] <= failures["only_control"] or failures["p"] is None or failures["p"] > alpha:
        return ""
    return (
        f"Yet {failures['arm']:,} common datapoints failed or have no score in the run, {failures['control']:,} in the "
        f"baseline (p = {failures['p']:.3f}): what has none could not be compared."
    )


def by_name(figures: Iterable[Figures]) -> dict[str, list[Figures]]:
    """What there is of each metric, by its name; what both runs have alone where there is any.

    As in the protocol, of several events the last is the one nearest to the session.
    """
    found: dict[str, list[Figures]] = {}
    for each in figures:
        found.setdefault(each.metric, []).append(each)
    return {name: [each for each in several if each.is_in_both][-1:] or several for name, several in found.items()}


def absence(metric: str, found: list[Figures]) -> str | None:
    """Why a metric cannot be compared, in one sentence; None when both runs have it."""
    if any(each.is_in_both for each in found):
        return None
    missing = {each.missing_in for each in found}
    if missing == {RUN, BASELINE}:
        return (
            f"Both runs have {metric!r}, but on different events: it is compared where function and session are "
            "named alike."
        )
    where = next(iter(missing)).capitalize() if missing else "Neither run"
    return f"{where} has {'' if where.startswith('Neither') else 'no '}values of {metric!r}."


def decided_by_difference(found: Figures, allowed: float, tolerance: float) -> tuple[bool, str]:
    """Whether the plain difference stays within the regression allowed, and the sentence that says so."""
    gain = found.gain or 0.0
    said = (
        f"From {plain(found.old)} to {plain(found.new)}: {moved(gain)} ({found.direction} is better), {_pairs(found)}."
    )
    return gain >= -allowed - tolerance * max(1.0, abs(allowed)), said


def decided_by_interval(found: Figures, allowed: float, least: int, tolerance: float) -> tuple[IntervalOutcome, str]:
    """What the interval [low, high] of the gain says of a regression of at most `allowed`.

    Without interval although there are pairs enough the server withholds it, and says why: a run is not complete.
    high < −allowed: failed, even the most favourable end is too low, if the paired test calls the change more than
    noise, too: of rare changes a bootstrap interval is too short (three of a hundred answers fall and none rises: the
    interval excludes 0, p is 0.25). low ≥ −allowed: passed, unless the run is shown to fail more often. Else
    undecided, and too_small when more datapoints would help. Fewer than `least` pairs are too small whatever the
    interval.
    """
    ends = found.gain_interval
    pairs = _pairs(found)
    if ends is None and found.pairs >= least and found.sentence:
        return "undecided", f"{found.sentence[:1].upper()}{found.sentence[1:]}"
    if found.pairs < least or ends is None:
        return "too_small", (
            f"Too small a sample: {pairs}; no paired test of fewer than {least} can reach this confidence."
        )
    low, high = ends
    said = (
        f"{moved(found.gain or 0.0).capitalize()}, {100 * (found.level or 0):g} % interval of the gain "
        f"[{plain(low)}, {plain(high)}], {pairs}, {found.direction} is better."
    )
    slack = tolerance * max(1.0, abs(allowed))
    is_below = high < -allowed - slack
    # A test of "no change" holds for every larger regression, too.
    is_noise = found.p is not None and found.p > 1 - (found.level or 0.95) + 1e-12
    if is_below and not is_noise:
        return "failed", f"{said} All of it lies below {plain(-allowed)}."
    if is_below:
        said += f" The paired test takes it for noise (p = {found.p:.3f})."
    if low >= -allowed - slack:
        # Datapoints that crashed have no score: leaving them out must not make a run look good.
        return ("undecided", f"{said} {found.failing}") if found.failing else ("passed", said)
    if found.more_pairs:
        size = f"a regression of {plain(allowed)}" if allowed else "the difference seen"
        return "too_small", (
            f"Too small a sample. {said} About {found.more_pairs:,} more datapoints would be needed to tell {size} "
            "from noise."
        )
    where = "" if is_below else f" It reaches on both sides of {plain(-allowed)}."
    return "undecided", f"Undecided. {said}{where}"


def least_pairs(confidence: float) -> int:
    """The fewest pairs of which a two-sided sign-flip test can reach p ≤ 1 − confidence: 2 · 2^−n. 95 %: 6."""
    return math.ceil(1 + math.log2(1 / (1 - confidence)) - 1e-9)


def plain(value: float | None) -> str:
    """Four significant digits, all digits before the point, a real minus; a dash for what is undefined."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    return text.replace("-", "−") if value else "0"


def moved(gain: float) -> str:
    """`better by 0.02`, `worse by 0.02`, `unchanged`."""
    return f"{'better' if gain > 0 else 'worse'} by {plain(abs(gain))}" if gain else "unchanged"


def _pairs(found: Figures) -> str:
    return f"{found.pairs:,} common datapoint{'' if found.pairs == 1 else 's'}"
