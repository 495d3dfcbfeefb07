"""Quota reservation: one conditional UPDATE, so that no number of concurrent callers passes the ceiling."""

import datetime as dt

from django.conf import settings
from django.db import transaction
from django.db.models import Case, DateField, F, Q, Value, When

from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from governance.models import MONTHLY_RESOURCES, Quota, Resource
from governance.services import audit
from governance.services.ingestion_quota import current_month

DEFAULT_CEILINGS: dict[str, int] = {
    Resource.RUNS: 1_000_000,
    Resource.DATASETS: 100_000,
    Resource.DATAPOINTS: 10_000_000,
    Resource.API_KEYS: 1_000,
    Resource.CORPUS_DOCUMENTS: 10_000_000,
    Resource.COLLECTIONS: 1_000,
    Resource.CHUNKS: 50_000_000,
    Resource.VECTOR_BYTES: 200 * 2**30,
    Resource.AB_TESTS: 10_000,
    Resource.EMBEDDING_TOKENS: 1_000_000_000,
}

_LARGEST_CEILING = 2**53 - 1  # what every JSON reader keeps exactly


def create_defaults(*, project_id: int) -> None:
    """The quota rows of a new project."""
    ceilings = {**DEFAULT_CEILINGS, Resource.EVENTS: settings.EVENTS_PER_MONTH}
    Quota.objects.bulk_create(
        [Quota(project_id=project_id, resource=resource, ceiling=n) for resource, n in ceilings.items()]
    )


def reserve(*, project_id: int, resource: str, amount: int = 1) -> dt.date | None:
    """Take `amount` of a resource or raise `QuotaExceeded`. Rolled back with the caller's transaction.

    Returns the month a monthly resource was taken from, which `give_back` asks for; None for stock. Events go
    through `ingestion_quota`. Takes the quota row's lock: call it after validation and as late as the order of
    the law allows.
    """
    if resource == Resource.EVENTS:
        raise RuntimeError("events are reserved in blocks by ingestion_quota")
    if resource in MONTHLY_RESOURCES:
        return _reserve_of_month(project_id, resource, amount)
    if amount <= 0:
        return None
    row = Quota.objects.filter(project_id=project_id, resource=resource)
    if row.filter(used__lte=F("ceiling") - amount).update(used=F("used") + amount) == 1:
        return None
    state = row.values("ceiling", "used").first() or {"ceiling": 0, "used": 0}
    raise QuotaExceeded(
        f"The quota of {resource} is {state['ceiling']}, {state['used']} are used, {amount} more do not fit. "
        "Delete some or ask an owner to raise the quota.",
        resource=resource,
        requested=amount,
        **state,
    )


def _reserve_of_month(project_id: int, resource: str, amount: int) -> dt.date:
    """One conditional UPDATE, which the first reservation of a month uses to start the count anew.

    A row that is already in a later month (our clock is behind) counts as the present one.
    """
    month = current_month()
    if amount <= 0:
        return month
    row = Quota.objects.filter(project_id=project_id, resource=resource)
    in_month = Q(period_start__gte=month)
    # Written as a disjunction with IS NULL: NOT (NULL >= month) is NULL, and would refuse the first month.
    before = Q(period_start__isnull=True) | Q(period_start__lt=month)
    fits = row.filter((in_month & Q(used__lte=F("ceiling") - amount)) | (before & Q(ceiling__gte=amount)))
    taken = fits.update(
        used=Case(When(in_month, then=F("used") + amount), default=Value(amount)),
        period_start=Case(When(in_month, then=F("period_start")), default=Value(month, output_field=DateField())),
    )
    if taken == 1:
        return month
    state = row.values("ceiling", "used", "period_start").first()
    ceiling = state["ceiling"] if state else 0
    used = state["used"] if state and state["period_start"] and state["period_start"] >= month else 0
    raise QuotaExceeded(
        f"The quota of {resource} is {ceiling} for {month:%B %Y}, {used} are used or reserved, "
        f"{amount} more do not fit. Wait for the next month (UTC) or ask an owner to raise the quota.",
        resource=resource,
        requested=amount,
        ceiling=ceiling,
        used=used,
    )


def give_back(*, project_id: int, resource: str, amount: int = 1, month: dt.date | None = None) -> None:
    """Return `amount` of a resource; never below zero.

    Of a monthly resource only while the `month` lasts that `reserve` returned (default: the present one): a new
    month owes nothing to the past.
    """
    if amount <= 0:
        return
    row = Quota.objects.filter(project_id=project_id, resource=resource)
    if resource in MONTHLY_RESOURCES:
        row = row.filter(period_start=month or current_month())
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
    if resource in MONTHLY_RESOURCES and quota.period_start is not None and quota.period_start < current_month():
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
