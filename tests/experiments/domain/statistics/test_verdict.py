"""Comparisons of two arms: counts, numbers of other people's code, verdict words, corrections, slices."""

import json
import math
import random
from typing import Any

import numpy as np
import pytest
import scipy.stats

from experiments.domain.statistics.comparison import PairedComparison, decide
from experiments.domain.statistics.corrections import benjamini_hochberg, holm
from experiments.domain.statistics.paired import permutation_test
from experiments.domain.statistics.verdict import (
    apply_benjamini_hochberg,
    apply_holm,
    compare_paired,
    compare_slices,
    two_digits_up,
)

Sides = tuple[dict[str, float | None], dict[str, float | None]]


def sides(mean: float, deviation: float, units: int, seed: int = 1) -> Sides:
    """Control and arm whose differences have exactly this mean and standard deviation."""
    generator = np.random.default_rng(seed)
    control = generator.uniform(size=units)
    noise = generator.normal(size=units)
    noise = (noise - noise.mean()) / noise.std(ddof=1) if units > 1 else noise * 0
    arm = control + mean + deviation * noise
    return named(control.tolist()), named(arm.tolist())


def named(values: list[float]) -> dict[str, float | None]:
    return {f"q{number:04}": value for number, value in enumerate(values)}


def compare(control: Any, arm: Any, **options: Any) -> PairedComparison:
    settings = {"metric": "nDCG@10", "seed": 5, "draws": 5_000, "resamples": 2_000}
    names = {"control_name": "bm25", "arm_name": "hybrid"}
    return compare_paired(control, arm, **(settings | names | options))


def test_every_number_is_that_of_its_test() -> None:
    control, arm = sides(0.04, 0.2, 225)
    found = compare(control, arm)
    differences = np.array(list(arm.values()), dtype=float) - np.array(list(control.values()), dtype=float)
    assert found.p == permutation_test(differences, seed=5, draws=5_000).p
    assert found.t_p == pytest.approx(scipy.stats.ttest_rel(list(arm.values()), list(control.values())).pvalue)
    assert found.wilcoxon_p == scipy.stats.wilcoxon(differences, zero_method="pratt").pvalue
    wins = int((differences > 0).sum())
    assert (found.wins, found.ties, found.losses) == (wins, 0, 225 - wins)
    assert found.sign_p == scipy.stats.binomtest(wins, 225).pvalue
    assert found.arm_mean is not None
    assert found.control_mean is not None
    assert found.arm_mean - found.control_mean == pytest.approx(found.difference)
    assert (found.difference, found.sd, found.d_z) == (
        pytest.approx(0.04),
        pytest.approx(0.2),
        pytest.approx(0.2),
    )
    assert found.mde == pytest.approx(2.801585 * 0.2 / 15, rel=1e-6)
    assert (found.n_common, found.n_clusters, found.draws, found.is_exact) == (225, None, 5_000, False)


def test_the_order_of_the_mappings_never_matters() -> None:
    control, arm = sides(0.02, 0.2, 80)
    units = list(control)
    random.Random(3).shuffle(units)
    shuffled = compare({unit: control[unit] for unit in units}, {unit: arm[unit] for unit in reversed(units)})
    assert shuffled == compare(control, arm)


def test_json_is_plain_stable_and_round_trips() -> None:
    found = compare(*sides(0.02, 0.2, 40), margin=0.01, clusters={"q0001": "a", "q0002": "a"})
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text) == found.to_json()
    assert list(found.to_json())[:3] == ["metric", "control", "arm"]
    assert json.dumps(compare(named([]), named([])).to_json(), allow_nan=False)


def test_better() -> None:
    found = compare(*sides(0.058, 0.16, 225))
    assert (found.verdict, found.reason, found.warnings) == ("better", None, [])
    assert found.interval_low is not None
    assert found.interval_high is not None
    expected = f"hybrid beats bm25 by 0.058 nDCG@10 [{found.interval_low:.3f}, {found.interval_high:.3f}], "
    assert found.sentence == f"{expected}p = 0.00020, 225 queries."  # 1 of 5,001


def test_worse_names_the_size_of_the_loss() -> None:
    found = compare(*sides(-0.058, 0.16, 225))
    assert found.verdict == "worse"
    assert found.interval_low is not None
    assert found.interval_high is not None
    assert found.interval_high < 0
    bounds = f"[{-found.interval_high:.3f}, {-found.interval_low:.3f}]"
    assert found.sentence.startswith(f"hybrid loses to bm25 by 0.058 nDCG@10 {bounds}, p")


