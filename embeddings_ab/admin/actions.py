"""Buttons of a test: start, resume, cancel, delete. What changes something is a POST; what destroys asks first."""

from django.http import HttpResponseBase
from django.urls import reverse

from embeddings_ab.domain.statuses import TEST_UNDER_WAY, TestStatus
from embeddings_ab.selectors.ab_tests import find_test
from embeddings_ab.services import ab_tests as services
from governance.admin.pages import Visit, back, page
from governance.domain import formats
from governance.domain.actions import Action
from governance.domain.errors import Conflict


@page(Action.AB_WRITE, methods=("POST",))
def start_page(visit: Visit, test_id: str) -> HttpResponseBase:
    """Start, resume, or run again what failed."""
    test = find_test(visit.caller, test_id)
    services.start_test(caller=visit.caller, test_id=test_id)
    again = test.status != TestStatus.CREATED
    visit.tell(
        f"Test resumed: {test.name}. Only what is missing or failed is done."
        if again
        else f"Test started: {test.name}."
    )
    return back("console_ab_test", test_id=test_id)


@page(Action.AB_WRITE, methods=("GET", "POST"))
def cancel_page(visit: Visit, test_id: str) -> HttpResponseBase:
    """Confirm, then cancel."""
    test = find_test(visit.caller, test_id)
    if visit.request.method == "POST":
        services.cancel_test(caller=visit.caller, test_id=test_id)
        visit.tell(f"Test cancelled: {test.name}. What was built is kept.")
        return back("console_ab_test", test_id=test_id)
    if test.status not in TEST_UNDER_WAY and test.status != TestStatus.CREATED:
        raise Conflict(f"Test {test.name!r} is {test.status}: there is nothing to cancel.", field="status")
    return visit.render(
        "console/confirm.html",
        title=f"Cancel test {test.name}?",
        what="Work on this test stops within seconds, calls to providers included. There will be no verdict.",
        stays="Vectors that were made stay in the cache, results of finished arms stay, the audit entries stay.",
        undo="Resume it later: only what is missing is done.",
        button="Cancel test",
        way_out=(reverse("admin:console_ab_test", args=[test_id]), "Keep running"),
    )


@page(Action.AB_WRITE, methods=("GET", "POST"))
def delete_page(visit: Visit, test_id: str) -> HttpResponseBase:
    """Confirm, then delete."""
    test = find_test(visit.caller, test_id)
    if visit.request.method == "POST":
        services.delete_test(caller=visit.caller, test_id=test_id)
        visit.tell(f"Test deleted: {test.name}.")
        return back("console_ab_tests")
    held = test.collection_uses.count()
    return visit.render(
        "console/confirm.html",
        title=f"Delete test {test.name}?",
        what=f"The test, its arms, {formats.plural(test.result_count, 'result')} and its report go away.",
        stays=f"Corpus and query set stay. It lets go of {formats.plural(held, 'collection')}; "
        "the clean-up removes those that no other test holds. The audit entries stay.",
        undo="This cannot be undone. The report can be exported before.",
        button="Delete test",
        way_out=(reverse("admin:console_ab_test", args=[test_id]), "Keep test"),
    )
