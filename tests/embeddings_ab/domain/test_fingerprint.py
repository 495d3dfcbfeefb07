"""Content hashes: equal for equal content, pinned to hashes computed by sha256sum over hand-written lines."""

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embeddings_ab.domain.fingerprint import canonical_json, canonical_json_hash, corpus_hash, query_set_hash, run_hash
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, QueryRow


def test_canonical_json_is_sorted_tight_and_unescaped():
    assert canonical_json({"b": [1.0, None, True], "a": {"é": "\u2028", "Z": -0.0}}) == (
        '{"a":{"Z":0,"é":"\u2028"},"b":[1,null,true]}'
    )


def test_the_hash_is_plain_sha256():
    # printf '{"a":1}' | sha256sum
    assert canonical_json_hash({"a": 1.0}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (0.0, -0.0),
        (10**22, 1e22),
        (2**53, float(2**53)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ((1, 2), [1, 2]),
    ],
)
def test_equal_values_have_one_text(one, other):
    assert canonical_json(one) == canonical_json(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, False), (1, "1"), (2**60, 2**60 + 1), (0.1, 0.1 + 1e-17 + 1e-16), (10**400, 10**401)],
)
def test_different_values_have_two(one, other):
    assert canonical_json(one) != canonical_json(other)


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_undefined_numbers_are_refused(value):
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(value)


@pytest.mark.parametrize("value", [b"x", {1: 2}, {"a": {1}}, object()])
def test_what_json_has_no_word_for_is_refused(value):
    with pytest.raises(TypeError):
        canonical_json(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
def test_reading_canonical_json_and_writing_it_again_changes_nothing(value):
    import json

    text = canonical_json(value)

    assert canonical_json(json.loads(text)) == text


def test_the_hash_of_a_corpus_is_that_of_its_lines():
    lines = (
        '{"content":"corpus","form":1}\n'
        '{"id":"a","metadata":{"k":1},"text":"x","title":""}\n'
        '{"id":"b","metadata":{},"text":"é","title":"t"}\n'
    )

    said = corpus_hash([DocumentRow("a", text="x", metadata={"k": 1.0}), DocumentRow("b", "t", "é")])

    assert said == hashlib.sha256(lines.encode()).hexdigest()


def test_the_hash_of_a_query_set_knows_where_grades_come_from():
    lines = '{"content":"query_set","form":1}\n{"id":"q","metadata":{},"text":"x"}\n["q","d",2]\n'
    queries = [QueryRow("q", "x")]

    assert query_set_hash(queries, [JudgmentRow("q", "d", 2)]) == hashlib.sha256(lines.encode()).hexdigest()
    assert query_set_hash(queries, [JudgmentRow("q", "d", 2, "llm")]) != query_set_hash(
        queries, [JudgmentRow("q", "d", 2, "human")]
    )


def test_the_hash_of_a_run_follows_query_ids_and_scores():
    lines = '{"content":"run","form":1}\n["q1",[["d",0.5]]]\n["q2",[]]\n'

    assert run_hash({"q2": [], "q1": [("d", 0.5)]}) == hashlib.sha256(lines.encode()).hexdigest()
    assert run_hash({"q1": [("d", 0.25)]}) != run_hash({"q1": [("d", 0.5)]})