def test_less_is_better_for_costs() -> None:
    found = compare(*sides(-3.0, 5.0, 100), higher_is_better=False, metric="ms")
    assert found.verdict == "better"
    assert found.difference == pytest.approx(-3.0)
    assert found.sentence.startswith("hybrid beats bm25 by 3.000 ms [")
    assert found.wins > found.losses
    assert compare(*sides(3.0, 5.0, 100), higher_is_better=False, metric="ms").verdict == "worse"


def test_noisy_says_how_many_more_are_needed() -> None:
    found = compare(*sides(0.01, 0.193, 225), effect=0.02)
    assert (found.verdict, found.reason) == ("undecided", "noisy")
    assert (found.queries_needed, found.more_queries) == (731, 510)
    assert found.sentence.endswith("about 510 more queries would be needed to detect a difference of 0.02.")
    observed = compare(*sides(0.01, 0.193, 225))
    assert observed.is_effect_observed
    assert observed.sentence.endswith("about 2,700 more queries would be needed to detect the difference seen.")


def test_too_few() -> None:
    found = compare(*sides(0.05, 0.2, 12), units_word="datapoints", effect=0.05)
    assert (found.verdict, found.reason) == ("undecided", "too_few")
    assert "about 120 more datapoints would be needed" in found.sentence
    assert any("12 pairs" in warning for warning in found.warnings)
    one = compare(*sides(0.05, 0.0, 1))
    assert (one.reason, one.p, one.t_p, one.sd, one.mde, one.interval_low) == ("too_few", 1.0, None, None, None, None)
    assert one.sentence == "undecided: difference 0.050 nDCG@10, p = 1.000, 1 query; more queries are needed."


def test_nothing_in_common() -> None:
    found = compare({"a": 1.0}, {"b": 1.0})
    assert (found.verdict, found.reason, found.p, found.difference) == ("undecided", "too_few", None, None)
    assert (found.n_common, found.n_only_control, found.n_only_arm) == (0, 1, 1)
    assert found.sentence == "undecided: bm25 and hybrid have no queries in common."


def test_not_significant_never_reads_as_the_same() -> None:
    found = compare(*sides(0.003, 0.05, 225), effect=0.02)
    assert (found.verdict, found.reason, found.more_queries) == ("undecided", "not_significant", None)
    assert "does not make the two equal" in found.sentence
    with_margin = compare(*sides(0.006, 0.05, 225), margin=0.01)
    assert (with_margin.verdict, with_margin.reason) == ("undecided", "not_significant")
    assert "neither a difference nor equivalence within 0.01 is shown" in with_margin.sentence


def test_equivalent_only_by_the_test_within_a_declared_margin() -> None:
    control, arm = sides(0.001, 0.05, 225)
    assert compare(control, arm).verdict == "undecided"
    found = compare(control, arm, margin=0.02)
    assert (found.verdict, found.reason) == ("equivalent", None)
    assert found.sentence.startswith("hybrid is equivalent to bm25 within 0.02 nDCG@10: difference 0.0010 [")
    assert compare(control, arm, margin=0.002).verdict == "undecided"


def test_a_significant_difference_inside_the_margin_says_so() -> None:
    found = compare(*sides(0.01, 0.02, 300), margin=0.02)
    assert found.verdict == "better"
    assert any("within the margin" in warning for warning in found.warnings)


def test_equal_arms() -> None:
    scores = named([0.5] * 225)
    found = compare(scores, scores)
    assert (found.verdict, found.p, found.sign_p, found.wilcoxon_p, found.t_p) == ("undecided", 1.0, 1.0, 1.0, None)
    assert (found.interval_low, found.interval_high, found.sd, found.d_z) == (0.0, 0.0, 0.0, None)
    assert "score the same on each" in found.sentence
    declared = compare(scores, scores, margin=0.01)
    assert (declared.verdict, declared.equivalence_p) == ("equivalent", None)
    assert declared.sentence.endswith("the difference is the same, 0, on all 225 queries.")
    assert compare(named([0.5] * 20), named([0.5] * 20), margin=0.01).verdict == "undecided"
    shifted = compare(named([0.5] * 5), named([0.75] * 5))
    assert (shifted.verdict, shifted.p) == ("undecided", 2 / 32)
    assert "nothing about their spread" in shifted.sentence


