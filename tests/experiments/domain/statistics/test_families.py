"""Many runs on one metric: corrections over candidates, all pairs, and runs that lack some units."""

from itertools import combinations

import numpy as np
import pytest

from experiments.domain.statistics import paired
from experiments.domain.statistics.corrections import holm
from experiments.domain.statistics.families import AllPairs, RunScores, compare_all_pairs, compare_candidates
from experiments.domain.statistics.metrics import Metric, MetricScores, Setting, compare_metrics
from experiments.domain.statistics.multiple_arms import max_t_test, randomised_tukey, range_test
from experiments.domain.statistics.paired import permutation_test, permutation_tests

ACCURACY = Metric("accuracy")


def units(count: int) -> list[str]:
    return [f"d{number:04}" for number in range(count)]


def runs(shifts: list[float], count: int = 80, seed: int = 1) -> list[RunScores]:
    generator = np.random.default_rng(seed)
    ease = generator.uniform(size=count)
    return [
        RunScores(
            f"run {place}",
            dict(zip(units(count), (ease + shift + generator.normal(0, 0.2, size=count)).tolist(), strict=True)),
            units(count),
        )
        for place, shift in enumerate(shifts)
    ]


def without(run: RunScores, gone: list[str]) -> RunScores:
    scores = {unit: score for unit, score in run.scores.items() if unit not in gone}
    return RunScores(run.name, scores, sorted(scores))


def test_each_candidate_is_compared_with_the_baseline_and_corrected_by_holm() -> None:
    baseline, *candidates = runs([0.0, 0.05, 0.08, 0.15])
    found = compare_candidates(baseline, candidates, metric=ACCURACY, setting=Setting(seed=4))
    for one, candidate in zip(found, candidates, strict=True):
        (alone,) = compare_metrics(
            [MetricScores(ACCURACY, baseline.scores, candidate.scores)], executed=units(80), setting=Setting(seed=4)
        )
        assert (one.p, one.difference, one.interval_low) == (alone.p, alone.difference, alone.interval_low)
        assert (one.control, one.arm, one.correction, one.family_size) == ("run 0", candidate.name, "Holm", 3)
    assert [one.adjusted_p for one in found] == holm([one.p for one in found])


def test_max_t_is_never_blunter_than_holm_for_candidates_that_resemble_each_other() -> None:
    baseline, *candidates = runs([0.0, 0.05, 0.06, 0.055, 0.07], seed=3)
    by_holm, by_max = (
        compare_candidates(baseline, candidates, metric=ACCURACY, setting=Setting(seed=4), method=method)
        for method in ("holm", "max_t")
    )
    for step_down, joint in zip(by_holm, by_max, strict=True):
        assert joint.p == step_down.p
        assert joint.correction == "max-T"
        assert joint.p is not None
        assert joint.adjusted_p is not None
        assert step_down.adjusted_p is not None
        assert joint.p - 0.003 <= joint.adjusted_p <= step_down.adjusted_p + 0.003
        assert joint.evidence is not None
        assert joint.evidence.holm_p == step_down.adjusted_p
    assert sum(one.adjusted_p or 1 for one in by_max) < sum(one.adjusted_p or 1 for one in by_holm) - 0.01


def test_candidates_may_lack_units_fail_or_be_incomplete() -> None:
    baseline, first, second, third = runs([0.0, 0.3, 0.3, 0.3])
    failing = RunScores("failing", first.scores, units(80), failed=frozenset(units(12)))
    found = compare_candidates(
        baseline,
        [failing, without(second, units(30)), RunScores("going", third.scores, units(80), is_complete=False)],
        metric=ACCURACY,
        setting=Setting(seed=4),
        method="max_t",
    )
    assert [(one.n_common, one.verdict, one.reason) for one in found] == [
        (68, "undecided", "incomplete"),
        (50, "better", None),
        (80, "undecided", "incomplete"),
    ]
    assert "failing fails more often than run 0 (12 against 0 of 80 datapoints" in found[0].sentence


def test_one_candidate_is_no_family() -> None:
    baseline, only = runs([0.0, 0.1])
    (found,) = compare_candidates(baseline, [only], metric=ACCURACY, setting=Setting(seed=4), method="max_t")
    assert (found.correction, found.adjusted_p) == ("none", None)
    assert compare_candidates(baseline, [], metric=ACCURACY, setting=Setting(seed=4)) == []


def test_max_t_without_gaps_and_with_a_column_of_its_own_units() -> None:
    generator = np.random.default_rng(5)
    full = generator.normal(0.1, 1, size=(40, 2))
    gaps = full.copy()
    gaps[20:, 1] = np.nan
    zeros = np.where(np.isnan(gaps), 0.0, gaps)
    assert max_t_test(gaps, seed=1, draws=4_999).p == max_t_test(zeros, seed=1, draws=4_999).p
    alone = permutation_test(gaps[:20, 1], seed=2, draws=20_000).p
    assert max_t_test(gaps[:, 1:], seed=1, draws=20_000).p[0] == pytest.approx(alone, abs=0.015)


