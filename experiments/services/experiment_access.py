"""Opens what an experiment calls for a worker: allowed now, with its secrets, within the shared limits."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings

from experiments.adapters.judges import BuiltinJudge, CallableJudge, Judge, Judges, ModelJudge
from experiments.adapters.outbound_calls import Outlet, Slots
from experiments.adapters.targets.chat_model import ChatModel
from experiments.adapters.targets.http_endpoint import HttpEndpoint
from experiments.adapters.targets.registered_callable import RegisteredCallable
from experiments.domain.callables import place_of
from experiments.domain.calls import OpenEvaluators, OpenTarget
from experiments.domain.experiment_spec import CallableTarget, EvaluatorSpec, ExperimentSpec, HttpTarget
from experiments.domain.http_targets import base_url_of
from experiments.domain.redaction import Redaction
from experiments.domain.templates import without_placeholders
from experiments.models import Experiment
from experiments.services.experiment_pinning import CALLABLE, HTTP, Pinned, pin
from governance.domain.errors import Forbidden
from governance.domain.provider_patterns import LOCAL_PROVIDERS, Rule
from governance.models import Project
from governance.models.project import ProjectStatus
from governance.outbound.client import GuardedClient
from governance.services import prices, providers, secrets

__all__ = ["Access", "Pinned", "opened", "pin"]

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Access:
    """A target and evaluators that may be called now. Thread-safe, touches no database; `close` is for any thread."""

    target: OpenTarget
    evaluators: OpenEvaluators
    provider: str
    per_million_tokens: Decimal | None = None

    def cost_of(self, prompt_tokens: int | None, completion_tokens: int | None) -> Decimal | None:
        """Cost of one call in the currency of the price; None without a price or without tokens."""
        if self.per_million_tokens is None or (prompt_tokens is None and completion_tokens is None):
            return None
        return self.per_million_tokens * ((prompt_tokens or 0) + (completion_tokens or 0)) / _MILLION

    def close(self) -> None:
        """End every call under way, and refuse further ones. May be called twice."""
        self.target.close()
        self.evaluators.close()


@contextmanager
def opened(experiment: Experiment) -> Iterator[Access]:
    """What the experiment calls, checked against rules, secrets and callables of this moment.

    Raises Forbidden (the project is suspended), ProviderNotAllowed, NotFound (a secret is gone), InvalidInput (a
    callable is not allowed any more): nothing that trying again could heal.
    """
    opening = _Opening(experiment)
    try:
        access = opening.access()
        try:
            yield access
        finally:
            access.close()
    finally:
        opening.close()


@dataclass(slots=True)
class _Opening:
    experiment: Experiment
    spec: ExperimentSpec = field(init=False)
    _rules: list[Rule] = field(init=False)
    _client: GuardedClient | None = None

    def __post_init__(self) -> None:
        self.spec = ExperimentSpec.model_validate(self.experiment.spec)

    @property
    def project_id(self) -> int:
        return self.experiment.project_id

    def access(self) -> Access:
        project = Project.objects.only("name", "status").get(pk=self.project_id)
        if project.status != ProjectStatus.ACTIVE:
            raise Forbidden(f"Project {project.name!r} is suspended. Ask its owner.", reason="project_suspended")
        self._rules = providers.rules_of(project_id=self.project_id)
        target, provider, model = self._target()
        pinned = self.experiment.pinned["evaluators"]
        judges = [self._judge(spec, pinned[at], f"evaluators.{at}") for at, spec in enumerate(self.spec.evaluators)]
        return Access(target, Judges(judges), provider, self._price(provider, model))

    def close(self) -> None:
        """The connections, when something failed before there was an access to close."""
        if self._client is not None:
            self._client.close()

    def _target(self) -> tuple[OpenTarget, str, str]:
        target, pinned = self.spec.target, self.experiment.pinned["target"]
        if isinstance(target, CallableTarget):
            place = place_of(target.name, settings.CALLABLES, field="target.name")
            self._require(CALLABLE, target.name, "")
            return RegisteredCallable(target.name, place, target.options), CALLABLE, target.name
        if isinstance(target, HttpTarget):
            return self._http(target), HTTP, ""
        parameters, provider = pinned["parameters"], pinned["provider"]
        self._require(provider, parameters["model"], target.base_url)
        key = self._revealed(target.secret)
        outlet = self._outlet(provider, [key])
        return (
            ChatModel(parameters, base_url=target.base_url, key=key, outlet=outlet),
            provider,
            parameters["model"],
        )

    def _http(self, target: HttpTarget) -> HttpEndpoint:
        self._require(HTTP, "", base_url_of(without_placeholders(target.url)))
        headers: dict[str, str] = {}
        revealed: list[str] = []
        for name, value in target.headers.items():
            if isinstance(value, str):
                headers[name] = value
            else:
                revealed.append(self._revealed(value.secret))
                headers[name] = value.prefix + revealed[-1]
        return HttpEndpoint(
            target,
            headers=headers,
            outlet=self._outlet(HTTP, revealed),
            check_url=lambda url: self._require(HTTP, "", url),
        )

    def _judge(self, spec: EvaluatorSpec, pinned: dict[str, Any], field: str) -> Judge:
        if spec.kind == "callable":
            place = place_of(spec.name, settings.CALLABLES, field=f"{field}.name")
            self._require(CALLABLE, spec.name, "")
            return CallableJudge(spec.metric, place, spec.options)
        if "builtin" in pinned:
            return BuiltinJudge(spec.metric, pinned["builtin"], pinned["options"])
        content = pinned["content"]
        self._require(content["model_provider"], content["model_name"], spec.base_url)
        key = self._revealed(spec.secret)
        outlet = self._outlet(content["model_provider"], [key])
        return ModelJudge(spec.metric, content, spec.base_url, key, outlet)

    def _require(self, provider: str, model: str, base_url: str) -> None:
        providers.require_allowed_by(self._rules, provider=provider, model=model, base_url=base_url)

    def _revealed(self, name: str) -> str:
        return secrets.reveal(project_id=self.project_id, name=name) if name else ""

    def _outlet(self, provider: str, revealed: list[str]) -> Outlet:
        if self._client is None:
            self._client = GuardedClient()
        slots = Slots(self.project_id, provider, settings.PARALLEL_REQUESTS)
        return Outlet(slots, Redaction(revealed), self._client)

    def _price(self, provider: str, model: str) -> Decimal | None:
        price = prices.price_at(project_id=self.project_id, provider=provider, model=model, at=dt.datetime.now(dt.UTC))
        if price is not None:
            return price.per_million_tokens
        return Decimal(0) if provider in LOCAL_PROVIDERS else None
