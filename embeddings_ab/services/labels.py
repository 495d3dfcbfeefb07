"""Use cases of labels: given by people one at a time, by models in batches, published as a query set's next version.

Human labels carry the name of the signed-in user, never one from a request; labels of models carry the name that their
sender gives them. The two are stored apart, and published apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from embeddings_ab.domain.agreement import RULES, Rule, settled
from embeddings_ab.domain.importing.rows import ImportSummary, JudgmentRow
from embeddings_ab.models import JudgingItem, JudgingPool, JudgmentSource, Label, QuerySet
from embeddings_ab.selectors.judging import LABELLED_BY, corpus_of, find_item, find_pool, labels_by
from embeddings_ab.selectors.query_sets import find_query_set, iter_judgments, iter_queries
from embeddings_ab.services.judging import require_assigned
from embeddings_ab.services.query_sets import import_query_set
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput
from governance.domain.json_bodies import replace_nul
from governance.services import audit

BATCH_LIMIT, LABELLER_LIMIT, COMMENT_LIMIT = 1000, 150, 2000


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label of a batch. `labeller` names the model or the tool; a signed-in user's own labels leave it empty."""

    query_id: str
    document_id: str
    grade: int
    source: str = JudgmentSource.LLM.value
    labeller: str = ""
    comment: str = ""


@transaction.atomic
def label_item(
    *, caller: Caller, pool_id: str, item_id: int, grade: int, comment: str = ""
) -> tuple[Label, int | None]:
    """The signed-in user's grade for one item; beside it the grade that it replaces, None for the first."""
    caller.require(Action.AB_JUDGE)
    pool = find_pool(caller, pool_id)
    labeller = _own_name(caller, "item_id")
    item = find_item(pool, item_id)
    require_assigned(item, labeller)
    _require_grade(pool, grade, "grade")
    _require_short("comment", comment, COMMENT_LIMIT)
    before = Label.objects.filter(item=item, source=JudgmentSource.HUMAN, labeller=labeller).first()
    label, _ = Label.objects.update_or_create(
        item=item,
        source=JudgmentSource.HUMAN,
        labeller=labeller,
        defaults={"grade": grade, "comment": replace_nul(comment)},
    )
    audit.record(
        caller=caller,
        action="label.write",
        target_kind="judging_pool",
        target_id=pool.public_id,
        target_label=f"{pool.name}: {item.query.external_id} {item.document_id}",
        before={"grade": before.grade} if before else None,
        after={"grade": grade},
    )
    return label, before.grade if before else None


def _own_name(caller: Caller, field: str) -> str:
    if caller.actor_kind != "user":
        raise InvalidInput(
            f"Field {field!r}: human labels are given by signed-in people. Send source 'llm' with the labeller's name; "
            "judgments that people made elsewhere are imported with their query set.",
            field=field,
        )
    return caller.actor_label[:LABELLER_LIMIT]


def _require_grade(pool: JudgingPool, grade: int, field: str) -> None:
    grades = [row["grade"] for row in pool.scale]
    if grade not in grades:
        raise InvalidInput(
            f"Field {field!r} is {grade}; the scale of this pool has {', '.join(map(str, grades))}.",
            field=field,
            value=grade,
        )


