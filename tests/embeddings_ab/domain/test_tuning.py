"""Choosing among configurations: folds, a hand-worked case, the optimism that simulations show, the Pareto front."""

import json
import math
from typing import Any

import numpy as np
import pytest

from embeddings_ab.domain.tuning import ParetoPoint, assign_folds, cross_validate, pareto_front


def ids(count: int) -> list[str]:
    return [f"q{number}" for number in range(count)]


def names(count: int) -> list[str]:
    return [f"alpha {number}" for number in range(count)]


def test_two_folds_by_hand() -> None:
    queries = ids(4)
    fold_of = assign_folds(queries, seed=3, folds=2)
    first, second = ([k for k in range(4) if fold_of[k] == fold] for fold in (0, 1))
    scores = np.zeros((2, 4))
    scores[0, first], scores[1, second] = (
        [0.9, 0.7],
        [0.6, 0.4],
    )  # alpha 0 shines on the first fold, alpha 1 on the other
    found = cross_validate(scores, configurations=names(2), queries=queries, seed=3, folds=2)
    assert (found.chosen, found.apparent_mean) == ("alpha 0", pytest.approx(0.4))
    assert found.fold_choices == ["alpha 1", "alpha 0"]  # each fold's choice was made on the other
    assert (found.cross_validated_mean, found.optimism_gap) == (0.0, pytest.approx(0.4))
    assert found.held_out_scores == dict.fromkeys(queries, 0.0)
    assert (found.means["alpha 1"], found.fold_sizes) == (pytest.approx(0.25), [2, 2])
    assert found.choice_share == {"alpha 0": 0.5, "alpha 1": 0.5}


def test_a_clear_winner_has_no_gap() -> None:
    scores = np.random.default_rng(1).uniform(size=(1, 50)) + np.array([[0.0], [0.3], [0.1]])
    found = cross_validate(scores, configurations=names(3), queries=ids(50), seed=1, repeats=3)
    assert found.chosen == "alpha 1"
    assert found.choice_share == {"alpha 1": 1.0}
    assert found.optimism_gap == pytest.approx(0.0, abs=1e-12)
    assert len(found.fold_choices) == 15


def test_order_of_queries_never_matters_and_the_seed_does() -> None:
    scores, queries = np.random.default_rng(2).uniform(size=(6, 40)), ids(40)
    found = cross_validate(scores, configurations=names(6), queries=queries, seed=9)
    backwards = cross_validate(scores[:, ::-1], configurations=names(6), queries=queries[::-1], seed=9)
    assert found == backwards
    assert found.held_out_scores != cross_validate(scores, configurations=names(6), queries=queries, seed=10)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()


def test_ties_go_to_the_configuration_named_first() -> None:
    scores = [[0.1 + 0.2] * 6, [0.3] * 6]
    assert cross_validate(scores, configurations=["plain", "costly"], queries=ids(6), seed=1, folds=2).chosen == "plain"
    swapped = cross_validate(scores[::-1], configurations=["plain", "costly"], queries=ids(6), seed=1, folds=2)
    assert swapped.chosen == "plain"


