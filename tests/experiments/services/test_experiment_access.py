"""What an experiment calls: checked and pinned at its creation, checked again and opened in the worker."""

import datetime as dt
import json
from decimal import Decimal

import pytest

from experiments.domain.calls import CallFailed, Case
from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.wire_configurations import ConfigurationBody, ConfigurationChanges
from experiments.domain.wire_datasets import DatapointContent
from experiments.domain.wire_metrics import MetricBody, MetricChanges
from experiments.models import DatapointRun, Event, Measurement, Run
from experiments.services import configurations, experiments, metrics
from experiments.services.datasets import add_rows, create_dataset
from experiments.services.experiment_access import opened, pin
from governance.domain.errors import DomainError, Forbidden, InvalidInput, NotFound
from governance.models import Project, ProviderRule, Secret
from governance.outbound.errors import OutboundRefused
from governance.services import prices, providers, secrets
from governance.services.providers import ProviderNotAllowed
from tests.experiments.executed import make_experiment
from tests.experiments.scripted import Queue
from tests.governance.outbound.servers import serving

pytestmark = pytest.mark.django_db

SECRET = "sk-1234567890"
CASE = Case("d1", {"q": "why?"}, ground_truth={"a": "so"})
HTTP = {"kind": "http", "url": "https://api.example.com/v1"}
CALLABLE = {"kind": "callable", "name": "shout"}
CHAT = {"kind": "chat", "configuration": "answers", "base_url": "https://api.example.com/v1"}
PARAMETERS = {"call_type": "chat", "model": "gpt-4o", "template": "{{q}}"}
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def registered(settings) -> None:
    place = "tests.experiments.adapters.registered"
    settings.CALLABLES = [f"{name}={place}:{name}" for name in ("shout", "length", "forever")]


def allow(caller, provider="http", **fields) -> ProviderRule:
    return providers.create_rule(caller=caller, effect="allow", provider=provider, **fields)


def spec_of(target, *evaluators, **fields) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {"name": "n", "dataset_id": "d", "target": target, "evaluators": list(evaluators), **fields}
    )


def pinned(caller, target, *evaluators, earlier=None, **fields):
    return pin(caller=caller, spec=spec_of(target, *evaluators, **fields), earlier=earlier)


def refusal(caller, target, *evaluators, **fields) -> DomainError:
    with pytest.raises(DomainError) as raised:
        pinned(caller, target, *evaluators, **fields)
    return raised.value


def experiment_of(project, caller, target, *evaluators):
    spec = spec_of(target, *evaluators)
    found = pin(caller=caller, spec=spec)
    return make_experiment(
        project,
        spec=spec.model_dump(mode="json"),
        pinned=json.loads(json.dumps(found.document)),
        provider=found.provider,
    )


def configuration(caller, **fields):
    body = {"name": "answers", "provider": "openai", "parameters": PARAMETERS, **fields}
    return configurations.create_configuration(caller=caller, body=ConfigurationBody.model_validate(body))


def metric(caller, **fields):
    return metrics.create_metric(
        caller=caller, body=MetricBody.model_validate({"name": "tone", "type": "LLM", **fields})
    )


LLM = {"criteria": "Rate {{outputs}}", "model_provider": "openai", "model_name": "judge-1", "scale": 5}
JUDGE = {"kind": "metric", "name": "tone", "base_url": "https://judge.example.com/v1"}


def test_the_providers_are_named_for_rules_and_limits(caller) -> None:
    allow(caller)
    allow(caller, "openai")
    configuration(caller)
    assert pinned(caller, HTTP).provider == "http"
    assert pinned(caller, CALLABLE).provider == "callable"
    assert pinned(caller, CHAT).provider == "openai"
    # Without a limit of its own, a function would make its judge's queue grow until datapoints are not judged.
    metric(caller, **LLM)
    assert pinned(caller, CALLABLE, JUDGE).provider == "openai"
    assert pinned(caller, HTTP, JUDGE).provider == "http"


