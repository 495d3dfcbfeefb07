"""Results of a test in key-set order: pages of the API and chunks of exports, each one short query."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from embeddings_ab.domain.statuses import TEST_ENDED, ArmStatus
from embeddings_ab.models import AbTest, Arm, Query, QueryResult
from governance.domain.errors import InvalidInput

EXPORT_CHUNK = 1000
_WITH_FINAL_NUMBERS = (ArmStatus.COMPLETED, ArmStatus.INCOMPLETE)
_CURSOR = re.compile(r"r([0-9a-f]{1,15})", re.ASCII)
_COLUMNS = (
    "pk",
    "arm_id",
    "query__external_id",
    "is_failed",
    "error_code",
    "error_message",
    "ranked_ids",
    "scores",
    "metrics",
    "latency",
)


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One result as edges show it; `position` is the arm's place in the test."""

    pk: int
    arm: str
    position: int
    query_id: str
    is_failed: bool
    error_code: str
    error_message: str
    ranked_ids: list[str]
    scores: list[float]
    metrics: dict[str, float | None]
    latency: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class ResultSelection:
    """Which results of the test; None chooses all."""

    arm: Arm | None = None
    query: Query | None = None
    failed: bool | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no filter is set."""
        return self.arm is None and self.query is None and self.failed is None


def find_arm(test: AbTest, name: str, *, field: str = "arm") -> Arm:
    """An arm of the test; `InvalidInput` lists the arms there are."""
    arms = list(Arm.objects.filter(test=test))
    for arm in arms:
        if arm.name == name:
            return arm
    raise InvalidInput(
        f"Query parameter {field!r} is {name[:80]!r}; arms of this test are {', '.join(arm.name for arm in arms)}.",
        field=field,
        value=name[:200],
    )


def find_query(test: AbTest, query_id: str) -> Query | None:
    """A query of the test's query set by its own id."""
    return Query.objects.filter(query_set_id=test.query_set_id, external_id=query_id).first()


def parse_cursor(text: str) -> int:
    """The place after one result, as `next_cursor` of an answer said it; anything else is refused."""
    if read := _CURSOR.fullmatch(text):
        return int(read[1], 16)
    raise InvalidInput(
        f"Query parameter 'after' is {text[:80]!r}; send 'next_cursor' of the page before, unchanged.",
        field="after",
        value=text[:200],
    )


def cursor_after(row: ResultRow) -> str:
    """What to send as `after` to go on behind `row`."""
    return f"r{row.pk:x}"


def selected(test: AbTest, selection: ResultSelection) -> QuerySet[QueryResult]:
    """The results of a selection, by id."""
    found = QueryResult.objects.filter(test=test)
    if selection.arm is not None:
        found = found.filter(arm=selection.arm)
    if selection.query is not None:
        found = found.filter(query=selection.query)
    if selection.failed is not None:
        found = found.filter(is_failed=selection.failed)
    return found.order_by("pk")


def total(test: AbTest, selection: ResultSelection) -> int:
    """How many results the selection has: from the stored numbers of a test that has ended, else counted."""
    if test.status in TEST_ENDED and selection.query is None:
        if selection.is_everything and test.result_count:
            return test.result_count
        arms = [selection.arm] if selection.arm is not None else list(Arm.objects.filter(test=test))
        if all(arm.status in _WITH_FINAL_NUMBERS for arm in arms):
            failed = sum(arm.queries_failed for arm in arms)
            done = sum(arm.queries_done for arm in arms)
            return {None: done, True: failed, False: done - failed}[selection.failed]
    return selected(test, selection).count()


def numbered_page(test: AbTest, selection: ResultSelection, *, start: int, size: int) -> list[ResultRow]:
    """Up to `size` results from the `start`-th on. Rows before it are counted off in the index, not read."""
    keys = list(selected(test, selection).values_list("pk", flat=True)[start : start + size])
    if not keys:
        return []
    within = selected(test, selection).filter(pk__gte=keys[0], pk__lte=keys[-1])
    return _rows(within[:size], _arms(test))


def page_after(test: AbTest, selection: ResultSelection, *, after: int, size: int) -> list[ResultRow]:
    """Up to `size` results behind the cursor."""
    return _rows(selected(test, selection).filter(pk__gt=after)[:size], _arms(test))


def chunks(test: AbTest, selection: ResultSelection, *, size: int = EXPORT_CHUNK) -> Iterator[list[ResultRow]]:
    """All results of a selection, each chunk a query of its own: no transaction stays open while a client reads."""
    arms, last = _arms(test), 0
    while chunk := _rows(selected(test, selection).filter(pk__gt=last)[:size], arms):
        yield chunk
        last = chunk[-1].pk


def _arms(test: AbTest) -> dict[int, tuple[str, int]]:
    return {
        pk: (name, place) for pk, name, place in Arm.objects.filter(test=test).values_list("pk", "name", "position")
    }


def _rows(found: QuerySet[QueryResult], arms: dict[int, tuple[str, int]]) -> list[ResultRow]:
    # Tuples instead of model instances: a page of 500 is half the work.
    rows: Sequence[tuple[Any, ...]] = list(found.values_list(*_COLUMNS))
    return [ResultRow(pk, *arms[arm_id], *rest) for pk, arm_id, *rest in rows]