def _require_short(field: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidInput(f"Field {field!r} has {len(text)} characters; shorten it to {limit}.", field=field)


@transaction.atomic
def undo_label(*, caller: Caller, pool_id: str) -> JudgingItem | None:
    """Take back the signed-in user's newest label of the pool; its item, or None when there is no label."""
    caller.require(Action.AB_JUDGE)
    pool = find_pool(caller, pool_id)
    newest = labels_by(pool, _own_name(caller, "pool_id")).select_related("item__query").first()
    if newest is None:
        return None
    item, before = newest.item, newest.grade
    newest.delete()
    audit.record(
        caller=caller,
        action="label.delete",
        target_kind="judging_pool",
        target_id=pool.public_id,
        target_label=f"{pool.name}: {item.query.external_id} {item.document_id}",
        before={"grade": before},
    )
    return item


@transaction.atomic
def record_labels(*, caller: Caller, pool_id: str, labels: Sequence[LabelRow]) -> dict[str, int]:
    """Store a batch, all or nothing; a label of the same source and labeller is replaced. Returns counts.

    Raises `InvalidInput` for the first row that does not fit, named as labels.N.field.
    """
    caller.require(Action.AB_JUDGE)
    pool = find_pool(caller, pool_id)
    if not 1 <= len(labels) <= BATCH_LIMIT:
        raise InvalidInput(
            f"Field 'labels' has {len(labels)} rows; send 1 to {BATCH_LIMIT} at once.",
            field="labels",
            value=len(labels),
        )
    items = _items_of(pool, labels)
    rows: dict[tuple[int, str, str], Label] = {}
    now = timezone.now()
    for place, row in enumerate(labels):
        item, labeller = _checked(caller, pool, items, row, f"labels.{place}")
        key = (item.pk, row.source, labeller)
        if key in rows:
            raise InvalidInput(
                f"Field 'labels.{place}': {labeller!r} has graded document {row.document_id!r} for query "
                f"{row.query_id!r} in this batch already; send each label once.",
                field=f"labels.{place}",
                value=row.document_id[:200],
            )
        rows[key] = Label(
            item=item,
            source=row.source,
            labeller=labeller,
            grade=row.grade,
            comment=replace_nul(row.comment),
            created_at=now,
            updated_at=now,
        )
    known = Label.objects.filter(item__in=[item.pk for item in items.values()])
    before = {(i, s, who): grade for i, s, who, grade in known.values_list("item_id", "source", "labeller", "grade")}
    Label.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=["item", "source", "labeller"],
        update_fields=["grade", "comment", "updated_at"],
    )
    counts = {
        "labels": len(rows),
        "new": sum(key not in before for key in rows),
        "changed": sum(key in before and before[key] != label.grade for key, label in rows.items()),
    }
    audit.record(
        caller=caller,
        action="labels.write",
        target_kind="judging_pool",
        target_id=pool.public_id,
        target_label=pool.name,
        after={**counts, "labellers": sorted({f"{source}: {who}" for _, source, who in rows})},
    )
    return counts


def _items_of(pool: JudgingPool, labels: Sequence[LabelRow]) -> dict[tuple[str, str], JudgingItem]:
    rows = JudgingItem.objects.filter(
        pool=pool,
        query__external_id__in={row.query_id for row in labels if "\x00" not in row.query_id},
        document_id__in={row.document_id for row in labels if "\x00" not in row.document_id},
    ).select_related("query")
    return {(item.query.external_id, item.document_id): item for item in rows}