def test_a_configuration_is_pinned_with_its_parameters(caller) -> None:
    allow(caller, "openai")
    made = configuration(caller)
    first = pinned(caller, CHAT)
    changes = ConfigurationChanges.model_validate({"name": "answers", "parameters": {**PARAMETERS, "model": "gpt-5"}})
    configurations.update_configuration(caller=caller, public_id=made.public_id, body=changes)

    assert first.document["target"] == {
        "configuration_id": made.public_id,
        "configuration": "answers",
        "version": 1,
        "content_hash": first.document["target"]["content_hash"],
        "provider": "openai",
        "parameters": PARAMETERS,
    }
    newest = pinned(caller, {**CHAT, "configuration": made.public_id}).document["target"]
    assert (newest["version"], newest["parameters"]["model"]) == (2, "gpt-5")
    assert pinned(caller, {**CHAT, "version": 1}).document == first.document
    assert pinned(caller, CHAT, earlier=first.document).document == first.document
    configurations.delete_configuration(caller=caller, public_id=made.public_id)
    assert pinned(caller, CHAT, earlier=first.document).document == first.document


def test_a_metric_is_pinned_with_its_version_and_kept_by_a_rerun(caller) -> None:
    allow(caller, "openai")
    made = metric(caller, **LLM, threshold={"min": 3})
    first = pinned(caller, CALLABLE, JUDGE)
    metrics.update_metric(caller=caller, public_id=made.public_id, body=MetricChanges(criteria="Other {{outputs}}"))

    (kept,) = first.document["evaluators"]
    assert (kept["version"], kept["content"]["criteria"], kept["content"]["threshold"]) == (
        "v1",
        "Rate {{outputs}}",
        {"min": 3},
    )
    assert first.document["run_metadata"] == {"required_metrics": ["tone"]}
    (now,) = pinned(caller, CALLABLE, JUDGE).document["evaluators"]
    assert (now["version"], now["content"]["criteria"]) == ("v2", "Other {{outputs}}")
    assert pinned(caller, CALLABLE, JUDGE, earlier=first.document).document == first.document


def test_required_metrics_and_directions_are_those_that_the_sdk_writes(caller) -> None:
    metric(
        caller, name="exact", type="PYTHON", criteria="exact_match", return_type="boolean", threshold={"pass_when": 1}
    )
    metric(caller, name="label", type="PYTHON", criteria="contains", return_type="string", threshold={"min": 1})
    metric(caller, name="free", type="PYTHON", criteria="contains")
    evaluators = [{"kind": "metric", "name": name} for name in ("exact", "label", "free")]
    ranges = {"cost": {"max": 1}, "score": {"min": 0, "max": 1}, "nothing": {}}
    assert pinned(caller, CALLABLE, *evaluators, passing_ranges=ranges).document["run_metadata"] == {
        "required_metrics": ["cost", "exact", "score"],
        "metric_directions": {"cost": "lower"},
    }


def test_a_python_metric_is_the_built_in_evaluator_it_names(caller) -> None:
    metric(caller, name="same", type="PYTHON", criteria='regex_match={"pattern": "^a"}')
    (found,) = pinned(caller, CALLABLE, {"kind": "metric", "name": "same", "options": {"full": True}}).document[
        "evaluators"
    ]
    assert (found["builtin"], found["options"]) == ("regex_match", {"pattern": "^a", "full": True})


