"""Evaluators of JSON documents."""

import sys

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.domain.builtin_evaluators.documents import json_schema, json_valid

PERSON = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ('{"a": [1, 2.5e3, null, true, "\\u00e9"]}', True),
        (" 1 ", True),
        (b'{"a": 1}', True),
        ("{'a': 1}", False),
        ('{"a": 1,}', False),
        ("NaN", False),
        ('{"a": -Infinity}', False),
        ("", False),
        (b"\xff", False),
        ("[" * 100_000, False),
        ({"answer": '{"a": 1}'}, True),
        ({"answer": "no"}, False),
        ({"a": 1, "b": [2]}, True),
        ({"a": {1, 2}, "b": 1}, False),
        (float("nan"), False),
    ],
)
def test_json_validity_follows_the_standard(outputs, expected):
    assert json_valid(outputs) is expected


def test_json_validity_of_one_entry():
    assert json_valid({"text": "[]", "n": 1}, key="text") is True
    assert json_valid({"text": "[", "n": 1}, key="text") is False


def test_a_document_satisfies_its_schema_or_says_why_not():
    assert json_schema('{"age": 3}', schema=PERSON) is True
    assert json_schema({"age": 3, "tags": ["x"]}, PERSON) is True
    assert json_schema({"answer": '{"age": 3}', "n": 1}, schema=PERSON, key="answer") is True
    assert json_schema("3", {"schema": {"type": "integer"}, "x": 1}, expected_key="schema") is True
    assert json_schema("3", schema=True) is True
    assert json_schema('{"age": -1}', schema=PERSON) == {
        "score": False,
        "explanation": "$.age: -1 is less than the minimum of 0",
    }
    assert json_schema({"tags": [1, 2, 3, 4]}, schema=PERSON)["explanation"] == (
        "$: 'age' is a required property; $.tags[0]: 1 is not of type 'string'; "
        "$.tags[1]: 2 is not of type 'string'; and 2 more"
    )
    assert json_schema("{", schema=PERSON) == {
        "score": False,
        "explanation": "no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    }


@settings(max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "age": st.one_of(st.integers(-2, 5), st.text(max_size=2), st.floats(allow_nan=False, allow_infinity=False)),
            "tags": st.lists(st.one_of(st.text(max_size=2), st.integers()), max_size=2),
            "other": st.none(),
        },
    )
)
def test_verdicts_are_those_of_another_validator(document):
    verdict = json_schema(document, schema=PERSON)
    assert (verdict is True) is jsonschema_rs.is_valid(PERSON, document)


def test_schemas_that_cannot_be_used_are_told_and_nothing_is_fetched():
    with pytest.raises(ValueError, match="no schema: give schema="):
        json_schema("{}")
    with pytest.raises(ValueError, match=r"the schema is no JSON schema: \$\.type: 'objct' is not valid"):
        json_schema("{}", schema={"type": "objct"})
    with pytest.raises(ValueError, match=r"refers to 'http://127\.0\.0\.1:9/person', which is not in it"):
        json_schema("{}", schema={"$ref": "http://127.0.0.1:9/person"})
    with pytest.raises(ValueError, match="JSON cannot hold it"):
        json_schema({"a": {1}}, schema=True)


def test_a_missing_validator_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ImportError, match=r"jsonschema is missing: pip install 'hhweb\[evaluators\]'"):
        json_schema("{}", schema={"title": "one that no other test has"})
