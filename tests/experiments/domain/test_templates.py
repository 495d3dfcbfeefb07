"""Placeholders in texts and JSON: what they become, and what is refused."""

import pytest

from experiments.domain.templates import (
    Unfilled,
    check,
    filled,
    filled_text,
    picked,
    placeholders,
    without_placeholders,
)
from governance.domain.errors import InvalidInput

VALUES = {
    "inputs": {"question": "why?", "tags": ["a", "b"], "n": 3, "flag": True, "nothing": None, "two words": "x"},
    "ground_truth": {"answer": 42},
    "history": [],
    "metadata": {},
    "datapoint_id": "d1",
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{inputs.question}}", "why?"),
        ("{{ inputs.n }}", 3),
        ("{{inputs.flag}}", True),
        ("{{inputs.nothing}}", None),
        ("{{inputs.tags}}", ["a", "b"]),
        ("{{inputs.tags.1}}", "b"),
        ("{{inputs}}", VALUES["inputs"]),
        ("{{inputs.two words}}", "x"),
        ("n={{inputs.n}}", "n=3"),
        ("{{inputs.n}}{{inputs.n}}", "33"),
        ("tags {{inputs.tags}} and {{inputs.flag}}", 'tags ["a", "b"] and true'),
        ("no placeholder { { }}", "no placeholder { { }}"),
        (7, 7),
        ({"a": ["{{datapoint_id}}", {"b": "{{ground_truth.answer}}"}], "c": None}, {"a": ["d1", {"b": 42}], "c": None}),
    ],
)
def test_a_lone_placeholder_keeps_its_type_and_others_become_text(template, expected) -> None:
    assert filled(template, VALUES) == expected


def test_values_are_not_read_as_templates_again() -> None:
    assert filled("{{inputs.q}} {{datapoint_id}}", {"inputs": {"q": "{{datapoint_id}}"}, "datapoint_id": "d"}) == (
        "{{datapoint_id}} d"
    )


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("{{inputs.answer}}", "inputs.answer"),
        ("{{inputs.tags.2}}", "inputs.tags.2"),
        ("{{inputs.question.deep}}", "inputs.question.deep"),
        ("text {{inputs.nothing}}", "null"),
    ],
)
def test_what_is_missing_is_named_without_its_neighbours(template, named) -> None:
    with pytest.raises(Unfilled, match=named) as raised:
        filled(template, VALUES)
    assert "why?" not in str(raised.value)


def test_a_short_name_is_an_input_where_prompts_are_filled() -> None:
    assert filled_text("{{question}} {{inputs.n}}", VALUES, has_short_inputs=True) == "why? 3"
    assert filled_text("{{n}}", VALUES, has_short_inputs=True) == "3"
    with pytest.raises(Unfilled):
        filled("{{question}}", VALUES)


@pytest.mark.parametrize("path", ["input.question", "question", "inputs..a", ".inputs", "outputs"])
def test_unknown_placeholders_are_refused_with_the_field(path) -> None:
    with pytest.raises(InvalidInput, match=r"Field 'target\.body'") as raised:
        check({"a": [f"{{{{{path}}}}}"]}, field="target.body")
    assert raised.value.details["value"] == path


def test_a_prompt_may_name_inputs_shortly() -> None:
    check("{{question}} {{history}}", field="x", has_short_inputs=True)
    assert list(placeholders(["{{a.b}} {{ c }}", {"{{key}}": "{{d}}"}])) == ["a.b", "c", "d"]
    assert without_placeholders("/v1/{{ inputs.a }}/x?{{b}}") == "/v1/x/x?x"


def test_too_many_placeholders_are_refused() -> None:
    with pytest.raises(InvalidInput, match="1001 placeholders"):
        check("{{inputs.a}}" * 1001, field="x")


def test_picking_walks_objects_and_lists() -> None:
    value = {"choices": [{"text": "a"}]}
    assert picked(value, "choices.0.text") == "a"
    assert picked(value, "") is value
    for path in ("choices.1", "choices.text", "choice", "choices.0.text.x"):
        with pytest.raises(KeyError):
            picked(value, path)
