"""Quota reservation: one conditional UPDATE, so that no number of concurrent callers passes the ceiling."""

from django.conf import settings
from django.db import transaction
from django.db.models import F

from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from governance.models import Quota, Resource
from governance.services import audit
from governance.services.ingestion_quota import current_month

DEFAULT_CEILINGS: dict[str, int] = {
    Resource.RUNS: 1_000_000,
    Resource.DATASETS: 100_000,
    Resource.DATAPOINTS: 10_000_000,
    Resource.API_KEYS: 1_000,
}

_LARGEST_CEILING = 2**53 - 1  # what every JSON reader keeps exactly


def create_defaults(*, project_id: int) -> None:
    """The quota rows of a new project."""
    ceilings = {**DEFAULT_CEILINGS, Resource.EVENTS: settings.EVENTS_PER_MONTH}
    Quota.objects.bulk_create(
        [Quota(project_id=project_id, resource=resource, ceiling=n) for resource, n in ceilings.items()]
    )


def reserve(*, project_id: int, resource: str, amount: int = 1) -> None:
    """Take `amount` of a stock resource or raise `QuotaExceeded`. Rolled back with the caller's transaction.

    Takes the quota row's lock: call it after validation and as late as the order of the law allows.
    """
    if amount <= 0:
        return
    row = Quota.objects.filter(project_id=project_id, resource=resource)
    if row.filter(used__lte=F("ceiling") - amount).update(used=F("used") + amount) == 1:
        return
    state = row.values("ceiling", "used").first() or {"ceiling": 0, "used": 0}
    raise QuotaExceeded(
        f"The quota of {resource} is {state['ceiling']}, {state['used']} are used, {amount} more do not fit. "
        "Delete some or ask an owner to raise the quota.",
        resource=resource,
        requested=amount,
        **state,
    )


def give_back(*, project_id: int, resource: str, amount: int = 1) -> None:
    """Return `amount` of a stock resource; never below zero."""
    if amount > 0:
        row = Quota.objects.filter(project_id=project_id, resource=resource)
        if row.filter(used__gte=amount).update(used=F("used") - amount) == 0:
            row.update(used=0)


@transaction.atomic
def set_ceiling(*, caller: Caller, resource: str, ceiling: int) -> Quota:
    """Change a ceiling; never to under what is used. Setting the present value changes nothing."""
    caller.require(Action.QUOTAS_WRITE)
    if not 0 <= ceiling <= _LARGEST_CEILING:
        raise InvalidInput(
            f"Field 'ceiling' is {ceiling}; it must lie between 0 and {_LARGEST_CEILING}.",
            field="ceiling",
            value=str(ceiling)[:40],
        )
    quota = Quota.objects.select_for_update().filter(project_id=caller.project_id, resource=resource).first()
    if quota is None:
        raise NotFound(
            f"There is no quota of {resource!r}; there are {', '.join(Resource.values)}.",
            field="resource",
            value=resource[:64],
        )
    before = quota.ceiling
    if resource == Resource.EVENTS and quota.period_start is not None and quota.period_start < current_month():
        quota.used, quota.period_start = 0, current_month()  # what a past month used limits nothing now
    if ceiling < quota.used:
        raise Conflict(
            f"The ceiling of {resource} cannot be {ceiling}: {quota.used} are used. Delete some first.",
            field="ceiling",
            value=ceiling,
            used=quota.used,
        )
    if ceiling != before:
        quota.ceiling = ceiling
        quota.save()
        audit.record(
            caller=caller,
            action="quota.set_ceiling",
            target_kind="quota",
            target_id=resource,
            target_label=resource,
            before={"ceiling": before},
            after={"ceiling": ceiling},
        )
    return quota
