"""All metrics of two runs together: what failures do, what is filled in, margins, corrections and slices."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.domain.statistics.comparison import PairedComparison
from experiments.domain.statistics.corrections import benjamini_hochberg, holm
from experiments.domain.statistics.evidence import Evidence
from experiments.domain.statistics.metrics import (
    Correction,
    Metric,
    MetricScores,
    Setting,
    compare_metric_slices,
    compare_metrics,
)
from experiments.domain.statistics.power import noninferiority_test
from experiments.domain.statistics.verdict import compare_paired

Scores = dict[str, float | None]


def units(count: int) -> list[str]:
    return [f"d{number:04}" for number in range(count)]


def named(values: Any) -> Scores:
    return dict(zip(units(len(values)), (float(value) for value in values), strict=True))


def gain(mean: float, deviation: float, count: int, seed: int = 1) -> tuple[Scores, Scores]:
    """Both sides, with differences of exactly this mean and deviation, between 0 and 1."""
    generator = np.random.default_rng(seed)
    control = generator.uniform(0.4, 0.6, size=count)
    noise = generator.normal(size=count)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    return named(control), named(np.clip(control + mean + deviation * noise, -1, 2))


def compared(control: Scores, arm: Scores, *, metric: Metric | None = None, **options: Any) -> PairedComparison:
    setting = Setting(seed=5, control_name="old", arm_name="new", **options)
    executed = control.keys() & arm.keys()
    (found,) = compare_metrics(
        [MetricScores(metric or Metric("accuracy"), control, arm)], executed=executed, setting=setting
    )
    return found


def known(found: PairedComparison) -> Evidence:
    assert found.evidence is not None
    return found.evidence


def test_without_failures_it_says_what_compare_paired_says() -> None:
    control, arm = gain(0.05, 0.2, 120)
    found = compared(control, arm)
    alone = compare_paired(
        control,
        arm,
        metric="accuracy",
        seed=5,
        draws=99_999,
        control_name="old",
        arm_name="new",
        units_word="datapoints",
    )
    assert replace(found, evidence=None) == alone
    assert known(found).plan.flips == found.draws == 99_999
    assert known(found).binary is None
    assert json.loads(json.dumps(found.to_json()))["evidence"]["failures"]["executed"] == 120


def test_without_evidence_the_answer_has_no_such_key() -> None:
    control, arm = gain(0.05, 0.2, 20)
    assert "evidence" not in compare_paired(control, arm, metric="m", seed=1).to_json()


def test_better_is_withheld_while_the_new_side_fails_more() -> None:
    control, arm = gain(0.2, 0.2, 200)
    found = compared(control, arm, failed_control=["d0000"], failed_arm=units(10)[1:])
    assert (found.verdict, found.reason, found.n_common) == ("undecided", "incomplete", 190)
    assert found.sentence.startswith(
        "undecided: new fails more often than old (9 against 1 of 200 datapoints, p = 0.021); on the 190 datapoints "
        "that neither failed: difference 0.195"
    )
    assert found.sentence.endswith("p = 0.00001; retry the failed ones before judging.")
    assert (found.n_failed_control, found.n_failed_arm, found.n_only_control) == (1, 9, 0)
    assert "Failed and left out: 1 datapoint of old, 9 of new." in found.warnings


def test_better_is_given_with_as_many_failures_on_both_sides_and_they_are_said() -> None:
    control, arm = gain(0.2, 0.2, 200)
    found = compared(control, arm, failed_control=units(5), failed_arm=units(12)[7:])
    assert (found.verdict, found.n_common, known(found).worst_case) == ("better", 190, None)
    assert "Failed and left out: 5 datapoints of old, 5 of new." in found.warnings


def test_a_few_more_failures_forbid_only_what_they_could_explain() -> None:
    control, arm = gain(0.2, 0.2, 200)
    clear = compared(control, arm, failed_arm=units(3))
    worst = known(clear).worst_case
    assert worst is not None
    assert known(clear).failures.p == 0.25
    assert (clear.verdict, worst.filled) == ("better", 3)
    seen = [score for unit, score in arm.items() if unit not in units(3)] + list(control.values())
    assert worst.value == min(score for score in seen if score is not None)
    assert worst.difference < (clear.difference or 0.0)

    narrow, better = gain(0.08, 0.2, 50)
    found = compared(narrow, better, failed_arm=units(4))
    assert (found.p or 1) <= 0.05
    assert (found.verdict, found.reason) == ("undecided", "incomplete")
    assert "(4 against 0 of 50 datapoints, p = 0.125), and the finding would not hold if its failed ones scored" in (
        found.sentence
    )


def test_scores_that_vanish_without_a_failure_count_as_failures_do() -> None:
    control, arm = gain(0.05, 0.1, 100)
    hidden: Scores = {unit: None if number < 12 else score for number, (unit, score) in enumerate(sorted(arm.items()))}
    setting = Setting(seed=1)

    def judged(new: Scores, old: Scores = control) -> PairedComparison:
        (found,) = compare_metrics([MetricScores(Metric("m"), old, new)], executed=units(100), setting=setting)
        return found

    found = judged(hidden)
    assert (found.verdict, found.reason, found.n_common) == ("undecided", "incomplete", 88)
    assert found.evidence is not None
    assert found.evidence.lacking is not None
    assert (found.evidence.lacking.arm, found.evidence.failures.arm) == (12, 0)
    assert found.evidence.lacking.p == pytest.approx(scipy.stats.binomtest(12, 12).pvalue)
    assert "arm has no score more often than control (12 against 0 of 100 datapoints" in found.sentence
    assert judged(arm).verdict == "better"
    # Where neither side has a score, or both lack as many, nothing is hidden on one side.
    both: Scores = {unit: None if hidden[unit] is None else score for unit, score in control.items()}
    assert judged(hidden, both).verdict == "better"


def test_equal_differences_have_neither_an_interval_nor_a_detectable_effect() -> None:
    scores = named([0.5] * 10)
    (found,) = compare_metrics([MetricScores(Metric("m"), scores, scores)], executed=units(10), setting=Setting(seed=1))
    assert (found.p, found.sd, found.interval_low, found.mde, found.queries_needed) == (1.0, 0.0, None, None, None)


def test_a_side_that_is_shown_to_fail_more_is_incomplete_before_it_is_noisy() -> None:
    control, arm = gain(0.01, 0.2, 200)
    assert compared(control, arm).reason == "noisy"
    found = compared(control, arm, failed_arm=units(9))
    assert (found.verdict, found.reason) == ("undecided", "incomplete")
    gone = compared(control, arm, failed_arm=units(200))
    assert (gone.verdict, gone.reason, gone.n_common) == ("undecided", "incomplete", 0)
    assert gone.sentence == (
        "undecided: new fails more often than old (200 against 0 of 200 datapoints, p < 0.00001); "
        "no datapoints were scored on both sides; retry the failed ones before judging."
    )


def test_worse_stands_though_the_new_side_fails_more() -> None:
    control, arm = gain(-0.2, 0.2, 200)
    found = compared(control, arm, failed_arm=units(20))
    assert (found.verdict, found.reason) == ("worse", None)


def test_where_less_is_better_the_worst_value_is_the_largest() -> None:
    control, arm = gain(-0.2, 0.2, 200)
    latency = Metric("latency", higher_is_better=False)
    found = compared(control, arm, metric=latency, failed_arm=units(3))
    worst = known(found).worst_case
    assert worst is not None
    assert worst.value > 0.59
    assert found.verdict == "better"
    bounded = known(compared(control, arm, metric=replace(latency, bounds=(-1.0, 2.0)), failed_arm=units(3)))
    assert bounded.worst_case is not None
    assert bounded.worst_case.value == 2.0


def test_neither_equivalence_nor_not_worse_is_claimed_for_a_side_that_fails_more() -> None:
    control, arm = gain(0.0, 0.05, 300)
    metric = Metric("accuracy", margin=0.02, noninferiority_margin=0.02)
    calm, failing = compared(control, arm, metric=metric), compared(control, arm, metric=metric, failed_arm=units(9))
    test = known(calm).noninferiority
    assert test is not None
    assert (calm.verdict, test.is_shown) == ("equivalent", True)
    assert test.sentence == "new is not worse than old by more than 0.02 accuracy (p < 0.00001)."
    test = known(failing).noninferiority
    assert test is not None
    assert (failing.verdict, failing.reason, test.is_shown) == ("undecided", "incomplete", False)
    assert test.sentence.startswith("It is not shown that new is not worse than old by more than 0.02 accuracy")


def test_the_rule_any_leaves_everything_undecided_at_the_first_failure() -> None:
    control, arm = gain(-0.2, 0.2, 200)
    found = compared(control, arm, failed_control=["d0007"], failure_rule="any")
    assert (found.verdict, found.reason) == ("undecided", "incomplete")
    assert found.sentence == "undecided: 1 datapoint failed in old; retry before judging."


def test_a_run_that_is_not_complete_gets_no_verdict() -> None:
    control, arm = gain(0.2, 0.2, 200)
    found = compared(control, arm, is_complete=False)
    assert (found.verdict, found.reason) == ("undecided", "incomplete")
    assert found.sentence == "undecided: new or old is not complete; let both end before judging."


def test_missing_worst_scores_failed_and_lacking_sides_at_the_worst_bound() -> None:
    control: Scores = {"a": 0.9, "b": 0.8, "c": 0.7, "d": None, "e": None, "f": 0.6, "g": 0.5}
    arm: Scores = {"a": 1.0, "b": 0.9, "c": None, "d": None, "e": None, "f": 0.1, "g": 0.6}
    found = compared(
        control,
        arm,
        metric=Metric("accuracy", bounds=(0.0, 1.0)),
        missing="worst",
        failed_arm=["b", "e"],
        failed_control=["f"],
    )
    # a: +0.1; b failed: 0 − 0.8; c lacks: 0 − 0.7; d: neither; e failed: both 0; f failed in control: 0.1 − 0; g: +0.1
    assert found.n_common == 6
    assert found.difference == pytest.approx((0.1 - 0.8 - 0.7 + 0.0 + 0.1 + 0.1) / 6)
    assert (known(found).filled_control, known(found).filled_arm, known(found).filled_with) == (2, 3, 0.0)
    assert (
        "Failed or without a score, and scored 0 as the worst value: 2 datapoints of old, 3 of new." in found.warnings
    )
    assert (found.n_failed_control, found.n_failed_arm) == (1, 2)


def test_missing_worst_lets_the_figures_decide() -> None:
    control, arm = gain(0.2, 0.2, 200)
    metric = Metric("accuracy", bounds=(-1.0, 2.0))
    found = compared(control, arm, metric=metric, missing="worst", failed_arm=units(9))
    assert (found.verdict, found.n_common) == ("better", 200)
    assert compared(control, arm, metric=metric, missing="worst", failed_arm=units(100)).verdict == "worse"


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        (Metric("accuracy"), {"missing": "worst", "failed_arm": ["d0001"]}, "accuracy has no declared bounds"),
        (Metric("accuracy", bounds=(0.0, 0.5)), {}, "lies outside of its declared bounds 0 to 0.5"),
        (Metric("accuracy", bounds=(1.0, 0.0)), {}, "two ascending finite numbers"),
        (Metric("accuracy", noninferiority_margin=0.0), {}, "margin must be a finite number above 0"),
        (Metric("accuracy", margin=-1.0), {}, "margin must be a finite number above 0"),
    ],
)
def test_what_was_declared_must_make_sense(metric: Metric, options: dict[str, Any], message: str) -> None:
    control, arm = gain(0.1, 0.1, 30)
    with pytest.raises(ValueError, match=message):
        compared(control, arm, metric=metric, **options)


def test_missing_worst_needs_no_bounds_while_nothing_is_missing() -> None:
    control, arm = gain(0.2, 0.2, 40)
    assert replace(compared(control, arm, missing="worst"), evidence=None) == replace(
        compared(control, arm), evidence=None
    )
    with pytest.raises(ValueError, match="accuracy has no declared bounds"):
        compared(control, arm | {"d0003": None}, missing="worst")


def test_scores_must_be_finite_and_belong_to_executed_units() -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        compared({"a": float("inf")}, {"a": 1.0})
    with pytest.raises(ValueError, match="'b' has scores of accuracy on both sides"):
        compare_metrics(
            [MetricScores(Metric("accuracy"), {"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 0.5})],
            executed=["a"],
            setting=Setting(seed=1),
        )


def test_units_of_one_side_count_as_one_sided() -> None:
    found = compare_metrics(
        [MetricScores(Metric("accuracy"), {"a": 1.0, "b": 1.0, "x": 1.0}, {"a": 0.5, "b": None, "y": 0.5})],
        executed=["a", "b"],
        setting=Setting(seed=1),
    )[0]
    assert (found.n_common, found.n_only_control, found.n_only_arm) == (1, 2, 1)


def test_a_binary_metric_carries_its_table_unless_there_are_clusters() -> None:
    control, arm = named([1, 0, 0, 0, 1, 0] * 10), named([1, 1, 0, 1, 0, 0] * 10)
    found = compared(control, arm)
    table = known(found).binary
    assert table is not None
    assert (table.both, table.only_control, table.only_arm, table.neither) == (10, 10, 20, 20)
    assert table.p == found.sign_p
    assert table.low is not None
    assert table.low < (found.difference or 0.0)
    clustered = compared(control, arm, clusters={unit: unit[:4] for unit in units(60)})
    assert clustered.n_clusters == 6
    assert known(clustered).binary is None


def five(count: int) -> list[MetricScores]:
    return [
        MetricScores(Metric(f"m{place}", noninferiority_margin=0.05), *gain(shift, 0.3, count, seed=place))
        for place, shift in enumerate([0.0, 0.03, 0.06, 0.07, 0.1])
    ]


def test_both_corrections_are_reported_and_the_chosen_one_decides() -> None:
    metrics, setting = five(100), Setting(seed=3)
    chosen: list[Correction] = ["none", "holm", "benjamini_hochberg"]
    plain, stepped, shared = (
        compare_metrics(metrics, executed=units(100), setting=setting, correction=correction) for correction in chosen
    )
    p = [one.p for one in plain]
    for found in (plain, stepped, shared):
        assert [one.p for one in found] == p
        assert [known(one).holm_p for one in found] == holm(p)
        assert [known(one).benjamini_hochberg_p for one in found] == benjamini_hochberg(p)
    assert [one.adjusted_p for one in plain] == [None] * 5
    assert [one.adjusted_p for one in stepped] == holm(p)
    assert [one.adjusted_p for one in shared] == benjamini_hochberg(p)
    assert [one.family_size for one in stepped] == [5] * 5
    for one, adjusted in zip(stepped, holm(p), strict=True):
        assert (one.verdict == "better") == (adjusted is not None and adjusted <= 0.05)
    assert sum(one.verdict == "better" for one in plain) > sum(one.verdict == "better" for one in stepped)
    margins = [known(one).noninferiority for one in stepped]
    assert [one.adjusted_p for one in margins if one] == holm([one.p for one in margins if one])


def test_a_metrics_figures_do_not_depend_on_the_others_beside_it() -> None:
    metrics, setting = five(80), Setting(seed=3, failed_arm=units(3))
    together = compare_metrics(metrics, executed=units(80), setting=setting, correction="none")
    for metric, found in zip(metrics, together, strict=True):
        (alone,) = compare_metrics([metric], executed=units(80), setting=setting)
        assert replace(known(alone), holm_p=None, benjamini_hochberg_p=None) == replace(
            known(found), holm_p=None, benjamini_hochberg_p=None
        )
        assert replace(alone, evidence=None) == replace(found, evidence=None)


def test_many_pairs_take_the_quick_plan() -> None:
    control, arm = gain(0.02, 0.2, 2_500)
    found = compared(control, arm, failed_arm=units(3))
    assert (found.interval_method, found.draws, known(found).plan.resamples) == ("t", 9_999, 0)
    assert known(found).plan.text == "9,999 random flips and a t interval, because there are many pairs"


def test_slices_are_corrected_over_the_whole_table() -> None:
    control, arm = gain(0.06, 0.2, 120)
    metrics = [MetricScores(Metric("accuracy"), control, arm), MetricScores(Metric("recall"), *gain(0.0, 0.2, 120, 9))]
    labels: dict[str, str | None] = {unit: ["easy", "hard", None][number % 3] for number, unit in enumerate(units(120))}
    found = compare_metric_slices(
        metrics, labels, executed=units(120), setting=Setting(seed=2, failed_arm=["d0000", "d0003"])
    )
    assert [(one.slice_label, one.metric, one.n_common) for one in found] == [
        ("easy", "accuracy", 38),
        ("easy", "recall", 38),
        ("hard", "accuracy", 40),
        ("hard", "recall", 40),
    ]
    assert [one.adjusted_p for one in found] == benjamini_hochberg([one.p for one in found])
    assert {(one.correction, one.family_size) for one in found} == {("Benjamini-Hochberg", 4)}
    assert [known(one).failures.arm for one in found] == [2, 2, 0, 0]


def test_nothing_in_common_is_undecided() -> None:
    found = compared({"a": 1.0}, {"a": None})
    assert (found.verdict, found.reason, found.p) == ("undecided", "too_few", None)
    assert compare_metrics([], executed=["a"], setting=Setting(seed=1)) == []
    (alone,) = compare_metrics([MetricScores(Metric("m"), {}, {})], executed=[], setting=Setting(seed=1))
    assert alone.reason == "too_few"


SCORE = st.one_of(st.none(), st.sampled_from([0.0, 0.25, 0.5, 1.0]))


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.tuples(SCORE, SCORE, st.booleans(), st.booleans()), min_size=1, max_size=25),
    st.sampled_from(["leave_out", "worst"]),
    st.integers(0, 3),
)
def test_units_in_any_order_give_the_same_and_sides_turn_round(
    rows: list[tuple[float | None, float | None, bool, bool]], missing: Any, seed: int
) -> None:
    names = units(len(rows))
    control = {name: row[0] for name, row in zip(names, rows, strict=True)}
    arm = {name: row[1] for name, row in zip(names, rows, strict=True)}
    failed_control = [name for name, row in zip(names, rows, strict=True) if row[2]]
    failed_arm = [name for name, row in zip(names, rows, strict=True) if row[3]]
    setting = Setting(seed=seed, missing=missing, failed_control=failed_control, failed_arm=failed_arm)
    metric = Metric("m", bounds=(0.0, 1.0))
    (found,) = compare_metrics([MetricScores(metric, control, arm)], executed=names, setting=setting)
    turned = replace(setting, failed_control=failed_arm, failed_arm=failed_control)
    (back,) = compare_metrics(
        [MetricScores(metric, dict(reversed(arm.items())), control)], executed=names[::-1], setting=turned
    )
    assert (found.p, found.n_common, found.wins) == (back.p, back.n_common, back.losses)
    if found.difference is not None:
        assert back.difference == pytest.approx(-found.difference)
    # No pair vanishes: compared, failed, scored on one side only, or scored nowhere.
    failed = set(failed_control) | set(failed_arm)
    nowhere = sum(
        row[0] is None and row[1] is None and name not in failed for name, row in zip(names, rows, strict=True)
    )
    if missing == "worst":
        assert found.n_common + nowhere == len(rows)
    else:
        one_sided = sum(
            (row[0] is None) != (row[1] is None) and name not in failed for name, row in zip(names, rows, strict=True)
        )
        assert found.n_common + nowhere + one_sided + len(failed) == len(rows)
        assert one_sided == found.n_only_control + found.n_only_arm


def test_noninferiority_is_one_half_of_equivalence() -> None:
    differences = np.random.default_rng(3).normal(-0.01, 0.1, size=80)
    theirs = scipy.stats.ttest_1samp(differences, -0.03, alternative="greater").pvalue
    found = noninferiority_test(differences, margin=0.03)
    assert found.p == pytest.approx(theirs)
    less = noninferiority_test(-differences, margin=0.03, higher_is_better=False)
    assert less.p == pytest.approx(theirs)
    assert found.is_equivalent == (theirs <= 0.05)


def test_noninferiority_of_equal_differences_needs_thirty_of_them() -> None:
    assert not noninferiority_test([0.0] * 29, margin=0.1).is_equivalent
    assert noninferiority_test([0.0] * 30, margin=0.1).is_equivalent
    assert not noninferiority_test([-0.2] * 30, margin=0.1).is_equivalent
    assert not noninferiority_test([0.1], margin=0.1).is_equivalent
