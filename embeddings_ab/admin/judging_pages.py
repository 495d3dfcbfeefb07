"""Console pages of judging pools: what is judged, how far it is, how far labellers agree; made, dealt, published."""

import re
from typing import Any

from django.http import HttpResponseBase
from django.urls import reverse

from embeddings_ab.domain.agreement import RULES, PairAgreement
from embeddings_ab.domain.statuses import TestStatus
from embeddings_ab.models import AbTest, JudgingPool
from embeddings_ab.selectors import judging as selectors
from embeddings_ab.selectors.ab_tests import find_test, tests
from embeddings_ab.services import judging as services
from embeddings_ab.services import labels as label_services
from governance.admin.pages import Visit, back, clean, page, page_of
from governance.domain import figures, formats
from governance.domain.actions import Action
from governance.domain.errors import DomainError, InvalidInput

FEW = 20  # items below which a kappa is too rough to lean on
SOURCE_WORDS = {"human": "people", "llm": "models", "imported": "imported judgments"}
RULE_WORDS = {
    "majority": "the most frequent grade, of equally frequent ones the lowest",
    "mean": "the mean, rounded",
    "latest": "the latest grade",
}
_SCALE_LINE = re.compile(r"(?P<grade>\d)\s+(?P<label>[^:]+?)\s*(?::\s*(?P<help>.*))?", re.ASCII)


def scale_text(scale: Any) -> str:
    """A scale as the lines of a form."""
    return "\n".join(f"{row['grade']} {row['label']}" + (f": {row['help']}" if row["help"] else "") for row in scale)


def read_scale(text: str) -> list[dict[str, Any]]:
    """A scale of lines such as `2 Partly: answers a part of it`."""
    rows = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        found = _SCALE_LINE.fullmatch(line)
        if found is None:
            raise InvalidInput(
                f"Field 'scale': {line[:60]!r} is no grade. Write one a line, such as '2 Partly: answers a part'.",
                field="scale",
                value=line[:200],
            )
        rows.append({"grade": int(found["grade"]), "label": found["label"], "help": found["help"] or ""})
    return rows


@page(Action.AB_READ)
def pools_page(visit: Visit) -> HttpResponseBase:
    """Judging pools, newest first."""
    found = page_of(selectors.pools(visit.caller), visit.request)
    counts = selectors.counts_of(found.rows)
    lines = []
    for pool in found.rows:
        items, labelled = counts[pool.pk]
        label = f"{labelled} of {items} documents have a human label"
        bar = figures.progress(labelled / items if items else 0.0, label=label)
        lines.append({"pool": pool, "items": items, "labelled": labelled, "bar": bar})
    ended = tests(visit.caller).filter(status__in=(TestStatus.COMPLETED, TestStatus.INCOMPLETE))
    return visit.render(
        "console/ab_judging_pools.html",
        title="Judging",
        page=found,
        lines=lines,
        tests=list(ended.defer("spec", "report").order_by("-id")[:20]),
    )


@page(Action.AB_WRITE, methods=("GET", "POST"))
def new_pool_page(visit: Visit) -> HttpResponseBase:
    """Pool the top documents of a finished test."""
    post = visit.request.POST
    test = find_test(visit.caller, clean(post.get("test") or visit.request.GET.get("test")))
    sent = visit.request.method == "POST"
    values = {
        "name": clean(post.get("name")) if sent else f"{test.name[:100]} judging",
        "depth": clean(post.get("depth")) or "10",
        "labels_per_item": clean(post.get("labels_per_item")) or "1",
        "guidelines": clean(post.get("guidelines"), services.GUIDELINES_LIMIT + 1),
        "scale": clean(post.get("scale"), 10_000) or scale_text(services.DEFAULT_SCALE),
        "all": clean(post.get("all")),
    }
    error: DomainError | None = None
    if sent:
        try:
            pool = _create(visit, test, values)
            visit.tell(f"Pool made: {pool.name}. The most useful documents come first.")
            return back("console_ab_judging_pool", pool_id=pool.public_id)
        except DomainError as refused:
            error = refused
    return visit.render(
        "console/ab_judging_new.html",
        title="New judging pool",
        test=test,
        values=values,
        error=error,
        at=str(error.details.get("field", "")).split(".")[0] if error else "",
        status=error.status if error else 200,
    )


def _create(visit: Visit, test: AbTest, values: dict[str, str]) -> JudgingPool:
    numbers = {}
    for name in ("depth", "labels_per_item"):
        text = values[name]
        if not (text.isascii() and text.isdigit() and len(text) < 9):
            raise InvalidInput(f"Field {name!r} is {text[:40]!r}; give a whole number.", field=name, value=text)
        numbers[name] = int(text)
    return services.create_pool(
        caller=visit.caller,
        test_id=test.public_id,
        name=values["name"],
        guidelines=values["guidelines"],
        scale=read_scale(values["scale"]),
        only_unjudged=not values["all"],
        **numbers,
    )