@pytest.mark.parametrize(
    ("target", "kind", "field"),
    [
        ({**HTTP, "url": "ftp://a.example/"}, OutboundRefused, "target.url"),
        ({**HTTP, "url": "https://user:pw@a.example/"}, OutboundRefused, "target.url"),
        ({**HTTP, "url": "http://127.0.0.1:9/"}, OutboundRefused, "target.url"),
        ({**HTTP, "url": "http://localhost/"}, OutboundRefused, "target.url"),
        ({**HTTP, "url": "http://169.254.169.254/latest"}, OutboundRefused, "target.url"),
        ({**HTTP, "url": "https://a.example/x/../y"}, InvalidInput, "target.url"),
        ({**HTTP, "url": "https://other.example/v1"}, ProviderNotAllowed, "provider"),
        ({**HTTP, "headers": {"X-Key": {"secret": "gone"}}}, NotFound, "target.headers.X-Key"),
        ({**HTTP, "body": "{{outputs}}"}, InvalidInput, "target.body"),
        ({**CALLABLE, "name": "os:system"}, InvalidInput, "target.name"),
        ({**CHAT, "configuration": "other"}, NotFound, "target.configuration"),
        ({**CHAT, "version": 7}, NotFound, "target.version"),
        ({**CHAT, "secret": "gone"}, NotFound, "target.secret"),
        ({**CHAT, "base_url": "https://10.0.0.1/v1"}, OutboundRefused, "target.base_url"),
        ({**CHAT, "base_url": "https://a.example/v1?x=1"}, InvalidInput, "target.base_url"),
        ({**CHAT, "configuration": "old"}, InvalidInput, "target.configuration"),
        ({**CHAT, "configuration": "strangers"}, ProviderNotAllowed, "provider"),
    ],
)
def test_targets_that_could_not_run_are_refused_naming_the_field(caller, target, kind, field) -> None:
    allow(caller, base_url="https://api.example.com/*")
    allow(caller, base_url="https://a.example/*")
    allow(caller, "openai")
    configuration(caller)
    configuration(caller, name="old", parameters={"call_type": "completion", "model": "m"})
    configuration(caller, name="strangers", provider="azure")
    error = refusal(caller, target)
    assert (type(error), error.details["field"]) == (kind, field)


@pytest.mark.parametrize(
    ("evaluator", "kind", "field"),
    [
        ({"name": "exact"}, InvalidInput, "evaluators.1.name"),
        ({"name": "contains", "options": {"no": 1}}, InvalidInput, "evaluators.1.options"),
        ({"name": "exact_match"}, InvalidInput, "evaluators.1.metric_name"),
        ({"name": "contains", "secret": "k"}, InvalidInput, "evaluators.1.secret"),
        ({"kind": "callable", "name": "other"}, InvalidInput, "evaluators.1.name"),
        ({"kind": "metric", "name": "other"}, NotFound, "evaluators.1.name"),
        ({"kind": "metric", "name": "human"}, InvalidInput, "evaluators.1.name"),
        ({"kind": "metric", "name": "code"}, InvalidInput, "evaluators.1.name"),
        ({"kind": "metric", "name": "blind"}, InvalidInput, "evaluators.1.name"),
        ({**JUDGE, "base_url": ""}, InvalidInput, "evaluators.1.base_url"),
        ({**JUDGE, "secret": "gone"}, NotFound, "evaluators.1.secret"),
        ({**JUDGE, "options": {"a": 1}}, InvalidInput, "evaluators.1.options"),
        ({**JUDGE, "name": "foreign"}, ProviderNotAllowed, "provider"),
    ],
)
def test_evaluators_that_could_not_run_are_refused_naming_the_field(caller, evaluator, kind, field) -> None:
    allow(caller, "openai")
    metric(caller, **LLM)
    metric(caller, **{**LLM, "name": "foreign", "model_provider": "azure"})
    metric(caller, **{**LLM, "name": "blind", "criteria": "Is it good?"})
    metric(caller, name="human", type="HUMAN", criteria="Is it kind?")
    metric(caller, name="code", type="PYTHON", criteria="def f(): pass")
    error = refusal(caller, CALLABLE, {"name": "exact_match"}, evaluator)
    assert (type(error), error.details["field"]) == (kind, field)


