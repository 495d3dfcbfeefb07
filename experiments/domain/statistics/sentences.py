"""Verdicts in plain English: one sentence for each comparison, with its numbers rounded for people."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.domain.statistics.comparison import PairedComparison
    from experiments.domain.statistics.evidence import Evidence

FEW_PAIRS = 30  # fewer than this are called few
SINGULAR = {"queries": "query"}


def sentence_of(comparison: "PairedComparison") -> str:
    """What was found, by how much, how surely and on how many units; for `undecided` why, and what would decide it."""
    if comparison.verdict in ("better", "worse"):
        return _decided(comparison)
    if comparison.verdict == "equivalent":
        return _equivalent(comparison)
    return f"undecided: {_undecided(comparison)}"


def _decided(found: "PairedComparison") -> str:
    verb = "beats" if found.verdict == "better" else "loses to"
    size = rounded(abs(found.difference or 0.0))
    return (
        f"{found.arm} {verb} {found.control} by {size} {found.metric}{_interval(found)}, {_p(found)}, {_units(found)}."
    )


def _equivalent(found: "PairedComparison") -> str:
    within = f"{found.arm} is equivalent to {found.control} within {declared(found.margin or 0.0)} {found.metric}"
    if found.equivalence_p is None:
        return f"{within}: the difference is the same, {rounded(found.difference or 0.0)}, on all {_units(found)}."
    p = found.equivalence_p if found.adjusted_equivalence_p is None else found.adjusted_equivalence_p
    return (
        f"{within}: difference {rounded(found.difference or 0.0)}{_interval(found)}, TOST {p_text(p)}, {_units(found)}."
    )


def _undecided(found: "PairedComparison") -> str:
    if found.reason == "incomplete":
        if found.evidence is not None and not found.is_complete:
            return f"{found.arm} or {found.control} is not complete; let both end before judging."
        if found.evidence is not None and found.evidence.failure_rule == "more":
            return _withheld(found, found.evidence)
        return f"{_gaps(found)}; retry before judging."
    if not found.n_common:
        return f"{found.control} and {found.arm} have no {found.units_word} in common."
    seen = (
        f"difference {rounded(found.difference or 0.0)} {found.metric}{_interval(found)}, {_p(found)}, {_units(found)}"
    )
    return f"{seen}; {_remedy(found)}."


def _withheld(found: "PairedComparison", known: "Evidence") -> str:
    failures, seen = (
        known.lacking or known.failures,
        f"difference {rounded(found.difference or 0.0)} {found.metric}{_interval(found)}",
    )
    is_silent = failures.only_arm > known.failures.only_arm  # gaps that no crash explains
    verb = "fails" if not is_silent else "has no score" if not known.failures.only_arm else "fails or has no score"
    more = (
        f"{found.arm} {verb} more often than {found.control} ({failures.only_arm:,} against {failures.only_control:,} "
        f"of {count_of(failures.executed, found.units_word)}, {'no p' if failures.p is None else p_text(failures.p)})"
    )
    both = "both scored" if is_silent else "neither failed"
    rest = f"on the {count_of(found.n_common, found.units_word)} that {both}: {seen}, {_p(found)}"
    remedy = "find out why scores are missing" if is_silent else "retry the failed ones"
    if not found.n_common:
        rest = f"no {found.units_word} were scored on both sides"
    if failures.is_arm_worse(found.alpha) or known.worst_case is None:
        return f"{more}; {rest}; {remedy} before judging."
    gaps = "what it lacks" if is_silent else "its failed ones"
    return (
        f"{more}, and the finding would not hold if {gaps} scored {rounded(known.worst_case.value)}; {rest}; "
        f"{remedy} before judging."
    )


def noninferiority_sentence(
    found: "PairedComparison", *, margin: float, p: float | None, is_shown: bool, is_withheld: bool = False
) -> str:
    """`new is not worse than old by more than 0.02 accuracy (p = 0.013).`, or that this is not shown, and why."""
    claim = f"worse than {found.control} by more than {declared(margin)} {found.metric}"
    said = "" if p is None else f" ({p_text(p)})"
    if is_shown:
        return f"{found.arm} is not {claim}{said}."
    unless = f"It is not shown that {found.arm} is not {claim}"
    return f"{unless}: too much failed or is missing." if is_withheld else f"{unless}{said}."


def _gaps(found: "PairedComparison") -> str:
    sides = ((found.arm, found.n_failed_arm), (found.control, found.n_failed_control))
    gaps = [f"{count_of(failed, found.units_word)} failed in {name}" for name, failed in sides if failed]
    return " and ".join(gaps) or f"{found.arm} or {found.control} is incomplete"


def _remedy(found: "PairedComparison") -> str:
    if found.sd == 0:
        if not found.difference:
            return "the two score the same on each; only a test within a declared margin could call them equivalent"
        return "all differences are equal, which says nothing about their spread"
    if found.target_effect is None or found.queries_needed is None:
        if found.mde is None:
            return f"more {found.units_word} are needed"
        return f"so many {found.units_word} find a difference of {rounded(found.mde)} four times in five"
    effect = declared(found.target_effect)
    if found.more_queries:
        more = f"about {found.more_queries:,} more {found.units_word} would be needed to detect"
        return f"{more} the difference seen" if found.is_effect_observed else f"{more} a difference of {effect}"
    if found.margin is not None:
        return (
            f"enough {found.units_word} to detect a difference of {effect}, yet neither a difference nor equivalence "
            f"within {declared(found.margin)} is shown"
        )
    return (
        f"enough {found.units_word} to detect a difference of {effect}, yet none is shown; that does not make the two "
        "equal, which only a test within a declared margin could show"
    )


def _interval(found: "PairedComparison") -> str:
    if found.interval_low is None or found.interval_high is None:
        return ""
    low, high = found.interval_low, found.interval_high
    if found.verdict in ("better", "worse") and (found.difference or 0.0) < 0:
        low, high = -high, -low  # the size of the gain or loss, as the sentence names it
    return f" [{rounded(low)}, {rounded(high)}]"


def _p(found: "PairedComparison") -> str:
    if found.adjusted_p is not None:
        return f"{p_text(found.adjusted_p)} ({found.correction})"
    return "no p" if found.p is None else p_text(found.p)


def _units(found: "PairedComparison") -> str:
    text = count_of(found.n_common, found.units_word)
    return text if found.n_clusters is None else f"{text} in {count_of(found.n_clusters, 'clusters')}"


def count_of(count: int, word: str) -> str:
    """`225 queries`, `1 query`."""
    return f"{count:,} {SINGULAR.get(word, word.removesuffix('s')) if count == 1 else word}"


def rounded(value: float) -> str:
    """Three decimals; two significant digits below 0.01, three above 10. Plain 0 for what would read as zero."""
    if abs(value) < 1e-9:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    decimals = 1 - magnitude if magnitude < -2 else 3 if magnitude < 1 else max(0, 2 - magnitude)
    return f"{value:.{decimals}f}"


def declared(value: float) -> str:
    """A number that somebody wrote down, as they would have: 0.02."""
    return f"{value:.6g}"


def p_text(p: float) -> str:
    """`p = 0.018`; five decimals below 0.001, and never a plain zero."""
    if p < 0.000005:
        return "p < 0.00001"
    return f"p = {p:.5f}" if p < 0.001 else f"p = {p:.3f}"