def test_rounding_makes_no_winner() -> None:
    found = compare(named([0.3] * 40), named([0.1 + 0.2] * 40))
    assert (found.p, found.difference, found.ties) == (1.0, 0.0, 40)


@pytest.mark.parametrize("options", [{"failed_arm": ["q0003"]}, {"failed_control": {"q0003"}}, {"is_complete": False}])
def test_an_incomplete_side_gets_no_verdict(options: dict[str, Any]) -> None:
    for mean in (0.3, -0.3, 0.0):
        found = compare(*sides(mean, 0.1, 100), margin=0.2, **options)
        assert (found.verdict, found.reason) == ("undecided", "incomplete")
        assert "before judging" in found.sentence
        assert found.n_common == 100 - found.n_failed_arm - found.n_failed_control


def test_the_sentence_names_who_failed() -> None:
    control, arm = sides(0.1, 0.1, 50)
    found = compare(control, arm, failed_arm=["q0001"], failed_control=["q0002", "q0003"])
    assert found.sentence == ("undecided: 1 query failed in hybrid and 2 queries failed in bm25; retry before judging.")
    assert any(warning.startswith("Failed and left out: 2 queries of bm25, 1 of hybrid") for warning in found.warnings)
    assert compare(control, arm, is_complete=False).sentence == (
        "undecided: hybrid or bm25 is incomplete; retry before judging."
    )


def test_undefined_scores_leave_the_pair_out_and_are_counted() -> None:
    control, arm = sides(0.1, 0.1, 50)
    control["q0001"] = None
    del arm["q0002"], arm["q0003"]
    arm["only here"] = 0.4
    arm["q0004"] = control["q0004"] = None
    found = compare(control, arm)
    assert (found.n_common, found.n_only_control, found.n_only_arm) == (46, 2, 2)
    assert (found.verdict, found.n_failed_control, found.n_failed_arm) == ("better", 0, 0)
    assert any(w.startswith("Left out, scored on one side only: 2 queries of bm25, 2 of") for w in found.warnings)


def test_test_and_interval_that_disagree_are_pointed_out() -> None:
    found = compare(*sides(0.04, 0.2, 225))
    assert not any("disagree" in warning for warning in found.warnings)
    from dataclasses import replace

    crossing = decide(replace(found, p=0.024, interval_low=-0.002, interval_high=0.089))
    assert crossing.verdict == "better"
    assert crossing.warnings == [
        "Test and interval disagree: p = 0.024 before any correction, while the 95 % interval includes 0. "
        "The test decides; treat the finding as borderline."
    ]
    excluding = decide(replace(found, p=0.06, interval_low=0.001, interval_high=0.089))
    assert excluding.verdict == "undecided"
    assert "interval excludes 0" in excluding.warnings[0]


def test_clusters_carry_through_every_number() -> None:
    control, arm = sides(0.05, 0.2, 40)
    control4 = {f"{unit}.{copy}": score for unit, score in control.items() for copy in range(4)}
    arm4 = {f"{unit}.{copy}": score for unit, score in arm.items() for copy in range(4)}
    clusters = {unit: unit.split(".")[0] for unit in control4}
    once, together, alone = compare(control, arm), compare(control4, arm4, clusters=clusters), compare(control4, arm4)
    assert (together.n_common, together.n_clusters) == (160, 40)
    assert together.p == once.p
    for name in ("t_p", "wilcoxon_p", "sign_p", "difference", "mde"):
        assert getattr(together, name) == pytest.approx(getattr(once, name), rel=1e-9)
    assert alone.p is not None
    assert together.p is not None
    assert alone.p < together.p
    assert together.sentence.count("160 queries in 40 clusters") == 1
    partly = compare(control4, arm4, clusters={unit: name for unit, name in clusters.items() if name < "q0020"})
    assert partly.n_clusters == 20 + 20 * 4  # a unit without a cluster is its own


def test_few_clusters_are_too_few_and_warned_of() -> None:
    control, arm = sides(0.01, 0.2, 200)
    found = compare(control, arm, clusters={unit: unit[-1] for unit in control})
    assert (found.n_clusters, found.reason) == (10, "too_few")
    assert any("10 clusters" in warning for warning in found.warnings)


