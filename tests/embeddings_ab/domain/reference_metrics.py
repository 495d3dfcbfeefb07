"""The measures once more in plain Python, written from their definitions and from nothing of ours."""

import math


def ranking_of(hits):
    """Units by best score, then ordinal, from (unit, score) pairs with repeats."""
    best = {}
    for unit, score in hits:
        best[unit] = max(score, best.get(unit, -math.inf))
    return [unit for unit, _ in sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))]


def measure(family, k, ranking, grades, relevant_from=1):
    """One value; None where no unit is relevant."""
    relevant = {unit for unit, grade in grades.items() if grade >= relevant_from}
    if not relevant:
        return None
    if family == "nDCG'":
        ranking = [unit for unit in ranking if unit in grades]
    top = ranking if k is None else ranking[:k]
    hits = [unit in relevant for unit in top]
    if family in ("nDCG", "nDCG'", "nDCG-exp"):
        return _ndcg(top, grades, k, family == "nDCG-exp")
    if family == "R":
        return sum(hits) / len(relevant)
    if family == "R-cap":
        return sum(hits) / min(k, len(relevant))
    if family == "Hit":
        return float(any(hits))
    if family == "P":
        return sum(hits) / k
    if family == "MRR":
        return 1 / (hits.index(True) + 1) if any(hits) else 0.0
    if family == "AP":
        return sum(sum(hits[: at + 1]) / (at + 1) for at, hit in enumerate(hits) if hit) / len(relevant)
    if family == "Judged":
        return sum(unit in grades for unit in top) / len(top) if top else None
    raise KeyError(family)


def _ndcg(top, grades, k, is_exponential):
    def gain(grade):
        return 0 if grade <= 0 else 2**grade - 1 if is_exponential else grade

    dcg = sum(gain(grades.get(unit, 0)) / math.log2(rank + 1) for rank, unit in enumerate(top, start=1))
    ideal = sorted((gain(grade) for grade in grades.values()), reverse=True)[:k]
    return dcg / sum(value / math.log2(rank + 1) for rank, value in enumerate(ideal, start=1))
