"""Metrics that a model judges: what is asked, and which answers are scores."""

import pytest

from experiments.domain.calls import Case
from experiments.domain.llm_judging import BadJudgement, check_metric, messages_of, read_judgement
from experiments.domain.templates import Unfilled
from governance.domain.errors import InvalidInput

CONTENT = {"criteria": "Rate {{outputs.content}} for {{ inputs.q }}", "return_type": "float", "scale": 5}
CASE = Case("d", {"q": "why?"}, ground_truth={"answer": "so"})


def of(return_type="float", **fields):
    return {**CONTENT, "return_type": return_type, **fields}


def test_the_prompt_is_filled_and_the_form_of_the_answer_asked_for() -> None:
    system, user = messages_of(CONTENT, {"content": "because"}, CASE)
    assert user == {"role": "user", "content": "Rate because for why?"}
    assert "a number from 0 to 5" in system["content"]
    categories = [{"category": "good"}, {"category": "bad"}]
    for content, wanted in ((of("boolean"), "true or false"), (of("categorical", categories=categories), '"good"')):
        assert wanted in messages_of(content, {"content": "x"}, CASE)[0]["content"]


def test_a_prompt_that_asks_for_brackets_is_left_alone() -> None:
    content = of(criteria="{{outputs}} against {{feedback.ground_truth}}: Rating: [[n]]")
    assert messages_of(content, "x", CASE) == [{"role": "user", "content": 'x against {"answer": "so"}: Rating: [[n]]'}]


def test_a_datapoint_without_what_the_prompt_names_is_no_prompt() -> None:
    with pytest.raises(Unfilled, match="null"):
        messages_of(of(criteria="{{outputs}} {{ground_truth}}"), "x", Case("d"))


@pytest.mark.parametrize(
    ("text", "content", "score", "explanation"),
    [
        ('{"score": 4, "explanation": "clear"}', of(), 4, "clear"),
        ('```json\n{"score": 0.5}\n```', of(), 0.5, ""),
        ("Fine.\nRating: [[4]]", of(), 4.0, "Fine.\nRating: [[4]]"),
        ("[[ 3 ]] so [[3]]", of(), 3.0, "[[ 3 ]] so [[3]]"),
        ('{"score": true, "explanation": ""}', of("boolean"), True, ""),
        ("[[Yes]]", of("boolean"), True, "[[Yes]]"),
        ('{"score": "good"}', of("categorical", categories=[{"category": "good"}]), "good", ""),
        ('{"score": "free text"}', of("string"), "free text", ""),
        ('{"score": 7}', of(scale=None), 7, ""),
    ],
)
def test_good_answers_are_scores(text, content, score, explanation) -> None:
    found = read_judgement(text, content)
    assert found == (score, explanation)
    assert type(found[0]) is type(score)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("I would say four.", of()),
        ("4", of()),
        ("", of()),
        ("[[4]] or [[5]]", of()),
        ("[[four]]", of()),
        ('{"rating": 4}', of()),
        ('{"score": "4"}', of()),
        ('{"score": true}', of()),
        ('{"score": null}', of()),
        ('{"score": NaN}', of()),
        ('{"score": 6}', of()),
        ('{"score": -1}', of()),
        ("[[6]]", of()),
        ('{"score": 1}', of("boolean")),
        ("[[maybe]]", of("boolean")),
        ('{"score": "other"}', of("categorical", categories=[{"category": "good"}])),
        ('{"score": 3}', of("string")),
        ('{"score": 1e400}', of(scale=None)),
    ],
)
def test_anything_else_is_an_error_and_no_score(text, content) -> None:
    with pytest.raises(BadJudgement):
        read_judgement(text, content)


@pytest.mark.parametrize("criteria", ["Is it kind?", "{{inputs.q}}", "{{output}}"])
def test_a_prompt_that_judges_nothing_is_refused(criteria) -> None:
    with pytest.raises(InvalidInput, match=r"Field 'evaluators\.0\.name'"):
        check_metric(of(criteria=criteria), field="evaluators.0.name")