def _pair_line(pair: PairAgreement, names: dict[str, str]) -> dict[str, Any]:
    shown = pair.to_json()
    return {
        **shown,
        "a": names.get(pair.a, pair.a),
        "b": names.get(pair.b, pair.b),
        "rate": formats.rate(pair.agreed, pair.n),
        "is_rough": pair.n < FEW,
    }


@page(Action.AB_READ)
def pool_page(visit: Visit, pool_id: str) -> HttpResponseBase:
    """How far is the judging, and can the labels be trusted?"""
    pool = selectors.find_pool(visit.caller, pool_id)
    progress = selectors.progress(pool)
    found = selectors.agreement(pool)
    share = progress.done / progress.items if progress.items else 0.0
    mine = next((row.labels for row in progress.labellers if row.labeller == visit.caller.actor_label), 0)
    return visit.render(
        "console/ab_judging_pool.html",
        title=pool.name,
        pool=pool,
        progress=progress,
        mine=mine,
        percent=f"{share * 100:.0f} %",
        bar=figures.progress(share, label=f"{progress.done} of {progress.items} documents are judged"),
        groups=[
            {"words_of_source": SOURCE_WORDS[source], "source": source, **counted.to_json()}
            for source, counted in found.groups.items()
            if counted.labellers > 1
        ],
        pairs=[_pair_line(pair, {}) for pairs in found.labellers.values() for pair in pairs],
        sources=[_pair_line(pair, SOURCE_WORDS) for pair in found.sources],
        judges=sorted(services.judges_of(visit.caller)),
        few=FEW,
    )


@page(Action.AB_WRITE, methods=("POST",))
def assign_page(visit: Visit, pool_id: str) -> HttpResponseBase:
    """Deal documents to people, or free them."""
    names = [clean(name) for name in visit.request.POST.getlist("user")]
    dealt = services.assign_items(caller=visit.caller, pool_id=pool_id, users=names)
    told = f"dealt to {', '.join(names)}" if names else "free for everybody"
    visit.tell(f"{formats.plural(dealt, 'document')} {told}.")
    return back("console_ab_judging_pool", pool_id=pool_id)


@page(Action.AB_WRITE, methods=("GET", "POST"))
def publish_page(visit: Visit, pool_id: str) -> HttpResponseBase:
    """Show what publishing would write, then write it."""
    pool = selectors.find_pool(visit.caller, pool_id)
    given = visit.request.POST if visit.request.method == "POST" else visit.request.GET
    asked: dict[str, Any] = {
        "source": clean(given.get("source")) or "human",
        "rule": clean(given.get("rule")) or RULES[0],
        "overwrite": bool(clean(given.get("overwrite"))),
    }
    if visit.request.method == "POST":
        query_set, summary, found = label_services.publish_labels(caller=visit.caller, pool_id=pool_id, **asked)
        if summary.is_new:
            visit.tell(
                f"Labels published: {query_set} has {formats.plural(found.new, 'new judgment')} and "
                f"{formats.exact(found.changed)} changed. Run a new test over it; the old one stays as it is."
            )
        else:
            visit.tell(f"Nothing to publish: {query_set} holds these judgments already.")
        return back("console_ab_query_set", query_set_id=query_set.public_id)
    error: DomainError | None = None
    preview = None
    try:
        preview = label_services.preview_publication(caller=visit.caller, pool_id=pool_id, **asked)
    except DomainError as refused:
        error = refused
    return visit.render(
        "console/ab_judging_publish.html",
        title=f"Publish labels of {pool.name}",
        pool=pool,
        asked=asked,
        preview=preview,
        error=error,
        next_version=preview.base.version + 1 if preview else None,
        sources=[(source, SOURCE_WORDS[source]) for source in ("human", "llm")],
        rules=[(rule, RULE_WORDS[rule]) for rule in RULES],
    )


@page(Action.AB_WRITE, methods=("GET", "POST"))
def delete_page(visit: Visit, pool_id: str) -> HttpResponseBase:
    """Confirm, then delete."""
    pool = selectors.find_pool(visit.caller, pool_id)
    if visit.request.method == "POST":
        services.delete_pool(caller=visit.caller, pool_id=pool_id)
        visit.tell(f"Pool deleted: {pool.name}.")
        return back("console_ab_judging_pools")
    progress = selectors.progress(pool)
    labels = sum(row.labels for row in progress.labellers)
    return visit.render(
        "console/confirm.html",
        title=f"Delete pool {pool.name}?",
        what=f"{formats.plural(progress.items, 'document')} to judge and {formats.plural(labels, 'label')} go away.",
        stays="Query sets that were published from it stay, with their judgments. The audit entries stay.",
        undo="This cannot be undone. Publish the labels before.",
        button="Delete pool",
        way_out=(reverse("admin:console_ab_judging_pool", args=[pool_id]), "Keep pool"),
    )