def optimism(true_means: np.ndarray[Any, Any], repetitions: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Apparent and cross-validated mean less the true mean of the chosen configuration, for each repetition."""
    generator = np.random.default_rng(77)
    apparent, honest = np.empty(repetitions), np.empty(repetitions)
    configurations, queries = names(len(true_means)), ids(30)
    for repetition in range(repetitions):
        difficulty = generator.normal(0, 0.2, size=30)
        scores = true_means[:, None] + difficulty + generator.normal(0, 0.15, size=(len(true_means), 30))
        found = cross_validate(scores, configurations=configurations, queries=queries, seed=repetition)
        truth = true_means[configurations.index(found.chosen)]
        apparent[repetition], honest[repetition] = found.apparent_mean - truth, found.cross_validated_mean - truth
    return apparent, honest


def test_the_apparent_mean_is_optimistic_and_the_cross_validated_one_is_not() -> None:
    apparent, honest = optimism(np.full(20, 0.5), 400)
    error = float(honest.std() / math.sqrt(len(honest)))
    assert apparent.mean() > 0.03  # 20 equal configurations, and the best of them looks 5 points better
    assert apparent.mean() > 6 * error
    assert abs(honest.mean()) < 3 * error


def test_where_configurations_differ_cross_validation_errs_low_if_at_all() -> None:
    apparent, honest = optimism(0.5 + np.linspace(0, 0.06, 20), 400)
    error = float(honest.std() / math.sqrt(len(honest)))
    assert apparent.mean() > 6 * error
    assert -0.015 < honest.mean() < 3 * error


def test_folds_are_balanced_seeded_and_complete() -> None:
    queries = ids(52)
    fold_of = assign_folds(queries, seed=4, folds=5)
    assert sorted(np.bincount(fold_of).tolist()) == [10, 10, 10, 11, 11]
    assert (fold_of == assign_folds(queries, seed=4, folds=5)).all()
    assert (fold_of != assign_folds(queries, seed=5, folds=5)).any()


def test_groups_stay_together() -> None:
    queries = ids(60)
    groups = {query: f"document {number // 7}" for number, query in enumerate(queries) if number < 56}
    fold_of = assign_folds(queries, seed=4, folds=3, groups=groups)
    for name in set(groups.values()):
        assert len({int(fold_of[k]) for k, query in enumerate(queries) if groups.get(query) == name}) == 1
    assert max(np.bincount(fold_of)) - min(np.bincount(fold_of)) <= 7
    shared = np.repeat(np.random.default_rng(8).normal(size=(10, 8)), 5, axis=1)  # paraphrases score alike
    paraphrases = {query: str(number // 5) for number, query in enumerate(ids(40))}
    loose = cross_validate(shared, configurations=names(10), queries=ids(40), seed=1, folds=4)
    tight = cross_validate(shared, configurations=names(10), queries=ids(40), seed=1, folds=4, groups=paraphrases)
    assert tight.optimism_gap > loose.optimism_gap + 0.05  # apart, the fold leaks its own answers


def test_pareto_front() -> None:
    points = [
        ParetoPoint("best", 0.9, 50.0, 3.0),
        ParetoPoint("fast", 0.7, 5.0, 3.0),
        ParetoPoint("cheap", 0.7, 40.0, 0.0),
        ParetoPoint("dominated", 0.7, 50.0, 3.0),
        ParetoPoint("twin of fast", 0.7, 5.0, 3.0),
        ParetoPoint("no quality", None, 1.0, 0.0),
        ParetoPoint("unknown latency", 0.9, None, 3.0),
        ParetoPoint("unknown but best", 0.95),
    ]
    assert pareto_front(points) == ["unknown but best", "best", "fast", "twin of fast", "cheap"]
    assert pareto_front([ParetoPoint("a", 0.4), ParetoPoint("b", 0.5)]) == ["b"]
    assert pareto_front([]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [[0.1, 0.2, 0.3]]}, r"configurations × queries, \(2, 3\)"),
        ({"scores": [[0.1, 0.2, math.nan], [0.1, 0.2, 0.3]]}, "finite score"),
        ({"configurations": ["a", "a"]}, "configurations must be distinct"),
        ({"queries": ["x", "y", "x"]}, "queries must be distinct"),
        ({"folds": 1}, "got 1 and 1"),
        ({"repeats": 0}, "got 2 and 0"),
        ({"folds": 4}, "4 folds need as many queries or groups, got 3"),
        ({"groups": {"x": "g", "y": "g", "z": "g"}}, "got 1"),
    ],
)
def test_bad_arguments_are_refused(change: dict[str, Any], message: str) -> None:
    good = {"configurations": ["a", "b"], "queries": ["x", "y", "z"], "folds": 2, "repeats": 1, "groups": None}
    given = {"scores": [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]} | good | change
    with pytest.raises(ValueError, match=message):
        cross_validate(given.pop("scores"), seed=1, **given)