def test_another_projects_things_are_not_found(caller) -> None:
    from governance.services.projects import system_caller
    from tests.factories import make_project

    stranger = system_caller(make_project())
    allow(stranger, "openai")
    configuration(stranger)
    secrets.create_secret(caller=stranger, name="key", value=SECRET)
    metric(stranger, **LLM)
    allow(caller, "openai")
    allow(caller)
    assert isinstance(refusal(caller, CHAT), NotFound)
    assert isinstance(refusal(caller, {**HTTP, "headers": {"A": {"secret": "key"}}}), NotFound)
    assert isinstance(refusal(caller, CALLABLE, JUDGE), NotFound)


def test_a_worker_opens_an_endpoint_with_its_secret(project, caller, settings) -> None:
    with serving(lambda asked: asked.answer(b'{"answer": 42}')) as server:
        settings.OUTBOUND_ALLOWED_HOSTS = [f"127.0.0.1:{server.port}"]
        allow(caller)
        secrets.create_secret(caller=caller, name="key", value=SECRET)
        target = {
            "kind": "http",
            "url": f"http://127.0.0.1:{server.port}/ask",
            "headers": {"Authorization": {"secret": "key", "prefix": "Bearer "}},
            "response_path": "answer",
        }
        experiment = experiment_of(project, caller, target, {"name": "json_valid"})
        assert SECRET not in json.dumps([experiment.spec, experiment.pinned])
        with opened(experiment) as access:
            answer = access.target.call(CASE, deadline_seconds=PATIENCE)
            assert access.evaluators.judge(answer.outputs, CASE, deadline_seconds=PATIENCE).metrics == {
                "json_valid": True
            }
            assert (answer.outputs, access.provider, access.cost_of(None, None)) == (42, "http", None)
            assert SECRET not in repr(access)
        with pytest.raises(CallFailed):
            access.target.call(CASE, deadline_seconds=PATIENCE)
    assert server.seen[0][2]["authorization"] == f"Bearer {SECRET}"


def test_a_worker_opens_a_chat_and_a_judge_and_knows_the_cost(project, caller, settings) -> None:
    bodies = []

    def respond(asked) -> None:
        body = json.loads(asked.body)
        bodies.append(body)
        text = "because" if body["model"] == "gpt-4o" else '{"score": 4, "explanation": "fine"}'
        usage = {"prompt_tokens": 1000, "completion_tokens": 500}
        asked.answer(json.dumps({"choices": [{"message": {"content": text}}], "usage": usage}).encode())

    with serving(respond) as server:
        settings.OUTBOUND_ALLOWED_HOSTS = [f"127.0.0.1:{server.port}"]
        allow(caller, "openai")
        made = configuration(caller)
        metric(caller, **LLM)
        secrets.create_secret(caller=caller, name="key", value=SECRET)
        prices.create_price(
            caller=caller,
            provider="openai",
            model="gpt-4*",
            per_million_tokens=Decimal(2),
            valid_from=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        )
        where = {"base_url": f"http://127.0.0.1:{server.port}/v1", "secret": "key"}
        experiment = experiment_of(project, caller, {**CHAT, **where}, {**JUDGE, **where})
        # What is pinned is what runs, whatever the configuration says by now.
        configurations.delete_configuration(caller=caller, public_id=made.public_id)
        with opened(experiment) as access:
            answer = access.target.call(CASE, deadline_seconds=PATIENCE)
            judgement = access.evaluators.judge(answer.outputs, CASE, deadline_seconds=PATIENCE)
            cost = access.cost_of(answer.prompt_tokens, answer.completion_tokens)
    assert answer.outputs == {"content": "because"}
    assert judgement.metrics == {"tone": 4, "tone_explanation": "fine"}
    assert cost == Decimal("0.003")
    assert bodies[0]["messages"] == [{"role": "user", "content": "why?"}]
    assert {headers["authorization"] for _, _, headers in server.seen} == {f"Bearer {SECRET}"}


