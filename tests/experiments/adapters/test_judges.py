"""Evaluators on the server: values as the SDK stores them; one that fails fails alone."""

import contextlib
import json
import threading
import time

import pytest

from experiments.adapters import judges as module
from experiments.adapters import outbound_calls
from experiments.adapters.judges import BuiltinJudge, CallableJudge, Judges, ModelJudge, check_options
from experiments.adapters.outbound_calls import Outlet, Slots
from experiments.domain import builtin_evaluators
from experiments.domain.calls import Case
from governance.domain.errors import InvalidInput
from governance.outbound import limiter
from governance.outbound.client import GuardedClient
from tests.governance.outbound.servers import mute_port, serving

PATIENCE = 60.0
CASE = Case("d1", {"q": "why?"}, ground_truth={"answer": "because"})


def builtin(name: str, metric: str = "", **options) -> BuiltinJudge:
    return BuiltinJudge(metric or name, name, options)


def registered(name: str, metric: str = "", **options) -> CallableJudge:
    return CallableJudge(metric or name, f"tests.experiments.adapters.registered:{name}", options)


def judged(*judges, outputs=None, case: Case = CASE, deadline: float = PATIENCE):
    found = Judges(judges).judge(
        outputs if outputs is not None else {"said": "because"}, case, deadline_seconds=deadline
    )
    return found.metrics, found.errors


def test_built_in_evaluators_judge_here_and_in_processes_alike() -> None:
    metrics, errors = judged(
        builtin("exact_match"),
        builtin("contains", "has", ignore_case=True),
        builtin("regex_match", pattern="^be"),
        builtin("levenshtein_ratio"),
        builtin("rouge_l"),
        builtin("numeric_tolerance", "near"),
    )
    assert metrics == {
        "exact_match": True,
        "has": True,
        "regex_match": True,
        "levenshtein_ratio": 1.0,
        "rouge_l": 1.0,
    }
    assert list(errors) == ["near"]
    assert "is no number" in errors["near"]
    assert {"exact_match", "contains"} <= module.QUICK
    assert not {"regex_match", "levenshtein_ratio", "rouge_l"} & module.QUICK


@pytest.mark.parametrize("name", sorted(module.QUICK))
def test_a_process_says_what_is_said_here(name, monkeypatch) -> None:
    case = Case("d", ground_truth="1,5" if name == "set_f1" else "42")
    here = judged(builtin(name), outputs="42", case=case)
    monkeypatch.setattr(module, "QUICK_BYTES", 0)
    assert judged(builtin(name), outputs="42", case=case) == here


def test_explanations_and_further_entries_are_metrics_of_their_own() -> None:
    schema = {"type": "object", "required": ["b"]}
    metrics, errors = judged(builtin("json_schema", "form", schema=schema), registered("length", "len", least=9))
    assert metrics == {
        "form": False,
        "form_explanation": "$: 'b' is a required property",
        "len": False,
        "len_explanation": "counted",
        "len_count": 7,
    }
    assert errors == {}


def test_functions_are_bound_like_those_of_evaluate() -> None:
    assert judged(registered("against"), outputs={"answer": "because"}) == ({"against": 1.0}, {})
    assert judged(registered("against"), outputs={"answer": "so"}) == ({"against": 0.0}, {})


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (registered("fails"), "ValueError: a bad question"),
        (registered("no_score"), "ValueError: evaluator 'no_score' returned nan"),
        (registered("dies"), "crashed: "),
        (registered("absent"), "AttributeError"),
        (builtin("contains"), "ValueError: the datapoint has no ground truth"),
        (builtin("regex_match", pattern="("), "ValueError: pattern '(' is no regular expression"),
    ],
)
def test_an_evaluator_that_fails_fails_alone(judge, said) -> None:
    metrics, errors = judged(judge, builtin("json_valid"), outputs={"said": "because"}, case=Case("d"))
    assert metrics == {"json_valid": False}
    assert list(errors) == [judge.metric]
    assert errors[judge.metric].startswith(said)


@pytest.mark.parametrize(
    ("judge", "outputs"),
    [
        (builtin("regex_match", pattern=r"(a+)+$"), "a" * 60 + "b"),
        (builtin("json_schema", schema={"type": "string", "pattern": r"(a+)+$"}), json.dumps("a" * 60 + "b")),
        (registered("forever"), "x"),
    ],
)
def test_an_endless_evaluator_ends_at_the_deadline(judge, outputs) -> None:
    metrics, errors = judged(judge, builtin("json_valid"), outputs=outputs, deadline=1.0)
    assert errors[judge.metric].startswith("timeout: ")
    assert list(metrics) == ["json_valid"]


def test_closing_ends_an_evaluator_under_way() -> None:
    judges = Judges([registered("forever")])
    threading.Timer(0.3, judges.close).start()
    started = time.monotonic()
    assert judges.judge("x", CASE, deadline_seconds=PATIENCE * 10).errors["forever"].startswith("cancelled")
    assert time.monotonic() - started < PATIENCE / 2


