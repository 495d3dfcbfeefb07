"""Deletes answers kept for `Idempotency-Key` once no client repeats their request any more."""

import datetime as dt

from governance.models import IdempotentAnswer
from governance.models.clock import from_now

KEPT = dt.timedelta(days=2)


def delete_old_answers(*, batch: int = 500, batches: int = 20) -> int:
    """Delete in small batches, so that no statement holds locks for long; the rest waits for the next sweep."""
    deleted = 0
    for _ in range(batches):
        old = IdempotentAnswer.objects.filter(created_at__lt=from_now(-KEPT)).order_by("created_at")
        ids = list(old.values_list("pk", flat=True)[:batch])
        if not ids:
            break
        deleted += IdempotentAnswer.objects.filter(pk__in=ids).delete()[0]
    return deleted