def test_what_was_withdrawn_since_is_refused_in_the_worker(project, caller, settings) -> None:
    allow(caller)
    allow(caller, "openai")
    secrets.create_secret(caller=caller, name="key", value=SECRET)
    metric(caller, **LLM)
    header = {**HTTP, "headers": {"X-Key": {"secret": "key"}}}
    by_http, by_callable = (
        experiment_of(project, caller, header),
        experiment_of(project, caller, CALLABLE, {"kind": "callable", "name": "length"}, JUDGE),
    )

    def reopened(experiment, kind) -> None:
        with pytest.raises(kind) as raised, opened(experiment):
            raise AssertionError("it was opened")
        assert SECRET not in str(raised.value)

    Secret.objects.all().delete()
    reopened(by_http, NotFound)
    ProviderRule.objects.filter(provider="http").delete()
    reopened(by_http, ProviderNotAllowed)
    with opened(by_callable) as access:
        assert access.cost_of(10, 5) == 0
    ProviderRule.objects.filter(provider="openai").delete()
    reopened(by_callable, ProviderNotAllowed)
    allow(caller, "openai")
    settings.CALLABLES = [item for item in settings.CALLABLES if not item.startswith("length")]
    reopened(by_callable, InvalidInput)
    providers.create_rule(caller=caller, effect="deny", provider="callable")
    reopened(by_callable, ProviderNotAllowed)
    Project.objects.filter(pk=project.pk).update(status="suspended")
    reopened(by_callable, Forbidden)


def test_opening_asks_the_database_a_few_times_and_calling_never(
    project, caller, django_assert_max_num_queries
) -> None:
    names = [{"name": "exact_match", "metric_name": f"m{number}"} for number in range(20)]
    experiment = experiment_of(project, caller, CALLABLE, *names)
    with django_assert_max_num_queries(4), opened(experiment) as access:
        pass
    with opened(experiment) as access, django_assert_max_num_queries(0):
        answer = access.target.call(CASE, deadline_seconds=PATIENCE)
        access.evaluators.judge(answer.outputs, CASE, deadline_seconds=PATIENCE)


@pytest.mark.django_db(transaction=True)
def test_an_experiment_runs_from_its_creation_to_its_stored_events(project, caller, monkeypatch) -> None:
    queue = Queue(monkeypatch)
    dataset = create_dataset(caller=caller, name="questions")
    contents = [
        DatapointContent(inputs={"q": word}, ground_truth={"said": f"{word.upper()}!"}) for word in ("why", "how")
    ]
    add_rows(caller=caller, dataset_id=dataset.public_id, contents=[*contents, DatapointContent(inputs={})])
    spec = ExperimentSpec.model_validate(
        {
            "name": "shouting",
            "dataset_id": dataset.public_id,
            "target": CALLABLE,
            "function": "shout",
            "evaluators": [
                {"name": "exact_match"},
                {"kind": "callable", "name": "length", "metric_name": "len", "options": {"least": 5}},
            ],
            "passing_ranges": {"exact_match": {"min": 1}},
        }
    )
    experiments.create_experiment(caller=caller, spec=spec)
    queue.run()

    rows = {row.snapshot.inputs.get("q"): row for row in DatapointRun.objects.select_related("snapshot")}
    assert {q: (row.status, row.error_class) for q, row in rows.items()} == {
        "why": ("completed", ""),
        "how": ("completed", ""),
        None: ("failed", "callable_error"),
    }
    assert "KeyError: 'q'" in rows[None].error_message
    root = Event.objects.get(session_key=rows["why"].session_key, event_type="chain")
    assert (root.outputs, root.metrics) == (
        {"result": {"said": "WHY!"}},
        {"exact_match": True, "len": False, "len_explanation": "counted", "len_count": 4},
    )
    assert Measurement.objects.filter(name="exact_match").count() == 2
    assert Run.objects.get().metadata["required_metrics"] == ["exact_match"]
