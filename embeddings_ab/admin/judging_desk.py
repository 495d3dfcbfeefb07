"""Console page where a person judges, one document at a time, with the keyboard. Every button is a form's: without
JavaScript each judgment is a POST and a redirect; with it the next document replaces this one in place."""

import re
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from embeddings_ab.models import JudgingItem, JudgingPool
from embeddings_ab.selectors import judging as selectors
from embeddings_ab.services import judging as services
from embeddings_ab.services import labels as label_services
from governance.admin.pages import Visit, back, clean, page
from governance.domain import figures
from governance.domain.actions import Action
from governance.domain.errors import DomainError, InvalidInput

SKIPPED = "ab_skipped"  # in the session: item ids by pool
SKIPPED_AT_MOST = 500
TEXT_AT_MOST = 60_000
WORDS_AT_MOST = 50
# Words of questions, which would mark half the text.
COMMON_WORDS = (
    "about all and any are been but can could did does for from had has have how into its may more not one than that "
    "the their them there these they this was were what when where which while who why will with would you"
)
COMMON = frozenset(COMMON_WORDS.split())


def marked(text: str, query: str) -> str:
    """`text` as HTML, with the words of the query marked; whole words of three letters or more, in any case."""
    words = {word.lower() for word in re.findall(r"\w{3,}", query)} - COMMON
    if not words:
        return format_html("{}", text)
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, sorted(words)[:WORDS_AT_MOST]))})\b", re.IGNORECASE)
    pieces = enumerate(pattern.split(text))  # every second one is a word of the query
    return format_html_join("", "{}", ((format_html("<mark>{}</mark>", p) if n % 2 else p,) for n, p in pieces))


def skipped_of(visit: Visit, pool: JudgingPool) -> list[int]:
    """What the person skipped in this pool since they signed in."""
    found: list[int] = visit.request.session.get(SKIPPED, {}).get(pool.public_id, [])
    return found


def _remember(visit: Visit, pool: JudgingPool, items: list[int]) -> None:
    kept = visit.request.session.get(SKIPPED, {})
    visit.request.session[SKIPPED] = {**kept, pool.public_id: items[-SKIPPED_AT_MOST:]}


@page(Action.AB_JUDGE, methods=("GET", "POST"))
def desk_page(visit: Visit, pool_id: str) -> HttpResponseBase:
    """The next document to judge, and what to do with it."""
    pool = selectors.find_pool(visit.caller, pool_id)
    if visit.request.method != "POST":
        chosen = clean(visit.request.GET.get("item"))
        item = _item(pool, chosen) if chosen else None
        context = _context(visit, pool, item)
        return visit.render("console/ab_judging_desk.html", title=f"Judge {pool.name}", **context)
    in_place = visit.request.headers.get("X-Part") == "1"
    said, item, error = "", None, None
    try:
        said, item = _done(visit, pool)
    except DomainError as refused:
        if not in_place:
            raise
        error = refused
    if not in_place:
        if said:
            visit.tell(said)
        answer = back("console_ab_judging_desk", pool_id=pool_id)
        if item is not None:
            answer["Location"] += f"?item={item.pk}"
        return answer
    context = {**_context(visit, pool, item), "said": said, "error": error, "project": visit.project}
    part = render_to_string("console/ab_judging_item.html", context, request=visit.request)
    return HttpResponse(part, status=error.status if error else 200)


def _item(pool: JudgingPool, text: str | None) -> JudgingItem:
    if not text or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInput(f"Field 'item' is {str(text)[:40]!r}; it is the number of a document.", field="item")
    return selectors.find_item(pool, int(text))


def _done(visit: Visit, pool: JudgingPool) -> tuple[str, JudgingItem | None]:
    """What a button did, in words, and the document to come back to, if any."""
    post, user = visit.request.POST, visit.caller.actor_label
    do = clean(post.get("do"))
    if do == "undo":
        item = label_services.undo_label(caller=visit.caller, pool_id=pool.public_id)
        return ("Taken back. Judge it again.", item) if item else ("There is no label of yours to take back.", None)
    if do == "unskip":
        _remember(visit, pool, [])
        return "Skipped documents are back.", None
    item = _item(pool, post.get("item"))
    if do == "skip":
        services.skip_item(caller=visit.caller, pool_id=pool.public_id, item_id=item.pk, user=user)
        _remember(visit, pool, [*skipped_of(visit, pool), item.pk])
        return "Skipped.", None
    text = clean(post.get("grade"))
    if not (text.isascii() and text.isdigit() and len(text) < 4):
        raise InvalidInput(f"Field 'grade' is {text[:40]!r}; choose a grade of the scale.", field="grade", value=text)
    note = clean(post.get("note"), label_services.COMMENT_LIMIT)
    label, before = label_services.label_item(
        caller=visit.caller, pool_id=pool.public_id, item_id=item.pk, grade=int(text), comment=note
    )
    words = next(row["label"] for row in pool.scale if row["grade"] == label.grade)
    return (f"Saved: {words}." if before is None else f"Changed to: {words}."), None


def _context(visit: Visit, pool: JudgingPool, item: JudgingItem | None) -> dict[str, Any]:
    user, skipped = visit.caller.actor_label, skipped_of(visit, pool)
    if item is None:
        item = services.next_item(caller=visit.caller, pool_id=pool.public_id, user=user, without=skipped)
    else:
        services.require_assigned(item, user)
    mine = selectors.labels_by(pool, user).count()
    progress = selectors.progress(pool)
    share = progress.done / progress.items if progress.items else 0.0
    context: dict[str, Any] = {
        "pool": pool,
        "item": item,
        "mine": mine,
        "skipped": len(skipped),
        "items": progress.items,
        "judged": progress.done,
        "percent": f"{share * 100:.0f} %",
        "bar": figures.progress(share, label=f"{progress.done} of {progress.items} documents are judged"),
        "here": reverse("admin:console_ab_judging_desk", args=[pool.public_id]),
    }
    if item is not None:
        document = selectors.document_of(pool, item)
        text = document.text if document else ""
        context |= {
            "document": document,
            "heading": marked(document.title if document else "", item.query.text),
            "text": marked(text[:TEXT_AT_MOST], item.query.text),
            "is_empty": not text.strip(),
            "cut": max(0, len(text) - TEXT_AT_MOST),
            "within": selectors.query_progress(pool, item.query_id, user),
            "found_by": sorted(item.found_by.items(), key=lambda pair: (pair[1], pair[0])),
        }
    return context
