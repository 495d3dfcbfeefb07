"""Which providers a project may call: rules made by maintainers, asked at creation and again by workers."""

from collections.abc import Sequence
from typing import Literal, cast

from django.db import IntegrityError, transaction

from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, DomainError, InvalidInput, NotFound
from governance.domain.provider_patterns import ANY, LOCAL_PROVIDERS, Rule, check_patterns, decide
from governance.models import ProviderRule, RuleEffect
from governance.services import audit

__all__ = [
    "LOCAL_PROVIDERS",
    "ProviderNotAllowed",
    "create_rule",
    "delete_rule",
    "require_allowed",
    "require_allowed_by",
    "rules_of",
]

MOST_RULES = 1_000  # each is asked at every check


class ProviderNotAllowed(DomainError):
    """The project's rules do not allow this provider. `is_transient` is False: only people change rules."""

    code = "provider_not_allowed"
    status = 403
    is_transient = False


def require_allowed(*, project_id: int, provider: str, model: str, base_url: str = "") -> None:
    """Raise `ProviderNotAllowed` (field `provider`) unless the rules of this moment allow the call. One query."""
    require_allowed_by(rules_of(project_id=project_id), provider=provider, model=model, base_url=base_url)


def rules_of(*, project_id: int) -> list[Rule]:
    """All rules of a project at this moment."""
    rows = ProviderRule.objects.filter(project_id=project_id).values_list("effect", "provider", "model", "base_url")
    return [Rule(cast(Literal["allow", "deny"], effect), *patterns) for effect, *patterns in rows]


def require_allowed_by(rules: Sequence[Rule], *, provider: str, model: str, base_url: str = "") -> None:
    """Raise `ProviderNotAllowed` unless these rules allow the call; for addresses that are known at the call only."""
    decision = decide(rules, provider=provider, model=model, base_url=base_url)
    if not decision.is_allowed:
        where = f" at {base_url[:200]}" if base_url else ""
        raise ProviderNotAllowed(
            f"Provider {provider!r} with model {model or 'of its own choice'!r}{where} is not allowed: "
            f"{decision.reason}. Ask a maintainer for a rule that allows it, or choose a local provider.",
            field="provider",
            value=provider,
            model=model,
            base_url=base_url,
        )


@transaction.atomic
def create_rule(
    *, caller: Caller, effect: str, provider: str, model: str = ANY, base_url: str = ANY, note: str = ""
) -> ProviderRule:
    """A new rule. The same rule twice is a `Conflict`."""
    caller.require(Action.PROVIDERS_WRITE)
    if effect not in RuleEffect.values:
        raise InvalidInput(f"Field 'effect' is {effect!r}; write allow or deny.", field="effect", value=effect[:40])
    provider, model, base_url, note = provider.strip(), model.strip(), base_url.strip(), note.strip()
    check_patterns(Rule(cast(Literal["allow", "deny"], effect), provider, model, base_url))
    if len(note) > 500:
        raise InvalidInput("Field 'note' is longer than 500 characters; shorten it.", field="note")
    if ProviderRule.objects.filter(project_id=caller.project_id).count() >= MOST_RULES:
        raise Conflict(f"The project has {MOST_RULES} rules already; delete some first.", field="provider")
    try:
        with transaction.atomic():
            rule = ProviderRule.objects.create(
                project_id=caller.project_id,
                effect=effect,
                provider=provider,
                model=model,
                base_url=base_url,
                note=note,
                created_by=caller.actor_label[:240],
            )
    except IntegrityError:
        raise Conflict("The project has this very rule already.", field="provider", value=provider) from None
    audit.record(
        caller=caller,
        action="provider_rule.create",
        target_kind="provider_rule",
        target_id=rule.public_id,
        target_label=str(rule),
        after=_said(rule),
    )
    return rule


@transaction.atomic
def delete_rule(*, caller: Caller, public_id: str) -> None:
    """Take a rule away. Work that is queued already meets the rules of the moment it starts."""
    caller.require(Action.PROVIDERS_WRITE)
    rule = (
        ProviderRule.objects.select_for_update().filter(project_id=caller.project_id, public_id=public_id[:64]).first()
    )
    if rule is None:
        raise NotFound(
            f"Rule {public_id[:64]!r} does not exist in this project.", field="rule_id", value=public_id[:64]
        )
    rule.delete()
    audit.record(
        caller=caller,
        action="provider_rule.delete",
        target_kind="provider_rule",
        target_id=public_id,
        target_label=str(rule),
        before=_said(rule),
    )


def _said(rule: ProviderRule) -> dict[str, str]:
    return {name: getattr(rule, name) for name in ("effect", "provider", "model", "base_url", "note")}
