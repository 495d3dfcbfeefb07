"""Console pages of providers: rules, prices and names of secrets of a project, each with a form and a confirmation."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from django.http import HttpResponseBase
from django.urls import reverse

from governance.admin.pages import Visit, back, clean, page
from governance.domain.actions import Action
from governance.domain.errors import DomainError, InvalidInput, NotFound
from governance.domain.provider_patterns import LOCAL_PROVIDERS
from governance.selectors import providers as reads
from governance.services import prices, providers, secrets

SHOWN = 200
HOME = "console_providers"


@page(Action.PROVIDERS_READ)
def providers_page(visit: Visit) -> HttpResponseBase:
    """Which providers may be called, what do they cost, which secrets are stored?"""
    rules = list(reads.rules(caller=visit.caller)[: SHOWN + 1])
    costs = list(reads.prices(caller=visit.caller)[: SHOWN + 1])
    now = dt.datetime.now(dt.UTC)
    rows = [
        {
            "price": price,
            "state": "planned"
            if price.valid_from > now
            else "ended"
            if price.valid_until is not None and price.valid_until <= now
            else "active",
        }
        for price in costs[:SHOWN]
    ]
    return visit.render(
        "console/providers.html",
        title="Providers",
        rules=rules[:SHOWN],
        allowing=sum(1 for rule in rules if rule.effect == "allow"),
        denying=sum(1 for rule in rules if rule.effect == "deny"),
        prices=rows,
        secrets=list(reads.secrets(caller=visit.caller)[:SHOWN]),
        is_cut=len(rules) > SHOWN or len(costs) > SHOWN,
        shown=SHOWN,
        local=sorted(LOCAL_PROVIDERS),
    )


def _form(
    visit: Visit, template: str, title: str, save: Callable[[], str], secret: tuple[str, ...] = ()
) -> HttpResponseBase:
    """Show the form; save it on POST. What is in `secret` is not shown again after a refusal."""
    error: DomainError | None = None
    if visit.request.method == "POST":
        try:
            told = save()
        except DomainError as refused:
            error = refused
        else:
            visit.tell(told)
            return back(HOME)
    values = {name: value for name, value in visit.request.POST.items() if name not in secret}
    return visit.render(template, title=title, values=values, error=error, status=400 if error else 200)


@page(Action.PROVIDERS_WRITE, methods=("GET", "POST"))
def new_rule(visit: Visit) -> HttpResponseBase:
    """Allow or deny providers by pattern."""
    post = visit.request.POST

    def save() -> str:
        rule = providers.create_rule(
            caller=visit.caller,
            effect=clean(post.get("effect"), 20),
            provider=clean(post.get("provider"), 300),
            model=clean(post.get("model"), 300) or "*",
            base_url=clean(post.get("base_url"), 600) or "*",
            note=clean(post.get("note"), 600),
        )
        return f"Rule added: {rule}."

    return _form(visit, "console/provider_rule_form.html", "New provider rule", save)


@page(Action.PROVIDERS_WRITE, methods=("GET", "POST"))
def delete_rule(visit: Visit, rule_id: str) -> HttpResponseBase:
    """Confirm, then delete."""
    rule = reads.rules(caller=visit.caller).filter(public_id=rule_id[:64]).first()
    if rule is None:
        raise NotFound("This rule does not exist in this project.", field="rule_id", value=rule_id[:64])
    if visit.request.method == "POST":
        providers.delete_rule(caller=visit.caller, public_id=rule_id)
        visit.tell(f"Rule deleted: {rule}.")
        return back(HOME)
    return visit.render(
        "console/confirm.html",
        title=f"Delete rule “{rule}”?",
        what="Work that starts from now on is checked without this rule; what runs stops at its next check.",
        stays="All results stay. The audit trail keeps the rule.",
        undo="Add the same rule again.",
        button="Delete rule",
        way_out=(reverse(f"admin:{HOME}"), "Keep rule"),
    )


@page(Action.PROVIDERS_WRITE, methods=("GET", "POST"))
def new_price(visit: Visit) -> HttpResponseBase:
    """A price of the project, for a time."""
    post = visit.request.POST

    def save() -> str:
        price = prices.create_price(
            caller=visit.caller,
            provider=clean(post.get("provider"), 100),
            model=clean(post.get("model"), 300) or "*",
            per_million_tokens=_amount(clean(post.get("per_million_tokens"), 40)),
            currency=clean(post.get("currency"), 10),
            valid_from=_day(clean(post.get("valid_from"), 20), "valid_from"),
            valid_until=_day(until, "valid_until") if (until := clean(post.get("valid_until"), 20)) else None,
        )
        return f"Price added: {price} per million tokens."

    return _form(visit, "console/price_form.html", "New price", save)


@page(Action.PROVIDERS_WRITE, methods=("GET", "POST"))
def delete_price(visit: Visit, price_id: str) -> HttpResponseBase:
    """Confirm, then delete."""
    mine = reads.prices(caller=visit.caller).filter(project_id=visit.caller.project_id)
    price = mine.filter(public_id=price_id[:64]).first()
    if price is None:
        raise NotFound("This price does not exist in this project.", field="price_id", value=price_id[:64])
    if visit.request.method == "POST":
        prices.delete_price(caller=visit.caller, public_id=price_id)
        visit.tell(f"Price deleted: {price}.")
        return back(HOME)
    return visit.render(
        "console/confirm.html",
        title=f"Delete price “{price}”?",
        what="Plans and costs from now on are computed without it.",
        stays="Costs that were computed with it stay. The audit trail keeps the price.",
        undo="Add the same price again.",
        button="Delete price",
        way_out=(reverse(f"admin:{HOME}"), "Keep price"),
    )


@page(Action.SECRETS_WRITE, methods=("GET", "POST"))
def new_secret(visit: Visit) -> HttpResponseBase:
    """Store a value; it is in no answer, not even in the form after a refusal."""
    post = visit.request.POST

    def save() -> str:
        secret = secrets.create_secret(
            caller=visit.caller,
            name=clean(post.get("name"), 100),
            value=clean(post.get("value"), secrets.LONGEST_VALUE + 1),
        )
        return f"Secret stored: {secret.name}. Arms may name it now."

    return _form(visit, "console/secret_form.html", "New secret", save, secret=("value",))


@page(Action.SECRETS_WRITE, methods=("GET", "POST"))
def delete_secret(visit: Visit, secret_id: str) -> HttpResponseBase:
    """Confirm, then delete."""
    secret = reads.secrets(caller=visit.caller).filter(public_id=secret_id[:64]).first()
    if secret is None:
        raise NotFound("This secret does not exist in this project.", field="secret_id", value=secret_id[:64])
    if visit.request.method == "POST":
        secrets.delete_secret(caller=visit.caller, public_id=secret_id)
        visit.tell(f"Secret deleted: {secret.name}.")
        return back(HOME)
    return visit.render(
        "console/confirm.html",
        title=f"Delete secret {secret.name}?",
        what="Every arm that names it fails from now on, saying so.",
        stays="All results stay. The provider still knows the key: revoke it there as well.",
        undo="The value cannot be shown again; store it anew under the same name.",
        button="Delete secret",
        way_out=(reverse(f"admin:{HOME}"), "Keep secret"),
    )


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise InvalidInput(
            "Type a price as a number, for example 0.02.", field="per_million_tokens", value=text
        ) from None


def _day(text: str, field: str) -> dt.datetime:
    """The beginning of a day, UTC."""
    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), tzinfo=dt.UTC)
    except ValueError:
        raise InvalidInput("Type a day like 2026-11-21.", field=field, value=text) from None
