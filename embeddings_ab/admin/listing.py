"""Console page of all A/B tests of a project: which are decided, which still run?"""

from typing import Any

from django.http import HttpResponseBase

from embeddings_ab.admin import figures_of_report as shown
from embeddings_ab.admin.words import status_kind, status_words
from embeddings_ab.domain.statuses import TestStatus
from embeddings_ab.models import AbTest
from embeddings_ab.selectors.ab_tests import tests
from embeddings_ab.selectors.corpora import corpora
from embeddings_ab.selectors.reports import has_report
from governance.admin.pages import Visit, clean, page, page_of
from governance.domain import formats
from governance.domain.actions import Action

# Steps inside of running, which nobody filters by.
HIDDEN = {TestStatus.SCORED, TestStatus.DECIDING}


def line_of(test: AbTest) -> dict[str, Any]:
    """One test: its arms, and the comparison that speaks loudest."""
    report: dict[str, Any] = (test.report or {}) if has_report(test) else {}
    verdicts = shown.verdicts(report) if report else []
    best = None
    if verdicts:
        row = shown.comparisons_of(report, test.primary_metric).get(verdicts[0]["arm"], {})
        best = {**verdicts[0], "difference": formats.difference(row.get("difference")), "n": row.get("n_common")}
    arms = [name for name in test.spec.get("arms", {}) if name != test.control]
    return {
        "test": test,
        "kind": status_kind(test.status),
        "words": status_words(test.status),
        "best": best,
        "arms": arms,
        "arm_count": len(arms) + 1,
    }


@page(Action.AB_READ)
def tests_page(visit: Visit) -> HttpResponseBase:
    """A/B tests, newest first."""
    asked = {name: clean(visit.request.GET.get(name)) for name in ("name", "status", "corpus")}
    rows = tests(visit.caller)
    if asked["name"]:
        rows = rows.filter(name__icontains=asked["name"])
    if asked["status"] in set(TestStatus):
        rows = rows.filter(status=asked["status"])
    if asked["corpus"]:
        rows = rows.filter(corpus__name=asked["corpus"])
    found = page_of(rows, visit.request)
    names = corpora(visit.caller).order_by("name").values_list("name", flat=True).distinct()[:100]
    return visit.render(
        "console/ab_tests.html",
        title="A/B tests",
        page=found,
        lines=[line_of(test) for test in found.rows],
        asked=asked,
        is_filtered=any(asked.values()),
        statuses=[(status.value, status_words(status)) for status in TestStatus if status not in HIDDEN],
        corpora=list(names),
    )
