"""POST /v1/metrics/run_metric: the SDK's built-in evaluators, run by the server."""

import pytest

from experiments.domain import builtin_evaluators
from experiments.domain.metric_trial import LARGEST_BYTES, RUNNABLE


def tried(api, criteria, outputs, ground_truth, *, kind="PYTHON", path="/v1/metrics/run_metric"):
    body = {
        "metric": {"name": "m", "type": kind, "criteria": criteria, "unknown": 1},
        "event": {
            "event_type": "model",
            "event_name": "chat",
            "inputs": {},
            "outputs": outputs,
            "feedback": {"ground_truth": ground_truth},
        },
    }
    return api.post(path, body, content_type="application/json")


@pytest.mark.parametrize(
    ("criteria", "outputs", "ground_truth", "result"),
    [
        ("exact_match", {"a": 1}, {"a": 1}, True),
        ('exact_match={"key": "a"}', {"a": 1, "b": 2}, {"a": 2}, False),
        ("normalized_match", "The Answer!", "answer", True),
        ("contains", "one two", "two", True),
        ("json_valid", '{"a": 1}', None, True),
        ('numeric_tolerance={"tolerance": 0.1}', 1.05, 1, True),
        ("levenshtein_ratio", "kitten", "sitting", 1 - 3 / 7),
        ("set_f1", "x y", "y z", 0.5),
        ("rouge_l", "the quick brown dog", "the quick brown fox", 0.75),
        ("bleu", "the cat sat on the mat", "the cat sat on the mat", 1.0),
    ],
)
def test_the_server_runs_the_same_evaluators(api, criteria, outputs, ground_truth, result):
    answer = tried(api, criteria, outputs, ground_truth)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["success"], body["loading"]) == (True, False)
    assert body["result"] == pytest.approx(result)
    own = builtin_evaluators.find(criteria.partition("=")[0])
    assert own is not None
    if "=" not in criteria and ground_truth is not None:
        assert body["result"] == pytest.approx(own(outputs, ground_truth))


def test_both_paths_answer_and_nothing_is_stored(api, project):
    from experiments.models import Event, Metric

    assert tried(api, "exact_match", 1, 1, path="/v1/metrics/run").json()["result"] is True
    assert not Event.objects.filter(project=project).exists()
    assert not Metric.objects.filter(project=project).exists()


def test_what_an_evaluator_cannot_judge_is_said_and_is_no_result(api):
    body = tried(api, "set_f1", ["a"], "a").json()
    assert (body["success"], body["result"]) == (False, None)
    assert body["explanation"] == "ValueError: the output is a list, so ground_truth must be one too, not str"
    body = tried(api, "numeric_tolerance", "no number", 1).json()
    assert (body["success"], body["result"]) == (True, False)
    assert "no number" in body["explanation"]
    body = tried(api, 'exact_match={"colour": 1}', 1, 1).json()
    assert (body["success"], body["result"]) == (False, None)
    assert "colour" in body["explanation"]


@pytest.mark.parametrize(
    ("kind", "criteria", "says"),
    [
        ("LLM", "exact_match", "not type 'LLM'"),
        ("PYTHON", "def f(): pass", "whose criteria name a built-in evaluator"),
        ("PYTHON", "regex_match", "not type 'PYTHON' with criteria 'regex_match'"),
        ("PYTHON", "json_schema", "Run others with the SDK"),
        ("PYTHON", "exact_match=[1]", "must be a JSON object of options"),
        ("PYTHON", "exact_match={", "must be a JSON object of options"),
    ],
)
def test_what_cannot_run_here_is_refused_with_the_remedy(api, kind, criteria, says):
    answer = tried(api, criteria, 1, 1, kind=kind)
    assert answer.status_code == 400
    assert says in answer.json()["message"]


def test_an_event_that_is_too_large_is_refused(api):
    answer = tried(api, "exact_match", "x" * LARGEST_BYTES, "y")
    assert answer.status_code == 400
    assert "are larger than 100,000 bytes" in answer.json()["message"]


def test_patterns_of_users_are_not_run_here():
    assert set(builtin_evaluators.NAMES) - set(RUNNABLE) == {"regex_match", "json_schema"}
