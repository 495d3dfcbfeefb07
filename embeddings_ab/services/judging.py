"""Use cases of judging pools: made from the rankings of a test, dealt out to people, one document at a time."""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any, cast

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from embeddings_ab.domain.measures import depth_needed, parse_measure
from embeddings_ab.domain.names import valid_name
from embeddings_ab.domain.pooling import PoolItem, build_pool
from embeddings_ab.domain.statuses import TestStatus
from embeddings_ab.models import AbTest, JudgingItem, JudgingPool, JudgmentSource, Label, Query, QueryResult
from embeddings_ab.selectors.ab_tests import find_test
from embeddings_ab.selectors.judging import find_item, find_pool, items_in_order
from embeddings_ab.selectors.query_sets import find_query_set, grades_by_query
from governance.domain.actions import ALLOWED_BY_ROLE, Action, Role
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput, NotFound
from governance.domain.json_bodies import invalid_input, replace_nul
from governance.models import Member
from governance.models.clock import from_now
from governance.services import audit

MAX_DEPTH, MAX_ITEMS, MAX_LABELS_PER_ITEM, GUIDELINES_LIMIT = 100, 100_000, 10, 20_000
HOLD = dt.timedelta(minutes=10)
_BATCH = 1000
_CANDIDATES = 20


class ScaleGrade(BaseModel):
    """One grade that a judge may give."""

    model_config = ConfigDict(extra="forbid", strict=True)

    grade: int = Field(ge=0, le=9)
    label: str = Field(min_length=1, max_length=40)
    help: str = Field(default="", max_length=400)


DEFAULT_SCALE: tuple[dict[str, Any], ...] = (
    {"grade": 0, "label": "Not relevant", "help": "Says nothing about what was asked."},
    {"grade": 1, "label": "Related", "help": "On the subject, and answers a little of it."},
    {"grade": 2, "label": "Partly", "help": "Answers a part of it."},
    {"grade": 3, "label": "Fully", "help": "Answers it; no other document is needed."},
)
_SCALE = TypeAdapter(list[ScaleGrade])


def valid_scale(scale: Sequence[Any]) -> list[dict[str, Any]]:
    """Two to ten grades from 0 to 9, each once, in their order. Grades are gains and keys of the keyboard."""
    try:
        found = _SCALE.validate_python(list(scale))
    except ValidationError as error:
        fault = invalid_input(error)
        field = f"scale.{fault.details['field']}"
        message = fault.message.replace(repr(fault.details["field"]), repr(field))
        raise InvalidInput(message, field=field, value=fault.details.get("value")) from None
    grades = [row.grade for row in found]
    if not 2 <= len(grades) <= 10 or len(set(grades)) != len(grades):
        raise InvalidInput(
            f"Field 'scale' has the grades {grades}; give two to ten different ones from 0 (not relevant) to 9.",
            field="scale",
            value=str(grades),
        )
    return [replace_nul(row.model_dump()) for row in sorted(found, key=lambda row: row.grade)]


@transaction.atomic
def create_pool(
    *,
    caller: Caller,
    test_id: str,
    name: str,
    depth: int = 10,
    guidelines: str = "",
    scale: Sequence[Any] = DEFAULT_SCALE,
    labels_per_item: int = 1,
    only_unjudged: bool = True,
) -> JudgingPool:
    """Pool what the arms of an ended test rank within `depth`, most useful label first; see `domain/pooling.py`."""
    caller.require(Action.AB_WRITE)
    name = valid_name(name, noun="judging pool")
    _require_within("depth", depth, MAX_DEPTH)
    _require_within("labels_per_item", labels_per_item, MAX_LABELS_PER_ITEM)
    if len(guidelines) > GUIDELINES_LIMIT:
        raise InvalidInput(
            f"Field 'guidelines' has {len(guidelines)} characters; shorten it to {GUIDELINES_LIMIT}.",
            field="guidelines",
        )
    grades = valid_scale(scale)
    test = find_test(caller, test_id)
    if test.status not in (TestStatus.COMPLETED, TestStatus.INCOMPLETE):
        raise Conflict(
            f"Test {test.name!r} is {test.status}; a pool is made of its results. Wait until it is completed.",
            field="test_id",
            value=test_id,
        )
    # The newest version: what was published since the test is judged already.
    judged = grades_by_query(find_query_set(caller, test.query_set.name))
    items = _pooled(test, judged, depth, only_unjudged)
    if not items:
        raise Conflict(
            f"The arms of test {test.name!r} found nothing within rank {depth} that is not judged already: "
            "there is nothing to judge. Raise depth, or set only_unjudged to false.",
            field="depth",
            value=depth,
        )
    try:
        with transaction.atomic():
            pool = JudgingPool.objects.create(
                project_id=caller.project_id,
                query_set=test.query_set,
                test=test,
                name=name,
                depth=depth,
                guidelines=replace_nul(guidelines),
                scale=grades,
                labels_per_item=labels_per_item,
                created_by=caller.actor_label[:240],
            )
    except IntegrityError:
        raise Conflict(
            f"Field 'name': this project has a judging pool {name!r} already; choose another name.",
            field="name",
            value=name,
        ) from None
    _store(pool, items)
    audit.record(
        caller=caller,
        action="judging_pool.create",
        target_kind="judging_pool",
        target_id=pool.public_id,
        target_label=pool.name,
        after={
            "name": name,
            "test": test.public_id,
            "query_set": str(test.query_set),
            "depth": depth,
            "items": len(items),
            "labels_per_item": labels_per_item,
            "only_unjudged": only_unjudged,
        },
    )
    return pool


