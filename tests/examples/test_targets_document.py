"""Every block of docs/targets.md is executed: targets are called, evaluators judge, the callables run."""

import json
from typing import Any

import pytest

from experiments.adapters import callable_host
from experiments.domain.calls import ERROR_CLASSES, Case
from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.wire_configurations import ConfigurationBody
from experiments.domain.wire_metrics import MetricBody
from experiments.services import configurations, metrics
from experiments.services.experiment_access import opened, pin
from governance.services import providers, secrets
from tests.experiments.executed import make_experiment
from tests.governance.outbound.servers import Asked, serving
from tests.project.test_docs import ROOT, blocks_of

BLOCKS = blocks_of("targets.md")
CASE = Case("d1", {"question": "why?", "passages": ["a", "b"]}, ground_truth="why", metadata={"lang": "de"})
PATIENCE = 60.0
SECRET = "sk-1234567890"


def documents(mark: str) -> list[Any]:
    return [json.loads(content) for _, found, content in BLOCKS if found == mark]


def answer(asked: Asked) -> None:
    """An endpoint, a chat model and a judge in one."""
    body = json.loads(asked.body)
    said: Any = {"data": [{"text": body}]}
    if asked.path.endswith("/chat/completions"):
        is_judge = "polite" in body["messages"][-1]["content"]
        content = '{"score": 4, "explanation": "kind"}' if is_judge else json.dumps(body["messages"])
        said = {"choices": [{"message": {"content": content}}], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}
    asked.answer(json.dumps(said).encode())


@pytest.fixture
def called(project, caller, settings, tmp_path, monkeypatch):
    """Calls a target of the document, and judges its answer with all evaluators of it."""
    for _, mark, content in BLOCKS:
        if mark.startswith("file="):
            (tmp_path / mark.removeprefix("file=")).write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(callable_host, "_pool", None)  # processes of earlier tests do not know the folder
    (line,) = [
        text for text in (ROOT / "docs/targets.md").read_text().split("`") if text.startswith("HHWEB_CALLABLES=")
    ]
    settings.CALLABLES = line.removeprefix("HHWEB_CALLABLES=").split(",")
    for provider in ("http", "openai"):
        providers.create_rule(caller=caller, effect="allow", provider=provider)
    secrets.create_secret(caller=caller, name="answers-key", value=SECRET)
    for body in documents("configuration"):
        configurations.create_configuration(caller=caller, body=ConfigurationBody.model_validate(body))
    for body in documents("metric"):
        metrics.create_metric(caller=caller, body=MetricBody.model_validate(body))

    def call(target: dict[str, Any], port: int):
        settings.OUTBOUND_ALLOWED_HOSTS = [f"127.0.0.1:{port}"]
        (evaluators,) = documents("evaluators")
        text = json.dumps({"name": "n", "dataset_id": "d", "target": target, "evaluators": evaluators})
        spec = ExperimentSpec.model_validate(
            json.loads(text.replace("https://api.example.com", f"http://127.0.0.1:{port}"))
        )
        found = pin(caller=caller, spec=spec)
        experiment = make_experiment(project, spec=spec.model_dump(mode="json"), pinned=found.document)
        with opened(experiment) as access:
            outcome = access.target.call(CASE, deadline_seconds=PATIENCE)
            return outcome, access.evaluators.judge(outcome.outputs, CASE, deadline_seconds=PATIENCE)

    yield call
    callable_host._the_pool().kill_all()


@pytest.mark.django_db
def test_every_target_of_the_document_is_called(called) -> None:
    http, chat, by_callable = documents("target")
    with serving(answer) as server:
        got, _ = called(http, server.port)
        assert got.outputs == {"question": "why?", "options": {"passages": ["a", "b"], "note": "for d1"}}
        assert server.seen[0][1] == "/v1/answers?lang=de"
        assert server.seen[0][2]["authorization"] == f"Bearer {SECRET}"
        assert server.seen[0][2]["x-client"] == "hhweb"

        got, _ = called(chat, server.port)
        system, user = json.loads(got.outputs["content"])
        assert (system["role"], user) == ("system", {"role": "user", "content": 'why?\n\n["a", "b"]'})
        assert (got.prompt_tokens, got.completion_tokens) == (7, 5)

        got, judgement = called(by_callable, server.port)
    assert got.outputs == {"said": "WHY??"}
    assert judgement.metrics == {
        "names the answer": True,
        "regex_match": True,
        "long_enough": True,
        "long_enough_explanation": "5 characters",
        "tone": 4,
        "tone_explanation": "kind",
    }
    assert judgement.errors == {}


def test_no_block_is_left_out() -> None:
    known = {"target", "configuration", "evaluators", "metric", "file=my_callables.py"}
    assert {mark for _, mark, _ in BLOCKS} == known


def test_every_class_of_errors_is_told() -> None:
    text = (ROOT / "docs/targets.md").read_text()
    told = [line.split("`")[1] for line in text.partition("| `error_class`")[2].splitlines() if line.startswith("| `")]
    assert tuple(told) == ERROR_CLASSES
