"""Reads of judging pools: their items, how far they are, and how far labellers and sources agree."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Exists, Func, IntegerField, Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from embeddings_ab.domain.agreement import (
    GroupAgreement,
    PairAgreement,
    agreement_of,
    pair_agreements,
    settled,
)
from embeddings_ab.models import Corpus, Document, JudgingItem, JudgingPool, Judgment, JudgmentSource, Label
from governance.domain.caller import Caller
from governance.domain.errors import NotFound

LABELLED_BY = (JudgmentSource.HUMAN, JudgmentSource.LLM)


def pools(caller: Caller) -> "QuerySet[JudgingPool]":
    """The project's judging pools, newest first, with query set and test."""
    rows = JudgingPool.objects.filter(project_id=caller.project_id).select_related("query_set", "test")
    return rows.defer("test__spec", "test__report").order_by("-id")


def find_pool(caller: Caller, pool_id: str, *, field: str = "pool_id") -> JudgingPool:
    """One pool by public id, or `NotFound`."""
    found = pools(caller).filter(public_id=pool_id).first() if "\x00" not in pool_id else None
    if found is None:
        raise NotFound(
            f"There is no judging pool {pool_id[:80]!r} in this project; GET /api/v1/ab/judging-pools lists them.",
            field=field,
            value=pool_id[:200],
        )
    return found


def given_labels(source: str = JudgmentSource.HUMAN) -> Coalesce:
    """An expression over items: how many labels of `source` an item has."""
    labels = Label.objects.filter(item=OuterRef("pk"), source=source).order_by()
    count = labels.annotate(n=Func("pk", function="COUNT")).values("n")
    return Coalesce(Subquery(count, IntegerField()), 0)


def items_in_order(pool: JudgingPool) -> "QuerySet[Any]":
    """Items, most useful label first (the order they were stored in), each with its number of `human_labels`."""
    rows = JudgingItem.objects.filter(pool=pool).select_related("query").annotate(human_labels=given_labels())
    return rows.order_by("id")


def find_item(pool: JudgingPool, item_id: int) -> JudgingItem:
    """One item of the pool by its row id, or `NotFound`."""
    found: JudgingItem | None = items_in_order(pool).filter(pk=item_id).first() if item_id < 2**63 else None
    if found is None:
        raise NotFound(f"Judging pool {pool.name!r} has no item {item_id}.", field="item_id", value=item_id)
    return found


def labels_of(items: Sequence[JudgingItem]) -> dict[int, list[Label]]:
    """Labels by item, oldest first."""
    found: dict[int, list[Label]] = defaultdict(list)
    for label in Label.objects.filter(item__in=[item.pk for item in items]).order_by("updated_at", "id"):
        found[label.item_id].append(label)
    return found


def corpus_of(pool: JudgingPool) -> Corpus:
    """Where the pool's documents stand: the test's version of the corpus, else that of the query set."""
    return pool.test.corpus if pool.test is not None else pool.query_set.corpus


def document_of(pool: JudgingPool, item: JudgingItem) -> Document | None:
    """The document to read; None when its corpus does not have it."""
    corpus_id = pool.test.corpus_id if pool.test is not None else pool.query_set.corpus_id
    return Document.objects.filter(corpus_id=corpus_id, external_id=item.document_id).first()


