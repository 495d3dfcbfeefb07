"""What is known of one metric of two arms, and the verdict, warnings and sentence drawn from those numbers."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from experiments.domain.statistics.evidence import Evidence
from experiments.domain.statistics.intervals import few_units_warning
from experiments.domain.statistics.sentences import FEW_PAIRS, count_of, rounded, sentence_of

Verdict = Literal["better", "worse", "equivalent", "undecided"]
Reason = Literal["too_few", "noisy", "incomplete", "not_significant"]


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Arm against control on one metric. Differences are arm − control; None is undefined, never 0.

    `p` is the permutation test's. `n_only_*` counts units with a score on that side alone, `n_failed_*` failed ones.
    `sd` is that of the paired differences; `mde` and `queries_needed` use the one that carries the design effect of
    clusters. `adjusted_p` belongs to the `correction` named over `family_size` comparisons and decides where given.
    `evidence` is what comparisons of runs know beside all this.
    """

    metric: str
    control: str
    arm: str
    units_word: str
    higher_is_better: bool
    alpha: float
    margin: float | None
    seed: int
    draws: int
    is_exact: bool
    n_common: int
    n_clusters: int | None
    n_only_control: int
    n_only_arm: int
    n_failed_control: int
    n_failed_arm: int
    is_complete: bool
    control_mean: float | None
    arm_mean: float | None
    difference: float | None
    interval_low: float | None
    interval_high: float | None
    interval_level: float
    interval_method: str
    p: float | None
    sign_p: float | None
    t_p: float | None
    wilcoxon_p: float | None
    wins: int
    ties: int
    losses: int
    d_z: float | None
    sd: float | None
    mde: float | None
    target_effect: float | None
    is_effect_observed: bool  # no effect nor margin was declared: the one seen stands in
    queries_needed: int | None
    more_queries: int | None
    equivalence_p: float | None
    is_equivalence_shown: bool
    correction: str = "none"
    family_size: int = 1
    adjusted_p: float | None = None
    adjusted_equivalence_p: float | None = None
    slice_label: str | None = None
    verdict: Verdict = "undecided"
    reason: Reason | None = None
    sentence: str = ""
    warnings: list[str] = field(default_factory=list)
    evidence: Evidence | None = None

    def to_json(self) -> dict[str, Any]:
        """Every field by its name, in a fixed order, as plain numbers, texts, lists and None.

        `evidence` only where there is some: reports of tests without it are pinned by their hash.
        """
        document = asdict(replace(self, evidence=None))
        if self.evidence is None:
            del document["evidence"]
        else:
            document["evidence"] = self.evidence.to_json()
        return document


def decide(comparison: PairedComparison) -> PairedComparison:
    """The comparison with verdict, reason, warnings and sentence drawn from its numbers.

    An incomplete side gets no verdict, and without `evidence` (or with its rule `any`) neither does one with failed
    units. With its rule `more` failed units are left out, claims for an arm that fails more are withheld as
    `Evidence.withholds` says, and an arm that is shown to fail more is at best incomplete; `worse` stands.
    A difference needs p ≤ alpha (adjusted where corrected), equivalence a TOST within the declared margin. What is
    neither is undecided: `too_few` below 30 units, `noisy` when more units are needed to find the effect asked for,
    `not_significant` when there are enough.
    """
    verdict, reason = _verdict(comparison)
    judged = replace(comparison, verdict=verdict, reason=reason)
    judged = replace(judged, warnings=_warnings(judged))
    return replace(judged, sentence=sentence_of(judged))


def _verdict(found: PairedComparison) -> tuple[Verdict, Reason | None]:
    if not found.is_complete or is_stopped_by_failures(found):
        return "undecided", "incomplete"
    verdict, reason = _drawn(found)
    if verdict in ("better", "equivalent") and is_withheld(found, verdict):
        return "undecided", "incomplete"
    if verdict == "undecided" and found.evidence is not None and found.evidence.shows_failing(found.alpha):
        return "undecided", "incomplete"  # to retry what failed comes before more units
    return verdict, reason


def is_withheld(found: PairedComparison, claim: Literal["better", "equivalent", "not_worse"]) -> bool:
    """Whether failures of the arm forbid this claim in its favour."""
    sign = 1 if found.higher_is_better else -1
    return found.evidence is not None and found.evidence.withholds(claim, alpha=found.alpha, sign=sign)


def is_stopped_by_failures(found: PairedComparison) -> bool:
    """Whether failed units alone leave the comparison incomplete: without evidence, and under its rule `any`."""
    if not (found.n_failed_control or found.n_failed_arm):
        return False
    known = found.evidence
    return known is None or (known.failure_rule == "any" and known.missing == "leave_out")


def _drawn(found: PairedComparison) -> tuple[Verdict, Reason | None]:
    p = found.p if found.adjusted_p is None else found.adjusted_p
    if p is None or found.difference is None:
        return "undecided", "too_few"
    if p <= found.alpha and found.difference:
        return "better" if (found.difference > 0) is found.higher_is_better else "worse", None
    if found.is_equivalence_shown:
        return "equivalent", None
    if (found.n_common if found.n_clusters is None else found.n_clusters) < FEW_PAIRS:
        return "undecided", "too_few"
    return "undecided", "noisy" if found.more_queries else "not_significant"


def _warnings(found: PairedComparison) -> list[str]:
    warnings = []
    word = found.units_word
    if text := _filled(found):
        warnings.append(text)
    elif found.n_failed_control or found.n_failed_arm:
        warnings.append(
            f"Failed and left out: {count_of(found.n_failed_control, word)} of {found.control}, "
            f"{found.n_failed_arm} of {found.arm}."
        )
    if found.n_only_control or found.n_only_arm:
        warnings.append(
            f"Left out, scored on one side only: {count_of(found.n_only_control, word)} of {found.control}, "
            f"{found.n_only_arm} of {found.arm}."
        )
    if found.sd == 0:
        warnings.append("All differences are equal: t, effect size and detectable effect are undefined or zero.")
    elif found.interval_method == "bca" and found.n_common > 1:
        units = found.n_common if found.n_clusters is None else found.n_clusters
        if text := few_units_warning(units, is_clustered=found.n_clusters is not None):
            warnings.append(text)
    if found.slice_label is not None and found.n_common < FEW_PAIRS:
        warnings.append(f"A slice of {count_of(found.n_common, word)}; below {FEW_PAIRS} read it as a hint.")
    if text := _disagreement(found):
        warnings.append(text)
    if found.verdict in ("better", "worse") and found.is_equivalence_shown:
        warnings.append("The difference is significant, yet shown to lie within the margin declared as unimportant.")
    return warnings


def _filled(found: PairedComparison) -> str | None:
    known = found.evidence
    if known is None or known.filled_with is None or not (known.filled_control or known.filled_arm):
        return None
    return (
        f"Failed or without a score, and scored {rounded(known.filled_with)} as the worst value: "
        f"{count_of(known.filled_control, found.units_word)} of {found.control}, {known.filled_arm} of {found.arm}."
    )


def _disagreement(found: PairedComparison) -> str | None:
    if not found.sd or found.p is None or found.interval_low is None or found.interval_high is None:
        return None
    is_excluded = found.interval_low > 0 or found.interval_high < 0
    if is_excluded == (found.p <= found.alpha):
        return None
    inside = "excludes" if is_excluded else "includes"
    return (
        f"Test and interval disagree: p = {found.p:.3f} before any correction, while the "
        f"{found.interval_level * 100:g} % interval {inside} 0. The test decides; treat the finding as borderline."
    )
