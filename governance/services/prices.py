"""What tokens of a provider cost at a moment: prices of the project before those of the installation."""

import datetime as dt
import re
from decimal import Decimal
from fnmatch import fnmatchcase

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from governance.domain.actions import Action
from governance.domain.caller import Caller, Operator
from governance.domain.errors import Conflict, InvalidInput, NotFound
from governance.domain.provider_patterns import LOCAL_PROVIDERS
from governance.models import Price
from governance.services import audit

_MILLION = Decimal(1_000_000)
_LARGEST = Decimal(1_000_000_000)
_LOCK = 0x68687072  # the number of our advisory lock: prices are checked against each other


def cost_of(*, project_id: int, provider: str, model: str, tokens: int, at: dt.datetime) -> Decimal | None:
    """Cost in the currency of the price; None when no price is known. Local providers cost nothing unless priced."""
    price = price_at(project_id=project_id, provider=provider, model=model, at=at)
    if price is not None:
        return price.per_million_tokens * tokens / _MILLION
    return Decimal(0) if provider in LOCAL_PROVIDERS else None


def price_at(*, project_id: int, provider: str, model: str, at: dt.datetime) -> Price | None:
    """The price that holds: of the project before the installation, exact names before patterns, longer ones first."""
    valid = Price.objects.filter(
        Q(project_id=project_id) | Q(project__isnull=True),
        Q(valid_until__isnull=True) | Q(valid_until__gt=at),
        provider=provider,
        valid_from__lte=at,
    )
    found = [price for price in valid if price.model == model or fnmatchcase(model, price.model)]
    return max(
        found,
        key=lambda price: (
            price.project_id is not None,
            price.model == model,
            len(price.model),
            price.valid_from,
            price.pk,
        ),
        default=None,
    )


@transaction.atomic
def create_price(
    *,
    caller: Caller | Operator,
    provider: str,
    per_million_tokens: Decimal,
    valid_from: dt.datetime,
    model: str = "*",
    currency: str = "USD",
    valid_until: dt.datetime | None = None,
) -> Price:
    """A new price, of the caller's project, or of the installation for an `Operator`. Overlaps are a `Conflict`."""
    project_id = _scope(caller)
    provider, model, currency = provider.strip(), model.strip(), currency.strip().upper()
    _check(provider, model, per_million_tokens, currency, valid_from, valid_until)
    if connection.vendor == "postgresql":  # SQLite's transactions follow one another anyway
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, project_id or 0])
    same = _of(project_id).filter(provider=provider, model=model)
    overlapping = same.filter(Q(valid_until__isnull=True) | Q(valid_until__gt=valid_from))
    if valid_until is not None:
        overlapping = overlapping.filter(valid_from__lt=valid_until)
    if (other := overlapping.first()) is not None:
        until = f"until {other.valid_until:%Y-%m-%d %H:%M} UTC" if other.valid_until else "without an end"
        raise Conflict(
            f"A price of {provider} {model} holds from {other.valid_from:%Y-%m-%d %H:%M} UTC {until}. "
            "Delete it first, or choose dates beside it.",
            field="valid_from",
            value=valid_from.isoformat(),
        )
    price = Price.objects.create(
        project_id=project_id,
        provider=provider,
        model=model,
        per_million_tokens=per_million_tokens,
        currency=currency,
        valid_from=valid_from,
        valid_until=valid_until,
        created_by=caller.actor_label[:240],
    )
    audit.record(
        caller=caller,
        action="price.create",
        target_kind="price",
        target_id=price.public_id,
        target_label=str(price),
        after=_said(price),
    )
    return price


@transaction.atomic
def delete_price(*, caller: Caller | Operator, public_id: str) -> None:
    """Take a price away; costs that were computed with it stay. The installation's are an operator's."""
    project_id = _scope(caller)
    price = _of(project_id).select_for_update().filter(public_id=public_id[:64]).first()
    if price is None:
        raise NotFound(
            f"Price {public_id[:64]!r} does not exist in this project.", field="price_id", value=public_id[:64]
        )
    price.delete()
    audit.record(
        caller=caller,
        action="price.delete",
        target_kind="price",
        target_id=public_id,
        target_label=str(price),
        before=_said(price),
    )


def _scope(caller: Caller | Operator) -> int | None:
    if isinstance(caller, Operator):
        return None
    caller.require(Action.PROVIDERS_WRITE)
    return caller.project_id


def _of(project_id: int | None) -> QuerySet[Price]:
    return (
        Price.objects.filter(project__isnull=True)
        if project_id is None
        else Price.objects.filter(project_id=project_id)
    )


def _check(
    provider: str,
    model: str,
    per_million_tokens: Decimal,
    currency: str,
    valid_from: dt.datetime,
    valid_until: dt.datetime | None,
) -> None:
    for field, value, longest in (("provider", provider, 64), ("model", model, 200)):
        if not value or len(value) > longest or not value.isprintable():
            raise InvalidInput(
                f"Field '{field}' must have 1 to {longest} visible characters.", field=field, value=value[:200]
            )
    exponent = per_million_tokens.as_tuple().exponent
    if not per_million_tokens.is_finite() or not 0 <= per_million_tokens < _LARGEST or int(exponent) < -6:
        raise InvalidInput(
            f"Field 'per_million_tokens' is {str(per_million_tokens)[:40]}; it must be a number from 0 to below "
            f"{_LARGEST} with at most six decimals.",
            field="per_million_tokens",
            value=str(per_million_tokens)[:40],
        )
    if not re.fullmatch("[A-Z]{3}", currency):
        raise InvalidInput(
            f"Field 'currency' is {currency[:10]!r}; write three letters, such as USD.",
            field="currency",
            value=currency[:10],
        )
    if valid_until is not None and valid_until <= valid_from:
        raise InvalidInput(
            "Field 'valid_until' must lie after 'valid_from'.", field="valid_until", value=valid_until.isoformat()
        )


def _said(price: Price) -> dict[str, str | None]:
    return {
        "provider": price.provider,
        "model": price.model,
        "per_million_tokens": str(price.per_million_tokens),
        "currency": price.currency,
        "valid_from": price.valid_from.isoformat(),
        "valid_until": price.valid_until.isoformat() if price.valid_until else None,
    }
