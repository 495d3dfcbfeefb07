"""Console page of two arms query by query: where does one win, where does it lose?"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models.fields.json import KeyTransform
from django.http import HttpResponseBase

from embeddings_ab.admin.figures_of_report import colours_of, comparisons_of
from embeddings_ab.models import AbTest, Arm, Query, QueryResult
from embeddings_ab.selectors.ab_tests import arms_of, find_test
from governance.admin.pages import PAGE_SIZE, Visit, clean, page
from governance.domain import figures, formats, plots
from governance.domain.actions import Action

TIE = 1e-12
TABS = (
    ("all", "All"),
    ("wins", "Wins"),
    ("losses", "Losses"),
    ("ties", "Ties"),
    ("undefined", "Undefined"),
    ("failed", "Failed"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both arms' values of one query; None where undefined, failed or absent."""

    query_id: int
    old: float | None
    new: float | None
    kind: str  # one of the tabs but "all"

    @property
    def difference(self) -> float | None:
        """Second arm minus first."""
        return None if self.old is None or self.new is None else self.new - self.old


def chosen_arms(visit: Visit, test: AbTest, arms: Sequence[Arm]) -> tuple[Arm, Arm]:
    """`?a=` and `?b=`; by default the control and the arm that differs most from it. Needs at least one arm."""
    by_name = {arm.name: arm for arm in arms}
    first = by_name.get(clean(visit.request.GET.get("a"))) or by_name.get(test.control) or arms[0]
    second = by_name.get(clean(visit.request.GET.get("b")))
    if second is None:
        rows = comparisons_of(test.report or {}, test.primary_metric)
        others = [arm for arm in arms if arm is not first] or [first]
        second = max(others, key=lambda arm: (rows.get(arm.name, {}).get("difference") or 0.0, -arm.position))
    return first, second


def values_of(test: AbTest, arm: Arm, metric: str) -> dict[int, tuple[float | None, bool]]:
    """(value, whether it failed) of one arm by query."""
    rows = QueryResult.objects.filter(test=test, arm=arm).order_by()
    found = rows.annotate(value=KeyTransform(metric, "metrics")).values_list("query_id", "value", "is_failed")
    return {query: (None if failed or value is None else float(value), failed) for query, value, failed in found}


def pairs_of(test: AbTest, first: Arm, second: Arm, metric: str) -> list[Pair]:
    """Every query that either arm answered, biggest movers first, losses before gains of the same size."""
    old, new = values_of(test, first, metric), values_of(test, second, metric)
    pairs = []
    for query in old.keys() | new.keys():
        (a, a_failed), (b, b_failed) = old.get(query, (None, False)), new.get(query, (None, False))
        if a_failed or b_failed:
            kind = "failed"
        elif a is None or b is None:
            kind = "undefined"
        else:
            kind = "ties" if abs(b - a) <= TIE else "wins" if b > a else "losses"
        pairs.append(Pair(query, a, b, kind))

    def place(pair: Pair) -> tuple[bool, float, float, int]:
        by = pair.difference
        return by is None, -abs(by or 0.0), by or 0.0, pair.query_id

    return sorted(pairs, key=place)


@page(Action.AB_READ)
def per_query_page(visit: Visit, test_id: str) -> HttpResponseBase:
    """Every query with both arms' values, biggest movers first."""
    test = find_test(visit.caller, test_id)
    arms = arms_of(test)
    first, second = chosen_arms(visit, test, arms)
    pairs = pairs_of(test, first, second, test.primary_metric)
    counts = {name: sum(1 for pair in pairs if name in ("all", pair.kind)) for name, _ in TABS}
    tab = clean(visit.request.GET.get("tab"))
    tab = tab if tab in counts else "all"
    listed = [pair for pair in pairs if tab in ("all", pair.kind)]
    start = clean(visit.request.GET.get("from"))
    begin = int(start) if start.isascii() and start.isdigit() and len(start) < 9 else 0
    shown = listed[begin : begin + PAGE_SIZE]
    queries = Query.objects.in_bulk([pair.query_id for pair in shown])
    differences = [pair.difference for pair in pairs if pair.difference is not None]
    wins, ties, losses = counts["wins"], counts["ties"], counts["losses"]
    said = f"{second.name} against {first.name}: {wins} queries won, {ties} tied, {losses} lost"
    reach = max((abs(value) for value in differences), default=0.0)
    axis = plots.difference_axis([reach], width=120)
    return visit.render(
        "console/ab_queries.html",
        title=f"Queries of {test.name}",
        test=test,
        arms=arms,
        first=first,
        second=second,
        colours=colours_of(arms),
        tab=tab,
        tabs=[(name, words, counts[name]) for name, words in TABS if counts[name] or name in ("all", "wins", "losses")],
        lines=[
            {
                "pair": pair,
                "query": queries.get(pair.query_id),
                "difference": formats.difference(pair.difference),
                "chip": {"wins": "better", "losses": "worse", "ties": "same", "failed": "failed"}.get(
                    pair.kind, "pending"
                ),
                "plot": plots.mover(pair.difference, axis=axis),
            }
            for pair in shown
        ],
        counts=counts,
        compared=len(differences),
        winloss=figures.stacked(
            [("better", wins), ("rest", ties), ("worse", losses)], whole=wins + ties + losses, label=said
        ),
        movement=plots.movement(differences, label=f"Differences by query, {said}"),
        begin=begin + 1,
        end=begin + len(shown),
        in_tab=len(listed),
        earlier=str(max(0, begin - PAGE_SIZE)) if begin else "",
        later=str(begin + PAGE_SIZE) if begin + PAGE_SIZE < len(listed) else "",
    )