@dataclass(frozen=True, slots=True)
class LabellerProgress:
    """What one labeller has done."""

    source: str
    labeller: str
    labels: int
    last_at: Any


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pool is: `done` items have as many human labels as asked for."""

    items: int
    done: int
    labelled: dict[str, int]  # items with at least one label, by source
    labellers: list[LabellerProgress] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """For answers of the API."""
        return {
            "items": self.items,
            "done": self.done,
            "labelled": self.labelled,
            "labellers": [
                {"source": row.source, "labeller": row.labeller, "labels": row.labels, "last_at": row.last_at}
                for row in self.labellers
            ],
        }


def progress(pool: JudgingPool) -> Progress:
    """How far the pool is, and who did how much."""
    items = JudgingItem.objects.filter(pool=pool).order_by()
    labels = Label.objects.filter(item__pool=pool).order_by()
    by_labeller = labels.values_list("source", "labeller").annotate(n=Count("pk"), last=Max("updated_at"))
    by_source = dict(labels.values_list("source").annotate(n=Count("item", distinct=True)))
    human = labels.filter(source=JudgmentSource.HUMAN).values("item").annotate(n=Count("pk"))
    done = human.filter(n__gte=pool.labels_per_item).count()
    return Progress(
        items=items.count(),
        done=done,
        labelled={source.value: by_source.get(source.value, 0) for source in LABELLED_BY},
        labellers=[LabellerProgress(*row) for row in sorted(by_labeller)],
    )


def labels_by(pool: JudgingPool, labeller: str) -> "QuerySet[Label]":
    """Human labels of one person in the pool, newest first."""
    rows = Label.objects.filter(item__pool=pool, source=JudgmentSource.HUMAN, labeller=labeller)
    return rows.order_by("-updated_at", "-id")


@dataclass(frozen=True, slots=True)
class QueryProgress:
    """Where a person stands within one query of the pool."""

    items: int
    judged: int


def query_progress(pool: JudgingPool, query_id: int, labeller: str) -> QueryProgress:
    """How many documents of the query are in the pool, and how many of them the person has judged."""
    items = JudgingItem.objects.filter(pool=pool, query_id=query_id).order_by()
    mine = Label.objects.filter(item=OuterRef("pk"), source=JudgmentSource.HUMAN, labeller=labeller)
    return QueryProgress(items.count(), items.filter(Exists(mine)).count())


@dataclass(frozen=True, slots=True)
class PoolAgreement:
    """Agreement inside of each source, of its labellers pair by pair, and between sources, each settled by majority."""

    groups: dict[str, GroupAgreement]
    labellers: dict[str, list[PairAgreement]]
    sources: list[PairAgreement]

    def to_json(self) -> dict[str, Any]:
        """For answers of the API."""
        return {
            "groups": {source: figures.to_json() for source, figures in self.groups.items()},
            "labellers": {source: [pair.to_json() for pair in pairs] for source, pairs in self.labellers.items()},
            "sources": [pair.to_json() for pair in self.sources],
        }


def agreement(pool: JudgingPool) -> PoolAgreement:
    """Agreement over all labels of the pool, and with the imported judgments of its documents."""
    by_source: dict[str, dict[Hashable, dict[str, int]]] = {source.value: {} for source in LABELLED_BY}
    rows = Label.objects.filter(item__pool=pool).order_by("updated_at", "id")
    for item, source, labeller, grade in rows.values_list("item_id", "source", "labeller", "grade"):
        by_source[source].setdefault(item, {})[labeller] = grade
    merged: dict[Hashable, dict[str, int]] = defaultdict(dict)
    for source, labels in by_source.items():
        for key, row in labels.items():
            merged[key][source] = settled(list(row.values()), "majority")
    for pk, imported in _imported(pool):
        merged[pk][JudgmentSource.IMPORTED.value] = imported
    return PoolAgreement(
        groups={source: agreement_of(labels) for source, labels in by_source.items()},
        labellers={source: pair_agreements(labels) for source, labels in by_source.items()},
        sources=pair_agreements(merged),
    )


def _imported(pool: JudgingPool) -> list[tuple[int, int]]:
    judgments = Judgment.objects.filter(
        query=OuterRef("query"), document_id=OuterRef("document_id"), source=JudgmentSource.IMPORTED
    ).order_by()
    rows = JudgingItem.objects.filter(pool=pool).annotate(imported=Subquery(judgments.values("grade")[:1]))
    return list(rows.filter(imported__isnull=False).order_by("id").values_list("id", "imported"))


def counts_of(pools_shown: Sequence[JudgingPool]) -> dict[int, tuple[int, int]]:
    """By pool: how many items it has, and how many of them have a human label. Two statements for any number."""
    items = JudgingItem.objects.filter(pool__in=pools_shown).order_by().values_list("pool")
    labels = Label.objects.filter(item__pool__in=pools_shown, source=JudgmentSource.HUMAN).order_by()
    every = dict(items.annotate(n=Count("pk")))
    labelled = dict(labels.values_list("item__pool").annotate(n=Count("item", distinct=True)))
    return {pool.pk: (every.get(pool.pk, 0), labelled.get(pool.pk, 0)) for pool in pools_shown}
