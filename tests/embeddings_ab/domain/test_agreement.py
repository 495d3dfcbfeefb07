"""Agreement of labellers against published worked examples and statsmodels."""

import random

import pytest
from statsmodels.stats.inter_rater import cohens_kappa as reference_kappa

from embeddings_ab.domain.agreement import (
    agreement_of,
    cohens_kappa,
    krippendorffs_alpha,
    pair_agreements,
    settled,
    words_of,
)

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C and D: four observers, twelve units.
OBSERVERS = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}


def published() -> dict[int, dict[str, int]]:
    rows: dict[int, dict[str, int]] = {}
    for name, line in OBSERVERS.items():
        for unit, grade in enumerate(line.split()):
            if grade != ".":
                rows.setdefault(unit, {})[name] = int(grade)
    return rows


def pairs_of(table: list[list[int]]) -> list[tuple[int, int]]:
    return [(a, b) for a, row in enumerate(table) for b, n in enumerate(row) for _ in range(n)]


def test_alpha_equals_the_worked_example_of_its_author() -> None:
    found = agreement_of(published())

    assert found.nominal == pytest.approx(0.743, abs=5e-4)
    assert found.ordinal == pytest.approx(0.815, abs=5e-4)
    assert found.interval == pytest.approx(0.849, abs=5e-4)
    # 41 values, one of them (unit 12) alone in its unit.
    assert (found.n, found.labellers, found.labels) == (11, 4, 41)
    assert found.to_json()["words"] == "almost perfect"


def test_alpha_of_two_observers_equals_the_binary_example() -> None:
    # The same paper, section A: ten units, Meg and Owen, alpha 0.095.
    meg, owen = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]

    assert krippendorffs_alpha(list(zip(meg, owen, strict=True)), level="nominal") == pytest.approx(0.095, abs=5e-4)


def test_kappa_equals_published_figures() -> None:
    # Fleiss, Levin and Paik, "Statistical Methods for Rates and Proportions", table 18.1: kappa 0.68.
    diagnoses = [[75, 1, 4], [5, 4, 1], [0, 0, 10]]

    assert cohens_kappa(pairs_of(diagnoses)) == pytest.approx(0.68, abs=5e-3)
    # Fifty grants read by two: 20 both yes, 15 both no, 5 and 10 apart: agreement 0.7, by chance 0.5.
    assert cohens_kappa(pairs_of([[20, 5], [10, 15]])) == pytest.approx(0.4)


def test_kappa_equals_statsmodels_on_random_tables() -> None:
    chance = random.Random(5)
    for _ in range(200):
        size = chance.randint(2, 6)
        table = [[chance.randint(0, 9) for _ in range(size)] for _ in range(size)]
        table[0][1] += 1  # never all in one cell
        for quadratic in (False, True):
            expected = reference_kappa(table, wt="quadratic" if quadratic else None, return_results=False)
            found = cohens_kappa(pairs_of(table), quadratic=quadratic)
            assert found == pytest.approx(expected, abs=1e-12)


def test_what_cannot_be_measured_is_none() -> None:
    assert cohens_kappa([]) is None
    assert cohens_kappa([(1, 1), (1, 1)]) is None
    assert krippendorffs_alpha([[1], [2]], level="ordinal") is None
    assert krippendorffs_alpha([[2, 2], [2, 2, 2]], level="interval") is None
    found = agreement_of({})
    assert (found.n, found.labels, found.nominal) == (0, 0, None)
    assert found.to_json()["words"] == "undefined"


def test_full_disagreement_is_below_chance() -> None:
    assert cohens_kappa([(0, 1), (1, 0)]) == -1.0
    assert krippendorffs_alpha([(0, 1), (1, 0)], level="nominal") == pytest.approx(-0.5)


def test_every_pair_of_labellers_is_compared_on_what_both_graded() -> None:
    found = pair_agreements({"i": {"b": 1, "a": 1, "c": 0}, "j": {"a": 0, "b": 0}, "k": {"c": 2}})

    assert [(pair.a, pair.b, pair.n, pair.agreed) for pair in found] == [
        ("a", "b", 2, 2),
        ("a", "c", 1, 0),
        ("b", "c", 1, 0),
    ]
    assert found[0].kappa == 1.0
    assert found[0].to_json()["words"] == "almost perfect"
    assert pair_agreements({"i": {"a": 1}}) == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "undefined"), (-0.1, "poor"), (0.0, "slight"), (0.2, "slight"), (0.21, "fair"), (0.41, "moderate"),
        (0.61, "substantial"), (0.8, "substantial"), (0.81, "almost perfect"), (1.0, "almost perfect"),
    ],
)  # fmt: skip
def test_words_are_those_of_landis_and_koch(value: float | None, words: str) -> None:
    assert words_of(value) == words


def test_several_grades_settle_by_rule() -> None:
    assert settled([2, 0, 2], "majority") == 2
    assert settled([2, 0], "majority") == 0  # doubt does not make a document relevant
    assert settled([3, 0, 0, 3, 1], "majority") == 0
    assert settled([1, 2], "mean") == 2
    assert settled([0, 0, 1], "mean") == 0
    assert settled([3, 1, 2], "latest") == 2
