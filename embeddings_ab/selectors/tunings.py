"""Reads of searches for the best configuration, always inside the caller's project."""

from django.db.models import QuerySet

from embeddings_ab.models import AbTest, Tuning
from governance.domain.caller import Caller
from governance.domain.errors import NotFound


def tunings_of(test: AbTest) -> "QuerySet[Tuning]":
    """Searches over one test, newest first, without their results (scores of every query) until asked for."""
    return Tuning.objects.filter(test=test).defer("result").order_by("-id")


def find_tuning(caller: Caller, test: AbTest, tuning_id: str) -> Tuning:
    """One search of the test by public id, or `NotFound`."""
    rows = Tuning.objects.filter(test=test, test__project_id=caller.project_id)
    found = rows.filter(public_id=tuning_id).first() if "\x00" not in tuning_id else None
    if found is None:
        raise NotFound(
            f"Test {test.name!r} has no search {tuning_id[:80]!r}; "
            f"GET /api/v1/ab/tests/{test.public_id}/tunings lists them.",
            field="tuning_id",
            value=tuning_id[:200],
        )
    return found