def _checked(
    caller: Caller, pool: JudgingPool, items: Mapping[tuple[str, str], JudgingItem], row: LabelRow, at: str
) -> tuple[JudgingItem, str]:
    """The item of a row and the labeller's name, or `InvalidInput` naming the field."""
    item = items.get((row.query_id, row.document_id))
    if item is None:
        raise InvalidInput(
            f"Field '{at}.document_id': document {row.document_id[:80]!r} of query {row.query_id[:80]!r} is not in "
            f"pool {pool.name!r}. GET its items to see what is.",
            field=f"{at}.document_id",
            value=row.document_id[:200],
        )
    _require_grade(pool, row.grade, f"{at}.grade")
    _require_short(f"{at}.comment", row.comment, COMMENT_LIMIT)
    if row.source == JudgmentSource.HUMAN:
        own = _own_name(caller, f"{at}.source")
        require_assigned(item, own)
        if row.labeller not in ("", own):
            raise InvalidInput(
                f"Field '{at}.labeller' is {row.labeller[:80]!r}, but you are {own!r}: human labels carry the name of "
                "who gives them. Leave it out.",
                field=f"{at}.labeller",
                value=row.labeller[:200],
            )
        return item, own
    if row.source != JudgmentSource.LLM:
        raise InvalidInput(
            f"Field '{at}.source' is {row.source[:40]!r}; labels are human or llm.",
            field=f"{at}.source",
            value=row.source[:40],
        )
    name = replace_nul(row.labeller.strip())
    if not 1 <= len(name) <= LABELLER_LIMIT:
        raise InvalidInput(
            f"Field '{at}.labeller' has {len(name)} characters; name the model in 1 to {LABELLER_LIMIT}.",
            field=f"{at}.labeller",
            value=name[:200],
        )
    return item, name


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing would write: judgments by what happens to them."""

    base: QuerySet
    judgments: list[JudgmentRow]
    new: int  # no judgment before
    changed: int  # another grade than before
    same: int
    kept: int  # judged by another source, which stays

    def to_json(self) -> dict[str, Any]:
        """For answers and audit entries."""
        return {
            "base": str(self.base),
            "new": self.new,
            "changed": self.changed,
            "same": self.same,
            "kept": self.kept,
            "judgments": len(self.judgments),
        }


def preview_publication(
    *, caller: Caller, pool_id: str, source: str, rule: str = "majority", overwrite: bool = False
) -> Publication:
    """What `publish_labels` would write now; writes nothing."""
    caller.require(Action.AB_READ)
    return _publication(caller, find_pool(caller, pool_id), source, rule, overwrite)


def _publication(caller: Caller, pool: JudgingPool, source: str, rule: str, overwrite: bool) -> Publication:
    if source not in [known.value for known in LABELLED_BY]:
        raise InvalidInput(
            f"Field 'source' is {source[:40]!r}; publish human or llm labels, one of the two at a time.",
            field="source",
            value=source[:40],
        )
    grades = _settled_labels(pool, source, rule)
    if not grades:
        raise Conflict(
            f"Pool {pool.name!r} has no labels of source {source!r}: there is nothing to publish.",
            field="source",
            value=source,
        )
    base = find_query_set(caller, pool.query_set.name)
    merged: list[JudgmentRow] = []
    new = changed = same = kept = 0
    for row in iter_judgments(base):
        grade = grades.pop((row.query_id, row.document_id), None)
        if grade is None:
            merged.append(row)
        elif row.source != source and not overwrite:
            kept += 1
            merged.append(row)
        else:
            changed += grade != row.grade
            same += grade == row.grade
            merged.append(JudgmentRow(row.query_id, row.document_id, grade, source))
    new = len(grades)
    merged += [JudgmentRow(query, document, grade, source) for (query, document), grade in grades.items()]
    return Publication(base, merged, new, changed, same, kept)


def _settled_labels(pool: JudgingPool, source: str, rule: str) -> dict[tuple[str, str], int]:
    chosen: Rule | None = next((known for known in RULES if known == rule), None)
    if chosen is None:
        raise InvalidInput(
            f"Field 'rule' is {rule[:40]!r}; use one of {', '.join(RULES)}.", field="rule", value=rule[:40]
        )
    given: dict[tuple[str, str], list[int]] = {}
    rows = Label.objects.filter(item__pool=pool, source=source).order_by("updated_at", "id")
    fields = ("item__query__external_id", "item__document_id", "grade")
    for query, document, grade in rows.values_list(*fields).iterator(chunk_size=1000):
        given.setdefault((query, document), []).append(grade)
    return {key: settled(grades, chosen) for key, grades in given.items()}


@transaction.atomic
def publish_labels(
    *,
    caller: Caller,
    pool_id: str,
    source: str,
    rule: str = "majority",
    name: str = "",
    overwrite: bool = False,
) -> tuple[QuerySet, ImportSummary, Publication]:
    """Store the newest version of the pool's query set with the labels of one source merged in, as the next version.

    Judgments of other sources stay as they are, unless `overwrite` is asked; each keeps its source. Several labels of
    one document settle by `rule`. With `name` the result goes to another query set. Labels that change nothing give
    the version that is there already.
    """
    caller.require(Action.AB_WRITE)
    pool = find_pool(caller, pool_id)
    # Two pools that publish at once would each start from the same version, and the later would lose the earlier's.
    rows = QuerySet.objects.select_for_update(no_key=True).filter(
        project_id=caller.project_id, name=pool.query_set.name
    )
    list(rows.order_by("version").values_list("pk", flat=True))
    found = _publication(caller, pool, source, rule, overwrite)
    query_set, summary = import_query_set(
        caller=caller,
        name=name or found.base.name,
        corpus=corpus_of(pool).public_id,
        queries=iter_queries(found.base),
        judgments=found.judgments,
        description=found.base.description,
        source={"format": "labels", "pool": pool.public_id, "base": str(found.base), "source": source, "rule": rule},
    )
    audit.record(
        caller=caller,
        action="labels.publish",
        target_kind="judging_pool",
        target_id=pool.public_id,
        target_label=pool.name,
        after={
            **found.to_json(),
            "query_set": str(query_set),
            "source": source,
            "rule": rule,
            "overwrite": overwrite,
        },
    )
    return query_set, summary, found
