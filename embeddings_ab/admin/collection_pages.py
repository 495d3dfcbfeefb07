"""Console pages of collections: is it ready, what is it, who uses it?"""

from typing import Any

from django.http import HttpResponseBase

from embeddings_ab.admin.figures_of_report import money
from embeddings_ab.admin.words import remedy, status_kind, status_words
from embeddings_ab.domain.statuses import CollectionStatus
from embeddings_ab.models import Collection, CollectionKind, CollectionUse
from embeddings_ab.selectors.collections import collections, find_collection
from governance.admin.live import fragment
from governance.admin.pages import Visit, clean, page, page_of
from governance.domain import figures, formats
from governance.domain.actions import Action

MOVING = (CollectionStatus.PENDING, CollectionStatus.BUILDING, CollectionStatus.DELETING)
KIND_WORDS = {
    CollectionKind.DOCUMENTS: "document vectors",
    CollectionKind.QUERIES: "query vectors",
    CollectionKind.LEXICAL: "lexical index",
}


def maker(collection: Collection) -> str:
    """`minilm all-MiniLM-L6-v2`, or the engine of a lexical index."""
    if collection.space is not None:
        return f"{collection.space.provider} {collection.space.model}".strip()
    recipe = collection.recipe
    lexical = recipe.get("lexical") if isinstance(recipe.get("lexical"), dict) else recipe
    return str(lexical.get("engine") or recipe.get("provider") or "")


def line_of(collection: Collection) -> dict[str, Any]:
    """One collection with its progress and cost as text."""
    whole = collection.chunk_count or 0
    ready = collection.status == CollectionStatus.READY
    share = 1.0 if ready else collection.chunks_done / whole if whole else 0.0
    label = f"{collection.chunks_done} of {whole or 'an unknown number of'} texts"
    texts = collection.cache_hits + collection.embedded_count
    if collection.kind == CollectionKind.LEXICAL:
        cost = formats.UNDEFINED
    else:
        cost = money(None if collection.cost is None else float(collection.cost), collection.currency)
    return {
        "collection": collection,
        "kind": status_kind(collection.status),
        "is_ready": ready,
        "is_moving": collection.status in MOVING,
        "kind_words": KIND_WORDS.get(CollectionKind(collection.kind), collection.kind),
        "maker": maker(collection),
        "share": share,
        "bar": figures.progress(share, label=label),
        "texts": texts,
        "hit_rate": formats.rate(collection.cache_hits, texts),
        "cost": cost,
        "remedy": remedy(collection.error_code) if collection.error_message else "",
    }


@page(Action.AB_READ)
def collections_page(visit: Visit) -> HttpResponseBase:
    """Collections, newest first; `?part=live` answers the table alone for the script that refreshes it."""
    asked = {name: clean(visit.request.GET.get(name)) for name in ("status", "kind")}
    rows = collections(visit.caller)
    if asked["status"] in set(CollectionStatus):
        rows = rows.filter(status=asked["status"])
    else:
        rows = rows.exclude(status=CollectionStatus.DELETED)
    if asked["kind"] in CollectionKind.values:
        rows = rows.filter(kind=asked["kind"])
    found = page_of(rows, visit.request)
    lines = [line_of(collection) for collection in found.rows]
    context: dict[str, Any] = {"lines": lines, "is_live": any(line["is_moving"] for line in lines)}
    if visit.request.GET.get("part") == "live":
        seen = [(row.pk, row.status, row.chunks_done, row.chunk_count, row.byte_count) for row in found.rows]
        answer = fragment(visit.request, "console/ab_collection_rows.html", context, seen)
        answer["X-Live"] = "running" if context["is_live"] else "ended"
        return answer
    return visit.render(
        "console/ab_collections.html",
        title="Collections",
        page=found,
        asked=asked,
        is_filtered=any(asked.values()),
        statuses=list(CollectionStatus),
        kinds=list(KIND_WORDS.items()),
        **context,
    )


@page(Action.AB_READ)
def collection_page(visit: Visit, collection_id: str) -> HttpResponseBase:
    """One collection: state, size, cost, holders, everything that makes its address."""
    collection = find_collection(visit.caller, collection_id)
    uses = CollectionUse.objects.filter(collection=collection).select_related("test").order_by("-id")[:50]
    return visit.render(
        "console/ab_collection.html",
        title=f"Collection {formats.short_id(collection.public_id)}",
        line=line_of(collection),
        collection=collection,
        build_ms=collection.build_seconds * 1000,
        holders=[
            {"test": use.test, "kind": status_kind(use.test.status), "words": status_words(use.test.status)}
            for use in uses
        ],
    )
