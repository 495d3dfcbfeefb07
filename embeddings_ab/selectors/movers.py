"""Queries by how much one arm moved them against another, biggest first."""

from dataclasses import dataclass
from typing import Literal

from django.db.models.fields.json import KeyTextTransform

from embeddings_ab.models import AbTest, Arm, Query, QueryResult

Kind = Literal["wins", "losses", "ties"]
KINDS: tuple[Kind, ...] = ("wins", "losses", "ties")
# Below it two scores differ by rounding only; the same bound as in experiments.domain.statistics.paired.
TIE = 1e-12


@dataclass(frozen=True, slots=True)
class Mover:
    """One query: what both arms scored, and the difference arm - against."""

    query_pk: int
    value: float
    against: float

    @property
    def difference(self) -> float:
        """Positive where the arm is better."""
        return self.value - self.against

    @property
    def kind(self) -> Kind:
        """A win or a loss of the arm, or a tie."""
        if abs(self.difference) <= TIE:
            return "ties"
        return "wins" if self.difference > 0 else "losses"


def movers(test: AbTest, *, arm: Arm, against: Arm, metric: str, only: Kind | None = None) -> list[Mover]:
    """Queries that both arms have a value for, greatest absolute difference first, then in order of the query set.

    Two statements that read one number a query, whatever else the results hold.
    """
    theirs = _values(test, against, metric)
    found = [
        Mover(query, value, theirs[query]) for query, value in _values(test, arm, metric).items() if query in theirs
    ]
    if only is not None:
        found = [mover for mover in found if mover.kind == only]
    # Rounded to the bound of ties, so that differences which only rounding tells apart stay in order of the set.
    return sorted(found, key=lambda mover: (-round(abs(mover.difference), 12), mover.query_pk))


def queries_of_page(page: list[Mover]) -> dict[int, Query]:
    """The queries of some movers, by primary key."""
    return Query.objects.in_bulk([mover.query_pk for mover in page])


def _values(test: AbTest, arm: Arm, metric: str) -> dict[int, float]:
    rows = QueryResult.objects.filter(test=test, arm=arm, is_failed=False)
    # As text: half the time of decoding each number as JSON. SQLite spells JSON's null 'null' there.
    found = rows.annotate(measured=KeyTextTransform(metric, "metrics")).values_list("query_id", "measured")
    return {query: float(value) for query, value in found if value not in (None, "null")}
