"""Old answers go in small batches; young ones stay."""

import datetime as dt

from django.utils import timezone

from governance.models import IdempotentAnswer
from governance.services.idempotency_cleanup import delete_old_answers


def test_old_answers_are_deleted_in_batches_and_young_ones_stay(project):
    for number in range(7):
        IdempotentAnswer.objects.create(project=project, key=str(number), route="r", request_hash="h")
    old = IdempotentAnswer.objects.filter(key__in=["0", "1", "2", "3", "4"])
    old.update(created_at=timezone.now() - dt.timedelta(days=3))
    assert delete_old_answers(batch=2, batches=2) == 4
    assert delete_old_answers(batch=2) == 1
    assert delete_old_answers() == 0
    assert set(IdempotentAnswer.objects.values_list("key", flat=True)) == {"5", "6"}
