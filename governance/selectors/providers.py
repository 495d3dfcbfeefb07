"""Reads of rules, prices and the names of secrets: of the caller's own project, prices also of the installation."""

from django.db.models import Q, QuerySet

from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.models import Price, ProviderRule, Secret


def rules(*, caller: Caller) -> QuerySet[ProviderRule]:
    """Rules of the project, newest first."""
    caller.require(Action.PROVIDERS_READ)
    return ProviderRule.objects.filter(project_id=caller.project_id).order_by("-created_at", "-id")


def prices(*, caller: Caller) -> QuerySet[Price]:
    """Prices of the project and of the installation, by provider and model, newest first."""
    caller.require(Action.PROVIDERS_READ)
    return Price.objects.filter(Q(project_id=caller.project_id) | Q(project__isnull=True)).order_by(
        "provider", "model", "-valid_from", "-id"
    )


def secrets(*, caller: Caller) -> QuerySet[Secret]:
    """Names of secrets, never what they seal: the sealed text is not even loaded."""
    caller.require(Action.PROVIDERS_READ)
    return Secret.objects.filter(project_id=caller.project_id).defer("sealed").order_by("name")
