"""Checks what an experiment wants to call, and pins what it refers to: configuration, metrics and their versions.

Everything is read, nothing written. What is pinned lets the same be run again after the project went on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from experiments.adapters.judges import check_options
from experiments.domain import chat, http_targets, llm_judging
from experiments.domain.callables import place_of
from experiments.domain.experiment_spec import CallableTarget, ChatTarget, EvaluatorSpec, ExperimentSpec, HttpTarget
from experiments.domain.metric_trial import named_evaluator
from experiments.domain.templates import check, without_placeholders
from experiments.domain.thresholds import interval_of
from experiments.domain.wire_metrics import content_of
from experiments.models import Metric
from experiments.selectors.configurations import find_configuration, find_version
from governance.domain.caller import Caller
from governance.domain.errors import InvalidInput, NotFound
from governance.domain.provider_patterns import LOCAL_PROVIDERS, canonical_url
from governance.outbound import addresses
from governance.services import providers, secrets

HTTP, CALLABLE = "http", "callable"  # names of providers, for rules and limits
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pinned:
    """`document` is what an experiment stores; `provider` is whose limit of calls holds.

    document: `target` and `evaluators` say what was found under the names of the specification, `run_metadata` is to
    become part of the run's metadata. A target of this machine counts as the provider of the first model that judges:
    more calls at once than that one has slots would only wait in its queue, until their deadlines.
    """

    document: Json
    provider: str


def pin(*, caller: Caller, spec: ExperimentSpec, earlier: Mapping[str, Any] | None = None) -> Pinned:
    """Check everything that can be checked without calling anybody, and pin it.

    `earlier` is the document of an experiment with the same target and evaluators: its versions are taken instead of
    those of today, while rules, secrets and the operator's list of callables are those of today. Raises InvalidInput,
    NotFound and ProviderNotAllowed, each naming the field (`target.url`, `evaluators.0.name`).
    """
    target, provider = _target(caller, spec, (earlier or {}).get("target"))
    kept = (earlier or {}).get("evaluators") or []
    evaluators: list[Json] = []
    names: dict[str, int] = {}
    for at, evaluator in enumerate(spec.evaluators):
        if (first := names.setdefault(evaluator.metric, at)) != at:
            raise InvalidInput(
                f"Field 'evaluators.{at}.metric_name': evaluators {first} and {at} would both be stored as "
                f"{evaluator.metric!r}; give one of them another metric_name.",
                field=f"evaluators.{at}.metric_name",
                value=evaluator.metric,
            )
        evaluators.append(_evaluator(caller, evaluator, f"evaluators.{at}", kept[at] if at < len(kept) else None))
    document = {"target": target, "evaluators": evaluators, "run_metadata": _run_metadata(spec, evaluators)}
    judges = [pinned["content"]["model_provider"] for pinned in evaluators if _is_judged(pinned)]
    return Pinned(document, judges[0] if judges and provider in LOCAL_PROVIDERS else provider)


def _target(caller: Caller, spec: ExperimentSpec, earlier: Mapping[str, Any] | None) -> tuple[Json, str]:
    target = spec.target
    if isinstance(target, HttpTarget):
        _check_http(caller, target)
        return {}, HTTP
    if isinstance(target, CallableTarget):
        place = place_of(target.name, settings.CALLABLES, field="target.name")
        providers.require_allowed(project_id=caller.project_id, provider=CALLABLE, model=target.name)
        return {"place": place}, CALLABLE
    pinned = dict(earlier) if earlier else _configuration(caller, target)
    chat.check_parameters(pinned["parameters"], field="target.configuration")
    check(pinned["parameters"].get("template"), field="target.configuration", has_short_inputs=True)
    check_model(
        caller.project_id,
        provider=pinned["provider"],
        model=pinned["parameters"]["model"],
        base_url=target.base_url,
        secret=target.secret,
        field="target",
    )
    return pinned, str(pinned["provider"])


def _configuration(caller: Caller, target: ChatTarget) -> Json:
    configuration = find_configuration(caller, target.configuration, field="target.configuration")
    version = find_version(configuration, target.version, field="target.version")
    return {
        "configuration_id": configuration.public_id,
        "configuration": configuration.name,
        "version": version.number,
        "content_hash": version.content_hash,
        "provider": version.provider,
        "parameters": version.parameters,
    }


def _check_http(caller: Caller, target: HttpTarget) -> None:
    http_targets.check_target(target)
    fixed = without_placeholders(target.url)
    _check_address(fixed, "target.url")
    base_url = http_targets.base_url_of(fixed)
    canonical_url(base_url, field="target.url")
    for header, name in http_targets.secrets_of(target.headers).items():
        secrets.require_known(project_id=caller.project_id, name=name, field=f"target.headers.{header}")
    providers.require_allowed(project_id=caller.project_id, provider=HTTP, model="", base_url=base_url)


def check_model(project_id: int, *, provider: str, model: str, base_url: str, secret: str, field: str) -> None:
    """Whether a model may be called there; errors name fields below `field`."""
    _check_address(base_url, f"{field}.base_url")
    canonical_url(base_url, field=f"{field}.base_url")
    if secret:
        secrets.require_known(project_id=project_id, name=secret, field=f"{field}.secret")
    providers.require_allowed(project_id=project_id, provider=provider, model=model, base_url=base_url)


def _check_address(url: str, field: str) -> None:
    """Refuse at once what needs no resolver: odd spellings, and addresses of the own network. Names are for workers."""
    host = addresses.target_of(url, field=field).host
    if host == "localhost":
        addresses.require_public(url, field=field, resolver=lambda *_: ["127.0.0.1"])
    elif addresses.literal_address(host) is not None:
        addresses.require_public(url, field=field)


def _evaluator(caller: Caller, evaluator: EvaluatorSpec, field: str, earlier: Mapping[str, Any] | None) -> Json:
    is_judged = False
    if evaluator.kind == "callable":
        pinned: Json = {"place": place_of(evaluator.name, settings.CALLABLES, field=f"{field}.name")}
        providers.require_allowed(project_id=caller.project_id, provider=CALLABLE, model=evaluator.name)
    elif evaluator.kind == "builtin":
        check_options(evaluator.name, evaluator.options, field=field)
        pinned = {"builtin": evaluator.name, "options": evaluator.options}
    else:
        pinned = dict(earlier) if earlier else _metric(caller, evaluator, field)
        is_judged = _is_judged(pinned)
        _check_metric(caller, evaluator, pinned, field)
    if (evaluator.base_url or evaluator.secret) and not is_judged:
        name = "base_url" if evaluator.base_url else "secret"
        raise InvalidInput(
            f"Field '{field}.{name}' is for metrics of type LLM alone; leave it out.", field=f"{field}.{name}"
        )
    return pinned


def _is_judged(pinned: Mapping[str, Any]) -> bool:
    return "content" in pinned and pinned["content"]["type"] == "LLM"


def _metric(caller: Caller, evaluator: EvaluatorSpec, field: str) -> Json:
    metric = Metric.objects.filter(project_id=caller.project_id, name=evaluator.name).first()
    if metric is None:
        raise NotFound(
            f"Field '{field}.name': this project has no metric {evaluator.name[:100]!r}. GET /v1/metrics lists them.",
            field=f"{field}.name",
            value=evaluator.name[:100],
        )
    version = metric.versions.filter(deployed=True).first()
    return {
        "metric_id": metric.public_id,
        "version": version.name if version else "",
        "full_sha": version.full_sha if version else "",
        "content": content_of(metric),
    }


def _check_metric(caller: Caller, evaluator: EvaluatorSpec, pinned: Json, field: str) -> None:
    """What a metric needs to be run; a PYTHON one becomes the built-in evaluator that its criteria name."""
    content, name = pinned["content"], f"{field}.name"
    if content["type"] == "PYTHON":
        builtin, options = named_evaluator(content["criteria"], field=name)
        options = {**options, **evaluator.options}
        check_options(builtin, options, field=field)
        pinned |= {"builtin": builtin, "options": options}
        return
    if content["type"] != "LLM":
        raise InvalidInput(
            f"Field '{name}': {evaluator.name[:100]!r} is a metric of type {content['type']}; the server runs "
            "metrics of type PYTHON and LLM.",
            field=name,
            value=evaluator.name[:100],
        )
    if evaluator.options:
        raise InvalidInput(
            f"Field '{field}.options': a metric of type LLM has none; change its criteria.", field=f"{field}.options"
        )
    llm_judging.check_metric(content, field=name)
    for wanted in ("model_provider", "model_name"):
        if not content.get(wanted):
            raise InvalidInput(
                f"Field '{name}': metric {evaluator.name[:100]!r} has no {wanted}; set it, so that somebody judges.",
                field=name,
            )
    if not evaluator.base_url:
        raise InvalidInput(
            f"Field '{field}.base_url' is missing: where does {content['model_name']!r} answer? Give the root of an "
            "OpenAI-compatible API, like https://api.openai.com/v1.",
            field=f"{field}.base_url",
        )
    check_model(
        caller.project_id,
        provider=content["model_provider"],
        model=content["model_name"],
        base_url=evaluator.base_url,
        secret=evaluator.secret,
        field=field,
    )


def _run_metadata(spec: ExperimentSpec, evaluators: list[Json]) -> Json:
    """What `evaluate()` writes too: without a value of what has a rule, a datapoint does not pass.

    Texts are never part of a result, so a rule about them asks for nothing.
    """
    required = {name for name, bounds in spec.passing_ranges.items() if interval_of(bounds) is not None}
    for evaluator, pinned in zip(spec.evaluators, evaluators, strict=True):
        content = pinned.get("content") or {}
        has_rule = any(value is not None for value in (content.get("threshold") or {}).values())
        if has_rule and content["return_type"] != "string" and evaluator.metric == content["name"]:
            required.add(evaluator.metric)
    lower = {
        name: "lower"
        for name, bounds in spec.passing_ranges.items()
        if (interval := interval_of(bounds)) is not None and interval.min is None
    }
    said: Json = {"required_metrics": sorted(required)} if required else {}
    return {**said, "metric_directions": lower} if lower else said
