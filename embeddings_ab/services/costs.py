"""What tokens cost at this moment, with the currency of the price."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from governance.services import prices


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount; `currency` is empty where nothing is paid."""

    amount: Decimal
    currency: str


def cost_now(*, project_id: int, provider: str, model: str, tokens: int) -> Cost | None:
    """None when no price is known."""
    at = dt.datetime.now(dt.UTC)
    amount = prices.cost_of(project_id=project_id, provider=provider, model=model, tokens=tokens, at=at)
    if amount is None:
        return None
    price = prices.price_at(project_id=project_id, provider=provider, model=model, at=at)
    return Cost(amount, price.currency if price is not None else "")
