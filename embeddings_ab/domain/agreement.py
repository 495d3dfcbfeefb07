"""How far labellers agree beyond chance: Cohen's kappa of two, Krippendorff's alpha of many, with what is missing.

Plain Python: a judging pool has thousands of labels, not millions. Undefined figures are None, with the n they rest on.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["nominal", "ordinal", "interval"]
Labels = Mapping[Hashable, Mapping[str, int]]  # grade by item and labeller
# Landis and Koch, Biometrics 33 (1977), p. 165: a custom, not a law.
_WORDS = ((0.0, "slight"), (0.20, "fair"), (0.40, "moderate"), (0.60, "substantial"), (0.80, "almost perfect"))
_EPSILON = 1e-12


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two labellers over the `n` items that both graded; None where chance alone explains everything or n is 0."""

    a: str
    b: str
    n: int
    agreed: int
    kappa: float | None
    weighted_kappa: float | None

    def to_json(self) -> dict[str, Any]:
        """Every field, and the words for the weighted figure (the scale is ordered)."""
        return {**asdict(self), "words": words_of(self.weighted_kappa)}


@dataclass(frozen=True, slots=True)
class GroupAgreement:
    """Krippendorff's alpha over `n` items with at least two labels, from `labellers` labellers and `labels` labels."""

    n: int
    labellers: int
    labels: int
    nominal: float | None
    ordinal: float | None
    interval: float | None

    def to_json(self) -> dict[str, Any]:
        """Every field, and the words for the ordinal figure."""
        return {**asdict(self), "words": words_of(self.ordinal)}


def words_of(value: float | None) -> str:
    """The customary word for a kappa or alpha: poor, slight, fair, moderate, substantial or almost perfect."""
    if value is None:
        return "undefined"
    if value < 0:
        return "poor"
    return next(word for bound, word in reversed(_WORDS) if value > bound or bound == 0.0)


def cohens_kappa(pairs: Iterable[tuple[int, int]], *, quadratic: bool = False) -> float | None:
    """Cohen's kappa of two labellers' grades of the same items (Educational and Psychological Measurement 20, 1960).

    `quadratic` weighs a disagreement by the square of its distance in grades (Cohen 1968), so that 3 against 2 counts
    less than 3 against 0. 1 − observed / expected disagreement; None without pairs, and where no disagreement is
    expected because both gave one and the same grade throughout.
    """
    found = list(pairs)
    rows, columns = Counter(a for a, _ in found), Counter(b for _, b in found)

    def weight(a: int, b: int) -> float:
        return float((a - b) ** 2 if quadratic else a != b)

    observed = sum(weight(a, b) for a, b in found)
    expected = sum(weight(a, b) * n * m for a, n in rows.items() for b, m in columns.items())
    if not found or expected == 0:
        return None
    return 1.0 - observed * len(found) / expected


def krippendorffs_alpha(items: Iterable[Sequence[int]], *, level: Level) -> float | None:
    """Krippendorff's alpha of the grades that each item was given, by any number of labellers.

    "Computing Krippendorff's Alpha-Reliability" (2011), form D: coincidences within items, so that missing grades cost
    nothing; items with fewer than two grades say nothing. None where no two grades can be paired or all are equal.
    """
    coincidences: Counter[tuple[int, int]] = Counter()
    for grades in items:
        if len(grades) < 2:
            continue
        counts = Counter(grades)
        for a, n in counts.items():
            for b, m in counts.items():
                coincidences[a, b] += n * (m - (a == b)) / (len(grades) - 1)  # type: ignore[assignment]
    values = sorted({a for a, _ in coincidences})
    totals = {a: math.fsum(coincidences[a, b] for b in values) for a in values}
    whole = math.fsum(totals.values())
    distances = {(a, b): _distance(a, b, values, totals, level) for a in values for b in values}
    expected = math.fsum(totals[a] * totals[b] * distances[a, b] for a in values for b in values)
    if expected <= _EPSILON:
        return None
    observed = math.fsum(coincidences[a, b] * distances[a, b] for a in values for b in values)
    return 1.0 - (whole - 1.0) * observed / expected


def _distance(a: int, b: int, values: Sequence[int], totals: Mapping[int, float], level: Level) -> float:
    if level == "nominal":
        return float(a != b)
    if level == "interval":
        return float((a - b) ** 2)
    low, high = min(a, b), max(a, b)
    between = math.fsum(totals[value] for value in values if low <= value <= high)
    return (between - (totals[a] + totals[b]) / 2.0) ** 2


def agreement_of(labels: Labels) -> GroupAgreement:
    """Alpha of all labellers over their items, at each level of measurement."""
    shared = [list(row.values()) for row in labels.values() if len(row) >= 2]
    return GroupAgreement(
        n=len(shared),
        labellers=len({name for row in labels.values() for name in row}),
        labels=sum(len(row) for row in labels.values()),
        nominal=krippendorffs_alpha(shared, level="nominal"),
        ordinal=krippendorffs_alpha(shared, level="ordinal"),
        interval=krippendorffs_alpha(shared, level="interval"),
    )


def pair_agreements(labels: Labels) -> list[PairAgreement]:
    """Both kappas of every two labellers that graded an item in common, by name."""
    shared: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in labels.values():
        names = sorted(row)
        for place, a in enumerate(names):
            for b in names[place + 1 :]:
                shared.setdefault((a, b), []).append((row[a], row[b]))
    return [
        PairAgreement(
            a, b, len(pairs), sum(x == y for x, y in pairs), cohens_kappa(pairs), cohens_kappa(pairs, quadratic=True)
        )
        for (a, b), pairs in sorted(shared.items())
    ]


Rule = Literal["majority", "mean", "latest"]
RULES: tuple[Rule, ...] = ("majority", "mean", "latest")


def settled(grades: Sequence[int], rule: Rule) -> int:
    """One grade of several, oldest first. `majority`: the most frequent, of equally frequent ones the lowest, so that
    doubt does not make a document relevant; `mean`: rounded, halves up; `latest`: the last. Needs at least one grade.
    """
    if rule == "latest":
        return grades[-1]
    if rule == "mean":
        return math.floor(sum(grades) / len(grades) + 0.5)
    counts = Counter(grades)
    return min(counts, key=lambda grade: (-counts[grade], grade))
