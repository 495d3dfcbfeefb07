"""How a page gets an answer that may take seconds: kept ones at once, others in a part that loads after the page."""

from collections.abc import Callable, Sequence
from typing import Any

from django.http import HttpResponse, HttpResponseBase

from experiments.admin.comparison_settings import Asked
from experiments.domain.comparison_options import ComparisonOptions
from experiments.domain.run_status import TERMINAL
from experiments.models import Run
from experiments.selectors import run_overview
from experiments.services.comparison_answers import Question
from governance.admin.pages import Visit
from governance.domain.errors import InvalidInput

LARGE = 1_000  # sessions of all runs together: what has more and is not kept yet arrives after the page
Ask = Callable[[ComparisonOptions], Question]


def answered(
    visit: Visit, runs: Sequence[Run], asked: Asked, ask: Ask, *, title: str
) -> tuple[dict[str, Any] | HttpResponseBase, Asked]:
    """The answer and the settings it belongs to, or the page (or part) to send instead of it.

    Settings that do not fit the runs are said as a fault, and the usual ones hold.
    """
    try:
        return _answer(visit, runs, ask(asked.options), title), asked
    except InvalidInput as fault:
        usual = Asked(ComparisonOptions(), asked.texts, fault)
        return _answer(visit, runs, ask(usual.options), title), usual


def _answer(visit: Visit, runs: Sequence[Run], question: Question, title: str) -> dict[str, Any] | HttpResponseBase:
    if (kept := question.kept()) is not None:
        return _ready() if visit.request.GET.get("part") else kept.document
    if visit.request.GET.get("part"):
        # A server that cannot keep answers must not make the page load itself for ever.
        return _ready() if question.answer().identity and question.kept() else HttpResponse(status=503)
    sessions = 0 if visit.request.GET.get("wait") else sessions_to_read(visit, runs)
    if sessions <= LARGE:
        return question.answer().document
    return visit.render("console/compare_computing.html", title=title, runs=runs, sessions=sessions)


def _ready() -> HttpResponse:
    """What the waiting page fetches: it then loads itself again."""
    answer = HttpResponse("<p>The comparison is computed.</p>")
    answer["X-Live"] = "ended"
    return answer


def sessions_to_read(visit: Visit, runs: Sequence[Run]) -> int:
    """Sessions of finished runs; 0 while one is under way. One query.

    An answer about a run under way changes with every event: there is nothing to keep and to wait for.
    """
    if any(run.status not in TERMINAL for run in runs):
        return 0
    return sum(run_overview.session_counts(caller=visit.caller, runs=runs).values())