def _require_within(field: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise InvalidInput(
            f"Field {field!r} is {value}; give a whole number from 1 to {most}.", field=field, value=value
        )


def _pooled(test: AbTest, judged: dict[str, dict[str, int]], depth: int, only_unjudged: bool) -> list[PoolItem]:
    measure = parse_measure(test.primary_metric)
    deep = max(depth, depth_needed([measure]))
    rankings: dict[str, dict[str, list[str]]] = {}
    rows = QueryResult.objects.filter(test=test, is_failed=False).order_by("id")
    found = rows.values_list("arm__name", "query__external_id", "ranked_ids").iterator(chunk_size=_BATCH)
    for arm, query, ranked_ids in found:
        rankings.setdefault(arm, {})[query] = ranked_ids[:deep]
    compared = (test.report or {}).get("comparisons", [])
    items = build_pool(
        rankings,
        judged=judged,
        control=test.control,
        p_values={row["arm"]: row.get("adjusted_p") for row in compared if row.get("metric") == test.primary_metric},
        alpha=float(test.spec.get("alpha", 0.05)),
        measure=measure,
        depth=depth,
        relevant_from=int(test.spec.get("relevant_from", 1)),
        only_unjudged=only_unjudged,
    )
    if len(items) > MAX_ITEMS:
        raise InvalidInput(
            f"Field 'depth' is {depth}, which pools {len(items):,} documents; at most {MAX_ITEMS:,} fit. Lower it.",
            field="depth",
            value=depth,
        )
    return items


def _store(pool: JudgingPool, items: Sequence[PoolItem]) -> None:
    """Rows in order of priority, so that the order of their ids is the order of judging."""
    queries = dict(Query.objects.filter(query_set_id=pool.query_set_id).values_list("external_id", "pk"))
    for start in range(0, len(items), _BATCH):
        JudgingItem.objects.bulk_create(
            JudgingItem(
                pool=pool,
                query_id=queries[item.query_id],
                document_id=item.document_id,
                priority=item.priority,
                found_by=item.found_by,
            )
            for item in items[start : start + _BATCH]
        )


@transaction.atomic
def delete_pool(*, caller: Caller, pool_id: str) -> None:
    """Delete a pool with its labels. What was published from it stays."""
    caller.require(Action.AB_WRITE)
    pool = find_pool(caller, pool_id)
    name = pool.name
    before = {
        "name": name,
        "items": JudgingItem.objects.filter(pool=pool).count(),
        "labels": Label.objects.filter(item__pool=pool).count(),
    }
    pool.delete()
    audit.record(
        caller=caller,
        action="judging_pool.delete",
        target_kind="judging_pool",
        target_id=pool_id,
        target_label=name,
        before=before,
    )


@transaction.atomic
def assign_items(*, caller: Caller, pool_id: str, users: Sequence[str]) -> int:
    """Deal the items that nobody has judged to `users`, whole queries in turn, so that one person sees all documents of
    a query; no users: anybody may judge anything again. Returns how many items were dealt or freed.
    """
    caller.require(Action.AB_WRITE)
    pool = find_pool(caller, pool_id)
    names = list(dict.fromkeys(name.strip() for name in users if name.strip()))
    judges = judges_of(caller)
    if missing := [name for name in names if name not in judges]:
        raise InvalidInput(
            f"Field 'users': {missing[0][:80]!r} is no member of this project who may judge; "
            f"there are {', '.join(sorted(judges)[:20]) or 'none'}.",
            field="users",
            value=missing[0][:200],
        )
    free = items_in_order(pool).filter(human_labels=0)
    dealt = 0
    if not names:
        dealt = JudgingItem.objects.filter(pool=pool).exclude(assigned_to="").update(assigned_to="")
    else:
        order = list(dict.fromkeys(free.values_list("query_id", flat=True)))
        for place, name in enumerate(names):
            mine = order[place :: len(names)]
            for start in range(0, len(mine), _BATCH):
                chosen = free.filter(query_id__in=mine[start : start + _BATCH]).values_list("pk", flat=True)
                dealt += JudgingItem.objects.filter(pk__in=list(chosen)).update(assigned_to=name)
    audit.record(
        caller=caller,
        action="judging_pool.assign",
        target_kind="judging_pool",
        target_id=pool.public_id,
        target_label=pool.name,
        after={"users": names, "items": dealt},
    )
    return dealt


def judges_of(caller: Caller) -> set[str]:
    """User names of the project's members who may judge."""
    roles = [role.value for role in Role if Action.AB_JUDGE in ALLOWED_BY_ROLE[role]]
    members = Member.objects.filter(project_id=caller.project_id, role__in=roles)
    return set(members.values_list("user__username", flat=True))


def next_item(*, caller: Caller, pool_id: str, user: str, without: Collection[int] = ()) -> JudgingItem | None:
    """The most useful item that `user` may judge now, held for ten minutes; None when there is none.

    Left out: what the person has judged, what is assigned to somebody else or has labels enough, and `without` (what
    was skipped). An item that another person holds is theirs, unless the pool asks for more labels than are on their
    way. The hold is one conditional UPDATE: of two people at once one gets the row, the other the next row.
    """
    caller.require(Action.AB_JUDGE)
    pool = find_pool(caller, pool_id)
    mine = Label.objects.filter(item=OuterRef("pk"), source=JudgmentSource.HUMAN, labeller=user)
    is_free = Q(held_until__isnull=True) | Q(held_until__lte=Now()) | Q(held_by=user)
    rows = items_in_order(pool).filter(~Exists(mine), Q(assigned_to="") | Q(assigned_to=user))
    rows = rows.filter(human_labels__lt=pool.labels_per_item).exclude(pk__in=list(without))
    may_share = Q(human_labels__lt=pool.labels_per_item - 1)
    held: JudgingItem | None = rows.filter(held_by=user, held_until__gt=Now()).first()
    if held is not None and _hold(held, is_free, user):
        return held
    while candidates := list(rows.filter(is_free | may_share)[:_CANDIDATES]):
        for item in candidates:
            # A person who shares an item leaves the other's hold: it still says that a label is on its way.
            if _hold(item, is_free, user) or item.human_labels < pool.labels_per_item - 1:
                return cast(JudgingItem, item)
    return None


def _hold(item: JudgingItem, is_free: Q, user: str) -> bool:
    # A label leaves the hold in place until it runs out: whoever looked before the label came finds the row held.
    rows = JudgingItem.objects.filter(is_free, pk=item.pk)
    return rows.update(held_by=user, held_until=from_now(HOLD)) == 1


def skip_item(*, caller: Caller, pool_id: str, item_id: int, user: str) -> JudgingItem:
    """Let go of an item, so that others may judge it; give its id to `next_item` as `without`."""
    caller.require(Action.AB_JUDGE)
    item = find_item(find_pool(caller, pool_id), item_id)
    JudgingItem.objects.filter(pk=item.pk, held_by=user).update(held_by="", held_until=None)
    return item


def require_assigned(item: JudgingItem, user: str) -> None:
    """Refuse to judge what is assigned to somebody else."""
    if item.assigned_to not in ("", user):
        raise NotFound(f"This document is assigned to {item.assigned_to!r}; judge the next one.", field="item_id")