def test_holm_decides_over_the_family() -> None:
    family = [
        compare(*sides(mean, 0.2, 100, seed), arm_name=f"arm {seed}") for seed, mean in enumerate((0.048, 0.1, 0.0))
    ]
    assert [found.verdict for found in family] == ["better", "better", "undecided"]
    judged = apply_holm(family)
    assert [found.adjusted_p for found in judged] == holm([found.p for found in family])
    assert [found.p for found in judged] == [found.p for found in family]
    assert {(found.correction, found.family_size) for found in judged} == {("Holm", 3)}
    assert judged[1].verdict == "better"
    assert "(Holm)" in judged[1].sentence
    strict = apply_holm([*family, *[compare(*sides(0.0, 0.2, 100, seed)) for seed in range(3, 30)]])
    assert strict[0].verdict == "undecided"
    assert strict[0].warnings == family[0].warnings == []


def test_holm_corrects_equivalence_too_and_leaves_out_the_undefined() -> None:
    near = compare(*sides(0.0, 0.1, 100), margin=0.02)
    assert near.verdict == "equivalent"
    nothing = compare({}, {}, margin=0.02)
    judged = apply_holm([near, near, near, nothing])
    assert judged[0].family_size == 3
    assert judged[0].adjusted_equivalence_p == pytest.approx(3 * float(near.equivalence_p or 0))
    assert judged[0].verdict == "undecided"
    assert (judged[3].adjusted_p, judged[3].verdict) == (None, "undecided")
    assert "TOST p = " in near.sentence


def test_benjamini_hochberg_over_metrics() -> None:
    family = [compare(*sides(mean, 0.2, 100), metric=name) for name, mean in (("R@10", 0.05), ("MRR@10", 0.06))]
    judged = apply_benjamini_hochberg(family)
    assert [found.adjusted_p for found in judged] == benjamini_hochberg([found.p for found in family])
    assert "(Benjamini-Hochberg)" in judged[0].sentence


def test_slices() -> None:
    control, arm = sides(0.0, 0.1, 100)
    slices: dict[str, str | None] = {}
    for number, unit in enumerate(control):
        slices[unit] = "short" if number < 20 else "long" if number < 90 else None
        if number < 20:
            arm[unit] = float(control[unit] or 0) + 0.3 + number / 1_000
    long, short = compare_slices(control, arm, slices, metric="nDCG@10", seed=5, draws=2_000, resamples=500)
    assert (long.slice_label, long.n_common, short.slice_label, short.n_common) == ("long", 70, "short", 20)
    assert (short.verdict, short.correction, short.family_size) == ("better", "Benjamini-Hochberg", 2)
    assert long.verdict == "undecided"
    assert any("slice of 20 queries" in warning for warning in short.warnings)
    assert not any("slice of" in warning for warning in long.warnings)
    assert [short.adjusted_p, long.adjusted_p] == benjamini_hochberg([short.p, long.p])


def test_a_failure_makes_its_own_slice_incomplete_and_no_other() -> None:
    control, arm = sides(0.3, 0.1, 80)
    slices = {unit: "even" if int(unit[1:]) % 2 == 0 else "odd" for unit in control}
    even, odd = compare_slices(control, arm, slices, metric="R@10", seed=5, draws=999, failed_arm=["q0003"])
    assert (even.verdict, odd.reason) == ("better", "incomplete")


def test_the_t_interval_is_named_where_it_is_asked_for() -> None:
    control, arm = sides(0.04, 0.2, 60)
    found = compare(control, arm, interval_method="t")
    expected = scipy.stats.ttest_rel(list(arm.values()), list(control.values())).confidence_interval(0.95)
    assert (found.interval_method, found.interval_low) == ("t", pytest.approx(expected.low))


def test_alpha_sets_the_level_of_interval_and_verdict() -> None:
    control, arm = sides(0.05, 0.2, 100)
    assert compare(control, arm, alpha=0.05).verdict == "better"
    strict = compare(control, arm, alpha=0.001)
    assert (strict.verdict, strict.interval_level) == ("undecided", 0.999)


@pytest.mark.parametrize(("count", "wanted"), [(1, 1), (99, 99), (100, 100), (101, 110), (506, 510), (12_345, 13_000)])
def test_numbers_still_needed_are_rounded_up(count: int, wanted: int) -> None:
    assert two_digits_up(count) == wanted


@pytest.mark.parametrize(
    "options", [{"alpha": 1.5}, {"margin": 0.0}, {"margin": math.inf}, {"effect": -0.1}, {"effect": math.nan}]
)
def test_bad_arguments_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        compare(named([0.1]), named([0.2]), **options)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match="nDCG@10 must be a finite number"):
        compare({"a": score}, {"a": 0.1})