def test_a_value_of_another_evaluator_is_not_overwritten() -> None:
    metrics, errors = judged(registered("taken", "a"), registered("taken", "a_count"))
    assert metrics == {"a": 1, "a_count": 2, "a_count_count": 2}
    assert errors == {"a_count": "ValueError: metric 'a_count' has a value of another evaluator already"}


CONTENT = {
    "criteria": "Rate {{outputs.said}} for {{inputs.q}}.",
    "return_type": "float",
    "scale": 5,
    "model_name": "judge-1",
}

_made: list[Outlet] = []


@pytest.fixture(autouse=True)
def closed_outlets():
    """Every connection ends with its test."""
    yield
    while _made:
        _made.pop().close()


def outlet(provider: str = "openai") -> Outlet:
    client = GuardedClient(allowed_private_hosts=frozenset({"127.0.0.1"}))
    _made.append(Outlet(Slots(1, provider, 4), client=client))
    return _made[-1]


def model(port: int, **changes) -> ModelJudge:
    return ModelJudge("tone", {**CONTENT, **changes}, f"http://127.0.0.1:{port}/v1", "sk-123456", outlet())


def says(*texts: str):
    """A model that says one after another, then the last again; a number is a status."""
    left = list(texts)

    def respond(asked) -> None:
        text = left.pop(0) if len(left) > 1 else left[0]
        asked.server.body = json.loads(asked.body)
        if isinstance(text, int):
            asked.answer(status=text)
        else:
            asked.answer(json.dumps({"choices": [{"message": {"content": text}}]}).encode())

    return serving(respond)


def test_a_model_judges_by_the_metrics_criteria() -> None:
    with says('{"score": 4, "explanation": "clear"}') as server:
        assert judged(model(server.port)) == ({"tone": 4, "tone_explanation": "clear"}, {})
    assert server.body["model"] == "judge-1"
    assert server.body["temperature"] == 0
    assert server.body["messages"][1]["content"] == "Rate because for why?."
    assert server.seen[0][2]["authorization"] == "Bearer sk-123456"


def test_a_judge_that_is_busy_is_asked_again() -> None:
    with says(503, 429, "[[3]]") as server:
        assert judged(model(server.port))[0]["tone"] == 3.0
    assert len(server.seen) == 3
    with says(503) as server:
        assert judged(model(server.port))[1]["tone"].startswith("server_error: ")
    assert len(server.seen) == module.MOST_TRIES
    with says(400, "[[3]]") as server:
        assert judged(model(server.port))[1]["tone"].startswith("client_error: ")
    assert len(server.seen) == 1


def test_waiting_for_a_slot_of_the_provider_is_no_try(monkeypatch) -> None:
    monkeypatch.setattr(outbound_calls, "SLOT_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(outbound_calls, "_TURN_SECONDS", 0.05)
    with says("[[3]]") as server, contextlib.ExitStack() as taken:
        for _ in range(4):
            taken.enter_context(limiter.slot(project_id=1, provider="openai", limit=4, lease_seconds=60.0))
        assert judged(model(server.port), deadline=0.5)[1]["tone"].startswith("rate_limited: ")
        assert server.seen == []
        threading.Timer(1.0, taken.close).start()  # many times what three tries would wait
        assert judged(model(server.port))[0]["tone"] == 3.0


@pytest.mark.parametrize("text", ["four", "[[9]]", '{"score": "4"}', "[[1]] [[2]]"])
def test_an_answer_that_is_no_judgement_is_an_error_and_no_score(text) -> None:
    with says(text) as server:
        metrics, errors = judged(model(server.port))
    assert metrics == {}
    assert errors["tone"].startswith("BadJudgement: The judge's answer is no judgement")


def test_a_datapoint_without_what_the_criteria_name_is_not_judged() -> None:
    with says("[[3]]") as server:
        metrics, errors = judged(model(server.port), outputs={"other": 1})
    assert (metrics, server.seen) == ({}, [])
    assert errors["tone"].startswith("Unfilled: The prompt cannot be written: the datapoint has no 'outputs.said'")


def test_a_silent_judge_is_left_at_the_deadline() -> None:
    with mute_port() as port:
        started = time.monotonic()
        errors = judged(model(port), deadline=0.5)[1]
    assert errors["tone"].startswith("timeout: ")
    assert time.monotonic() - started < PATIENCE / 2


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("exact", {}, "evaluators.0.name"),
        ("exact_match", {"pattern": "x"}, "evaluators.0.options"),
        ("embedding_similarity", {"embed": "f"}, "evaluators.0.options"),
    ],
)
def test_evaluators_that_could_not_run_are_refused(name, options, field) -> None:
    with pytest.raises(InvalidInput) as raised:
        check_options(name, options, field="evaluators.0")
    assert raised.value.details["field"] == field


def test_every_built_in_evaluator_can_be_chosen() -> None:
    for name in builtin_evaluators.NAMES:
        check_options(name, {}, field="evaluators.0")
