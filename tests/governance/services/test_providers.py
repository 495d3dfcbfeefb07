"""Rules, prices and secrets: who may write them, what is refused, what the audit trail says, what never leaks."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from governance.domain.actions import ALLOWED_BY_ROLE, Role
from governance.domain.caller import Operator
from governance.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from governance.models import AuditEntry, Price, ProviderRule, Secret
from governance.outbound.secrets import CannotOpen
from governance.selectors import providers as reads
from governance.services import prices, providers, secrets
from governance.services.projects import create_project, system_caller
from tests.governance.threads import at_once

JANUARY, JUNE, JULY = (dt.datetime(2026, month, 1, tzinfo=dt.UTC) for month in (1, 6, 7))
URL = "https://api.openai.com/v1"
OPERATOR = Operator("1", "root")
VALUE = "sk-only-the-provider-knows"


def allow(caller, **over):
    return providers.create_rule(caller=caller, **{"effect": "allow", "provider": "openai", **over})


def price(caller, **over):
    given = {"provider": "openai", "per_million_tokens": Decimal("0.02"), "valid_from": JANUARY}
    return prices.create_price(caller=caller, **{**given, **over})


def actions(prefix: str) -> list[str]:
    return list(AuditEntry.objects.filter(action__startswith=prefix).order_by("pk").values_list("action", flat=True))


def viewer(caller):
    return replace(caller, allowed=ALLOWED_BY_ROLE[Role.EVALUATOR])


def test_remote_providers_need_a_rule_of_their_own_project(caller):
    with pytest.raises(providers.ProviderNotAllowed, match="no rule of the project allows it") as refused:
        providers.require_allowed(project_id=caller.project_id, provider="openai", model="m", base_url=URL)
    assert (refused.value.status, refused.value.details["field"], refused.value.is_transient) == (
        403,
        "provider",
        False,
    )
    other = system_caller(create_project(name="other"))
    allow(other)
    with pytest.raises(providers.ProviderNotAllowed):
        providers.require_allowed(project_id=caller.project_id, provider="openai", model="m", base_url=URL)
    allow(caller)
    providers.require_allowed(project_id=caller.project_id, provider="openai", model="m", base_url=URL)
    providers.require_allowed(project_id=caller.project_id, provider="minilm", model="")


def test_a_check_is_one_query_however_many_rules(caller, django_assert_num_queries):
    for number in range(20):
        allow(caller, model=f"m{number}")
    with django_assert_num_queries(1):
        providers.require_allowed(project_id=caller.project_id, provider="openai", model="m7", base_url=URL)


def test_rules_are_made_and_deleted_with_audit(caller):
    rule = allow(caller, model=" text* ", base_url=f"{URL}*", note="agreed")
    assert str(rule) == f"allow openai text* {URL}*"
    with pytest.raises(Conflict, match="this very rule"):
        allow(caller, model="text*", base_url=f"{URL}*")
    providers.delete_rule(caller=caller, public_id=rule.public_id)
    assert ProviderRule.objects.count() == 0
    assert actions("provider_rule") == ["provider_rule.create", "provider_rule.delete"]
    made, gone = AuditEntry.objects.filter(target_kind="provider_rule").order_by("pk")
    assert made.after == gone.before
    assert made.after["base_url"] == f"{URL}*"


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"effect": "perhaps"}, "effect"),
        ({"provider": " "}, "provider"),
        ({"model": ""}, "model"),
        ({"base_url": "https://*"}, "base_url"),
        ({"note": "n" * 501}, "note"),
    ],
)
def test_bad_rules_are_refused_by_field(caller, over, field):
    with pytest.raises(InvalidInput) as refused:
        allow(caller, **over)
    assert refused.value.details["field"] == field
    assert ProviderRule.objects.count() == 0
    assert actions("provider_rule") == []


def test_a_project_has_a_thousand_rules_at_most(caller, monkeypatch):
    monkeypatch.setattr(providers, "MOST_RULES", 1)
    allow(caller)
    with pytest.raises(Conflict, match="delete some"):
        allow(caller, model="other")


def test_evaluators_write_neither_rules_nor_prices_nor_secrets(caller):
    rule, cost, secret = allow(caller), price(caller), secrets.create_secret(caller=caller, name="k", value=VALUE)
    low = viewer(caller)
    for attempt in (
        lambda: allow(low, model="x"),
        lambda: providers.delete_rule(caller=low, public_id=rule.public_id),
        lambda: price(low, model="x"),
        lambda: prices.delete_price(caller=low, public_id=cost.public_id),
        lambda: secrets.create_secret(caller=low, name="x", value=VALUE),
        lambda: secrets.delete_secret(caller=low, public_id=secret.public_id),
    ):
        with pytest.raises(Forbidden):
            attempt()
    assert (ProviderRule.objects.count(), Price.objects.count(), Secret.objects.count()) == (1, 1, 1)


def test_what_another_project_has_does_not_exist(caller):
    other = system_caller(create_project(name="other"))
    rule, cost, secret = allow(other), price(other), secrets.create_secret(caller=other, name="k", value=VALUE)
    for delete, made in (
        (providers.delete_rule, rule),
        (prices.delete_price, cost),
        (secrets.delete_secret, secret),
    ):
        with pytest.raises(NotFound):
            delete(caller=caller, public_id=made.public_id)
    with pytest.raises(NotFound):
        secrets.reveal(project_id=caller.project_id, name="k")
    assert prices.price_at(project_id=caller.project_id, provider="openai", model="m", at=JUNE) is None
    assert [list(read(caller=caller)) for read in (reads.rules, reads.prices, reads.secrets)] == [[], [], []]


def cost(caller, *, provider: str = "openai", model: str = "large", at: dt.datetime = JUNE) -> Decimal | None:
    return prices.cost_of(project_id=caller.project_id, provider=provider, model=model, tokens=1_500_000, at=at)


def test_a_cost_is_exact_and_unknown_without_a_price(caller):
    assert cost(caller) is None
    assert cost(caller, provider="minilm") == 0
    price(caller)
    assert cost(caller) == Decimal("0.03")
    assert cost(caller, at=JANUARY - dt.timedelta(microseconds=1)) is None
    price(caller, provider="minilm", per_million_tokens=Decimal(2))
    assert cost(caller, provider="minilm") == 3


def test_the_nearest_price_holds(caller):
    def priced(amount: int, owner, model: str) -> None:
        price(owner, model=model, per_million_tokens=Decimal(amount))
        assert cost(caller) == Decimal(amount) * Decimal("1.5")

    priced(1, OPERATOR, "*")
    priced(2, OPERATOR, "lar*")
    priced(3, OPERATOR, "large")
    priced(4, caller, "*")
    priced(5, caller, "lar*")
    priced(6, caller, "large")
    assert cost(caller, model="tiny") == 6
    assert cost(system_caller(create_project(name="other"))) == Decimal("4.5")


def test_prices_follow_one_another_without_overlap(caller):
    price(caller, valid_until=JUNE)
    for over in ({"valid_from": JUNE - dt.timedelta(days=1)}, {"valid_from": JANUARY - dt.timedelta(days=9)}):
        with pytest.raises(Conflict, match="holds from 2026-01-01"):
            price(caller, **over)
    price(caller, valid_from=JUNE, per_million_tokens=Decimal(1))
    with pytest.raises(Conflict, match="without an end"):
        price(caller, valid_from=JULY)
    price(caller, valid_from=JANUARY - dt.timedelta(days=9), valid_until=JANUARY)
    price(caller, valid_from=JULY, model="other")
    price(OPERATOR, valid_from=JULY)
    assert (cost(caller, at=JUNE - dt.timedelta(seconds=1)), cost(caller, at=JUNE)) == (Decimal("0.03"), Decimal("1.5"))
    assert Price.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_concurrent_prices_of_one_time_are_one(caller):
    results = at_once(8, lambda n: price(caller, valid_from=JANUARY + dt.timedelta(days=n)))
    assert sum(isinstance(result, Price) for result in results) == 1, results
    assert sum(isinstance(result, Conflict) for result in results) == 7, results


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"provider": ""}, "provider"),
        ({"model": "m" * 201}, "model"),
        ({"per_million_tokens": Decimal(-1)}, "per_million_tokens"),
        ({"per_million_tokens": Decimal("NaN")}, "per_million_tokens"),
        ({"per_million_tokens": Decimal("Infinity")}, "per_million_tokens"),
        ({"per_million_tokens": Decimal("0.0000001")}, "per_million_tokens"),
        ({"per_million_tokens": Decimal(10**9)}, "per_million_tokens"),
        ({"currency": "dollars"}, "currency"),
        ({"valid_until": JANUARY}, "valid_until"),
    ],
)
def test_bad_prices_are_refused_by_field(caller, over, field):
    with pytest.raises(InvalidInput) as refused:
        price(caller, **over)
    assert refused.value.details["field"] == field
    assert Price.objects.count() == 0


def test_prices_are_audited_where_they_belong(caller):
    own, of_all = price(caller, currency="eur"), price(OPERATOR)
    assert [str(row) for row in reads.prices(caller=caller)] == ["openai *: 0.020000 USD", "openai *: 0.020000 EUR"]
    with pytest.raises(NotFound):
        prices.delete_price(caller=caller, public_id=of_all.public_id)
    prices.delete_price(caller=caller, public_id=own.public_id)
    prices.delete_price(caller=OPERATOR, public_id=of_all.public_id)
    entries = AuditEntry.objects.filter(action__startswith="price").order_by("pk")
    assert [(entry.action, entry.chain) for entry in entries] == [
        ("price.create", caller.project_public_id),
        ("price.create", "installation"),
        ("price.delete", caller.project_public_id),
        ("price.delete", "installation"),
    ]
    assert entries[0].after["per_million_tokens"] == "0.02"
    assert entries[0].after["currency"] == "EUR"


def test_a_secret_comes_back_to_workers_and_to_nobody_else(caller):
    secret = secrets.create_secret(caller=caller, name="openai.key", value=f" {VALUE}\n")
    assert secrets.reveal(project_id=caller.project_id, name="openai.key") == VALUE
    secrets.require_known(project_id=caller.project_id, name="openai.key")
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            assert VALUE not in str(cursor.fetchall()), table
    (shown,) = reads.secrets(caller=caller)
    assert "sealed" in shown.get_deferred_fields()
    with pytest.raises(Conflict, match="exists already"):
        secrets.create_secret(caller=caller, name="openai.key", value="other")
    secrets.delete_secret(caller=caller, public_id=secret.public_id)
    with pytest.raises(NotFound, match=r"openai\.key"):
        secrets.reveal(project_id=caller.project_id, name="openai.key")
    with pytest.raises(NotFound) as unknown:
        secrets.require_known(project_id=caller.project_id, name="openai.key", field="arms.a.secret")
    assert unknown.value.details["field"] == "arms.a.secret"
    assert actions("secret") == ["secret.create", "secret.delete"]
    assert AuditEntry.objects.get(action="secret.create").after == {"name": "openai.key"}


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("", VALUE, "name"),
        ("-x", VALUE, "name"),
        ("a b", VALUE, "name"),
        ("x" * 65, VALUE, "name"),
        ("k", " ", "value"),
        ("k", "a\r\nX-Other: b", "value"),
        ("k", "schlüssel", "value"),
        ("k", "x" * 8_193, "value"),
    ],
)
def test_bad_secrets_are_refused_without_repeating_them(caller, name, value, field):
    with pytest.raises(InvalidInput) as refused:
        secrets.create_secret(caller=caller, name=name, value=value)
    assert refused.value.details["field"] == field
    if field == "value" and value.strip():
        assert value not in str(refused.value.details) + refused.value.message
    assert Secret.objects.count() == 0


def test_a_project_has_a_bounded_number_of_secrets(caller, monkeypatch):
    monkeypatch.setattr(secrets, "MOST_SECRETS", 1)
    secrets.create_secret(caller=caller, name="a", value=VALUE)
    with pytest.raises(Conflict, match="delete some"):
        secrets.create_secret(caller=caller, name="b", value=VALUE)


def test_a_sealed_value_opens_only_where_it_was_stored(caller):
    secret = secrets.create_secret(caller=caller, name="a", value=VALUE)
    other = system_caller(create_project(name="other"))
    Secret.objects.create(project_id=other.project_id, name="a", sealed=secret.sealed, key_id=secret.key_id)
    Secret.objects.create(project_id=caller.project_id, name="b", sealed=secret.sealed, key_id=secret.key_id)
    Secret.objects.create(
        project_id=caller.project_id,
        name="c",
        sealed=Fernet(Fernet.generate_key()).encrypt(b"{}").decode(),
        key_id=secret.key_id,
    )
    for project_id, name in ((other.project_id, "a"), (caller.project_id, "b"), (caller.project_id, "c")):
        with pytest.raises(CannotOpen, match="store it again"):
            secrets.reveal(project_id=project_id, name=name)


def test_secrets_outlive_a_change_of_the_signing_key(caller, settings):
    old, new = settings.SECRET_KEY, "another-signing-key-that-is-long-enough-for-anybody"
    secrets.create_secret(caller=caller, name="a", value=VALUE)
    settings.SECRET_KEY = new
    with pytest.raises(CannotOpen, match="HHWEB_OLD_SECRET_KEYS"):
        secrets.reveal(project_id=caller.project_id, name="a")
    with pytest.raises(CommandError, match="1 secrets do not open"):
        call_command("reseal_secrets", stdout=StringIO())
    settings.OLD_SECRET_KEYS = [old]
    assert secrets.reveal(project_id=caller.project_id, name="a") == VALUE
    told = StringIO()
    call_command("reseal_secrets", stdout=told)
    assert told.getvalue() == "1 secrets sealed anew.\n"
    settings.OLD_SECRET_KEYS = []
    assert secrets.reveal(project_id=caller.project_id, name="a") == VALUE
    assert secrets.reseal_all() == (0, 0)
