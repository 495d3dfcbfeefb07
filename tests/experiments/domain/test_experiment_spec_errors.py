"""Faulty specifications of experiments: the path that was typed, the value, the remedy."""

import json

import pytest

from experiments.domain.experiment_spec import HttpTarget
from experiments.domain.experiment_spec_errors import read_experiment_spec
from governance.domain.errors import InvalidInput

HTTP = {"kind": "http", "url": "https://x.example"}
GOOD = {"name": "n", "dataset_id": "d", "target": HTTP}


def refusal(data):
    with pytest.raises(InvalidInput) as caught:
        read_experiment_spec(data)
    json.dumps(caught.value.details, allow_nan=False)
    return caught.value


def test_a_good_specification_is_read_with_its_defaults():
    rules = {"bounds": {"a": [0, 1]}, "passing_ranges": {"a": {"min": 0.5}, "b": {"min": 1, "max": 1}}}
    read = read_experiment_spec({**GOOD, "evaluators": [{"name": "exact_match"}], **rules})

    assert isinstance(read.target, HttpTarget)
    assert (read.repetitions, read.evaluators[0].metric, read.bounds) == (1, "exact_match", {"a": (0.0, 1.0)})
    assert read_experiment_spec(read.model_dump(mode="json")) == read


@pytest.mark.parametrize(
    ("changes", "field", "value", "says"),
    [
        ({"target": {"kind": "http"}}, "target.url", None, "It is missing"),
        ({"target": {**HTTP, "metod": "GET"}}, "target.metod", "GET", "Did you mean 'method'?"),
        ({"target": {**HTTP, "method": "get"}}, "target.method", "get", "Use one of 'GET', 'POST', 'PUT' or 'PATCH'"),
        ({"target": {"kind": "htp"}}, "target.kind", "htp", "Did you mean 'http'?"),
        ({"target": {"url": "x"}}, "target.kind", None, "Use one of 'http', 'chat' or 'callable'"),
        ({"target": {"kind": ["http"]}}, "target.kind", None, "Use one of"),
        ({"target": "http"}, "target", "http", "Give a mapping"),
        ({"target": {**HTTP, "headers": {"A": 3}}}, "target.headers.A", 3, "Give a text, or a mapping with secret"),
        ({"target": {**HTTP, "headers": {"A": {"secre": "s"}}}}, "target.headers.A.secret", None, "It is missing"),
        ({"target": {**HTTP, "headers": {"A": {"secret": ""}}}}, "target.headers.A.secret", None, "at least 1 char"),
        ({"target": {**HTTP, "headers": {"A": {"secret": "s", "prefix": 1}}}}, "target.headers.A.prefix", 1, "string"),
        ({"target": {**HTTP, "headers": {"": "s"}}}, "target.headers.", "", "at least 1 character"),
        ({"target": {"kind": "callable", "name": "f", "options": []}}, "target.options", None, "Give a mapping"),
        ({"target": {"kind": "chat", "configuration": "c"}}, "target.base_url", None, "It is missing"),
        (
            {"target": {"kind": "chat", "configuration": "c", "base_url": "u", "version": 0}},
            "target.version",
            0,
            "at least 1",
        ),
        ({"evaluators": [{"name": "a"}, {"nam": "a"}]}, "evaluators.1.name", None, "It is missing"),
        ({"evaluators": [{"kind": "builtins", "name": "a"}]}, "evaluators.0.kind", "builtins", "mean 'builtin'?"),
        ({"evaluators": {"name": "a"}}, "evaluators", None, "Give a list"),
        ({"retry": {"max_attempts": 11}}, "retry.max_attempts", 11, "at least 1 and at most 10"),
        ({"retry": {"first_delay_seconds": 9, "longest_delay_seconds": 3}}, "retry.first_delay_seconds", 9.0, "above"),
        ({"seed": 2**60}, "seed", 2**60, "at least 0 and less than"),
        ({"concurrency": 65}, "concurrency", 65, "at least 1 and at most 64"),
        ({"bounds": {"score": [1]}}, "bounds.score.1", None, "missing"),
        ({"bounds": {"score": [1, 0]}}, "bounds.score", None, "lowest value first"),
        ({"bounds": {"score": 1}}, "bounds.score", 1, "Give a list"),
        ({"passing_ranges": {"a": 5}}, "passing_ranges.a", None, '{"min": number}'),
        ({"passing_ranges": {"a": {}}}, "passing_ranges.a", None, '{"min": number}'),
        ({"passing_ranges": {"a": {"mn": 1}}}, "passing_ranges.a.mn", None, '{"min": number}'),
        ({"passing_ranges": {"a": {"min": "x"}}}, "passing_ranges.a.min", "x", "give a number"),
        ({"passing_ranges": {"a": {"max": True}}}, "passing_ranges.a.max", "True", "give a number"),
        ({"passing_ranges": {"a": {"min": 2, "max": 1}}}, "passing_ranges.a.min", 2, "nothing could pass"),
        ({"repetitions": True}, "repetitions", True, "give a number"),
        ({"retry": {"max_attempts": True}}, "retry.max_attempts", True, "give a number"),
        ({"bounds": {"a": [False, 2]}}, "bounds.a.0", False, "give a number"),
        ({"tags": ["a", ""]}, "tags.1", "", "at least 1 character"),
        ({"repetition": 2}, "repetition", 2, "Did you mean 'repetitions'?"),
        ({"name": None}, "name", None, "string"),
        ({"metadata": []}, "metadata", None, "Give a mapping"),
    ],
)
def test_a_faulty_specification_is_refused_by_the_path_that_was_typed(changes, field, value, says):
    error = refusal({**GOOD, **changes})

    assert (error.details["field"], error.details.get("value")) == (field, value)
    assert says in error.message


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_what_is_no_mapping_is_refused(data):
    assert refusal(data).details["field"] == "body"


def test_all_faults_are_listed_and_a_misplaced_key_is_not_repeated():
    error = refusal({**GOOD, "target": {"kind": "chat", "secret": "sk-" + "x" * 90}, "repetitions": 0})

    assert [each["field"] for each in error.details["problems"]] == [
        "target.configuration",
        "target.base_url",
        "target.secret",
        "repetitions",
    ]
    assert "sk-" not in json.dumps(error.details) + error.message