def test_memory_bounds_blocks_of_columns_and_changes_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = np.random.default_rng(7).normal(0.1, 1, size=(60, 5))
    whole = permutation_tests(differences, seed=1, draws=2_000), max_t_test(differences, seed=1, draws=2_000)
    monkeypatch.setattr(paired, "TABLE_NUMBERS", 32 * 60 * 2)
    assert list(paired.column_blocks(60, 5)) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert (permutation_tests(differences, seed=1, draws=2_000), max_t_test(differences, seed=1, draws=2_000)) == whole


def all_pairs(given: list[RunScores], **options: int) -> AllPairs:
    return compare_all_pairs(given, metric=ACCURACY, seed=6, **options)


def test_all_pairs_are_those_of_randomised_tukey_over_the_common_units() -> None:
    given = runs([0.0, 0.02, 0.15])
    given[1] = without(given[1], units(5))
    given[2] = RunScores("run 2", given[2].scores, units(80), failed=frozenset(units(10)[7:]))
    found = all_pairs(given)
    common = [unit for unit in units(80) if unit not in units(5) and unit not in units(10)[7:]]
    matrix = np.array([[run.scores[unit] for run in given] for unit in common], dtype=float)
    theirs = randomised_tukey(matrix, seed=6)
    assert [pair.p for pair in found.pairs] == [theirs.p[a][b] for a, b in combinations(range(3), 2)]
    assert (found.method, found.draws, found.units, found.left_out) == ("randomised Tukey HSD", 20_000, 72, 8)
    assert found.means == pytest.approx(theirs.means)
    last = found.pairs[-1]
    assert (last.first, last.second, last.is_different, last.wins + last.ties + last.losses) == (
        "run 1",
        "run 2",
        True,
        72,
    )
    assert last.difference == pytest.approx(matrix[:, 2].mean() - matrix[:, 1].mean())
    assert last.sentence.startswith("run 2 beats run 1 by 0.1")
    assert found.pairs[0].sentence.startswith("undecided: run 1 − run 0 is")
    assert found.warnings == ["3 datapoints failed in run 2 and were left out."]
    assert found.to_json()["pairs"][0]["first"] == "run 0"


def test_where_less_is_better_the_smaller_one_beats() -> None:
    given = runs([0.0, 0.3])
    found = compare_all_pairs(given, metric=Metric("latency", higher_is_better=False), seed=1)
    assert found.pairs[0].sentence.startswith("run 1 loses to run 0 by 0.")
    assert found.pairs[0].losses > found.pairs[0].wins


def test_runs_with_little_in_common_are_compared_pair_by_pair_with_holm() -> None:
    first, second, third = runs([0.0, 0.3, 0.0])
    given = [without(first, units(80)[:30]), without(second, units(80)[60:]), without(third, units(80)[20:60])]
    found = all_pairs(given)
    assert found.method == "permutation tests with Holm"
    assert [pair.units for pair in found.pairs] == [30, 20, 20]
    tests = []
    for a, b in combinations(range(3), 2):
        shared = [unit for unit in units(80) if unit in given[a].scores and unit in given[b].scores]
        differences = [(given[b].scores[unit] or 0.0) - (given[a].scores[unit] or 0.0) for unit in shared]
        tests.append(permutation_test(differences, seed=6, draws=99_999).p)
    assert [pair.p for pair in found.pairs] == holm(tests)


def test_runs_with_nothing_in_common_and_runs_in_progress() -> None:
    first, second, third = runs([0.0, 0.3, 0.0])
    apart = all_pairs([without(first, units(40)), without(second, units(80)[40:])])
    assert apart.pairs[0].p is None
    assert apart.pairs[0].sentence == "run 0 and run 1 have no unit with accuracy in common."
    found = all_pairs([first, second, RunScores(third.name, third.scores, units(80), is_complete=False)])
    assert found.names == ["run 0", "run 1"]
    assert found.warnings == ["run 2 is not complete and is left out."]
    assert all_pairs([]).pairs == []
    with pytest.raises(ValueError, match="different names"):
        all_pairs([first, first])


def test_large_families_use_the_normal_limit_which_agrees_with_the_shuffles() -> None:
    given = runs([0.0, 0.02, 0.03, 0.06], count=400)
    matrix = np.array([list(run.scores.values()) for run in given], dtype=float).T
    shuffled, limit = np.array(randomised_tukey(matrix, seed=2).p), np.array(range_test(matrix))
    assert np.abs(shuffled - limit).max() < 0.015
    found = all_pairs(given, scores_in_all=1_000_000)
    assert found.method == "Tukey HSD of normal sums"
    pairs = [float(limit[a, b]) for a, b in combinations(range(4), 2)]
    assert [pair.p for pair in found.pairs] == pytest.approx(pairs)
    labels = [number // 4 for number in range(400)]
    shuffled = np.array(randomised_tukey(matrix, seed=2, clusters=labels).p)
    assert np.abs(shuffled - np.array(range_test(matrix, clusters=labels))).max() < 0.02
    assert range_test(np.ones((5, 3))) == [[1.0] * 3] * 3
