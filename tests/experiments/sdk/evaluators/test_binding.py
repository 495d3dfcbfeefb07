"""Which value each parameter of an evaluator's function gets."""

import functools

import pytest

from experiments.sdk.evaluators.binding import check, plan_of
from experiments.sdk.evaluators.definition import Evaluator, evaluator

DATAPOINT = {"inputs": "I", "ground_truth": "G", "metadata": {"split": "test"}}
VALUES = ("O", "I", "G", DATAPOINT, {"split": "test"})
UNLABELLED = ("O", "I", None, DATAPOINT, {})


def called(function, values=VALUES, **settings):
    made = Evaluator(function, kwargs=settings)
    check(made)
    return plan_of(made).call(made, values)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda outputs: outputs, "O"),
        (lambda output: output, "O"),
        (lambda ground_truth, outputs: ground_truth + outputs, "GO"),
        (lambda input, expected: input + expected, "IG"),
        (lambda *, ground_truths, inputs: ground_truths + inputs, "GI"),
        (lambda datapoint, metadata: datapoint["inputs"] + metadata["split"], "Itest"),
        (lambda outputs, /, ground_truth: outputs + ground_truth, "OG"),
        (lambda outputs, threshold=0.5, *, expected: f"{outputs}{threshold}{expected}", "O0.5G"),
        (lambda: "nothing", "nothing"),
    ],
)
def test_known_names_get_their_values(function, got):
    assert called(function) == got


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda answer: answer, "O"),
        (lambda answer, question: answer + question, "OI"),
        (lambda answer, question, gold: answer + question + gold, "OIG"),
        (lambda answer, question, gold=None: answer + question + gold, "OIG"),
        (lambda answer, threshold=0.5: f"{answer}{threshold}", "O0.5"),
        (lambda *values: "".join(values), "OIG"),
        (lambda answer, *rest: answer + "-" + "".join(rest), "O-IG"),
    ],
)
def test_without_a_known_name_the_order_is_outputs_inputs_ground_truth(function, got):
    assert called(function) == got


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda prediction, ground_truth: prediction + ground_truth, "OG"),
        (lambda answer, question, ground_truth: answer + question + ground_truth, "OIG"),
        (lambda outputs, inputs, labels: outputs + inputs + labels, "OIG"),
        (lambda outputs, model=None: f"{outputs}{model}", "ONone"),
    ],
)
def test_other_names_among_known_ones_get_what_stands_at_their_place(function, got):
    assert called(function) == got


@pytest.mark.parametrize(
    ("function", "parameter"),
    [
        (lambda outputs, reference: 1, "reference"),
        (lambda ground_truth, prediction: 1, "prediction"),
        (lambda answer, outputs: 1, "answer"),
        (lambda a, b, c, d: 1, "d"),
        (lambda outputs, *, model: 1, "model"),
        (lambda outputs, inputs, ground_truth, client: 1, "client"),
    ],
)
def test_a_parameter_that_nothing_fills_is_named_before_the_run(function, parameter):
    with pytest.raises(ValueError, match=rf"Evaluator '<lambda>': nothing says what its parameter '{parameter}' shall"):
        called(function)


def test_keyword_arguments_of_the_evaluator_fill_any_parameter():
    def close(threshold, outputs, *, expected, model="a"):
        return f"{threshold}{outputs}{expected}{model}"

    assert called(close, threshold=1) == "1OGa"
    assert called(close, threshold=1, model="b") == "1OGb"
    assert called(close, threshold=1, expected="x") == "1Oxa"
    assert called(lambda limit, answer: f"{limit}{answer}", limit=2) == "2O"


def test_keyword_arguments_that_the_function_does_not_have_are_told():
    with pytest.raises(ValueError, match=r"'treshold' is neither a setting nor a parameter .*, which has outputs, thr"):
        called(lambda outputs, threshold=1: 1, treshold=2)
    with pytest.raises(ValueError, match="'x' is neither a setting nor a parameter of its function, which has none"):
        called(lambda outputs, /: 1, x=2)
    assert called(lambda outputs, **more: more["x"], x=2) == 2


def test_keyword_rest_gets_everything_by_name_once():
    assert called(lambda **values: sorted(values)) == ["datapoint", "ground_truth", "inputs", "metadata", "outputs"]
    assert called(lambda outputs, **values: sorted(values)) == ["datapoint", "ground_truth", "inputs", "metadata"]
    assert called(lambda outputs, *rest, **values: (rest, len(values))) == ((), 4)


def test_a_function_that_hands_everything_on_gets_no_value_twice():
    def shown(*args, **kwargs):
        return (args, kwargs)

    assert called(shown) == (("O", "I", "G"), {})
    assert called(shown, model="m") == (("O", "I", "G"), {"model": "m"})

    @functools.wraps(lambda outputs, expected: 1)
    def wrapping(*args, **kwargs):
        return (args, kwargs)

    assert called(wrapping) == (("O", "G"), {})


def test_a_datapoint_without_ground_truth_leaves_defaults_alone():
    def scored(outputs, ground_truths={}, inputs=None):  # noqa: B006 - as older code has it
        return (outputs, ground_truths, inputs)

    assert called(scored, UNLABELLED) == ("O", {}, "I")
    assert called(scored) == ("O", "G", "I")
    assert called(lambda outputs, ground_truth: ground_truth, UNLABELLED) is None
    assert called(lambda *, expected="none": expected, UNLABELLED) == "none"
    assert called(lambda answer, question, gold=None: gold, UNLABELLED) is None
    assert called(lambda *values: values, UNLABELLED) == ("O", "I")


def test_a_positional_parameter_behind_one_that_is_not_passed_is_told():
    def judge(threshold=1, outputs=2, /):
        return outputs

    with pytest.raises(ValueError, match="its parameter 'outputs' goes by position only, and one before it"):
        called(judge)
    assert called(lambda threshold=1, outputs=2: outputs) == "O"
    assert called(lambda limit, *rest: (limit, rest), limit=3) == (3, ())


def test_functions_that_show_no_parameters_are_told():
    with pytest.raises(ValueError, match="Evaluator 'max': its function shows no parameters; put it into a lambda"):
        check(Evaluator(max))


def test_a_wrapping_evaluator_is_bound_like_the_wrapped_one():
    base = Evaluator(lambda ground_truth, outputs: ground_truth + outputs)
    made = evaluator(lambda value, end="": value + end, name="more", wraps=base, end="!")
    check(made)
    assert plan_of(made).call(made, VALUES) == "GO!"
    with pytest.raises(
        ValueError, match=r"with wraps its function gets one argument.*missing a required argument: 'x'"
    ):
        check(evaluator(lambda value, x: 1, name="two", wraps=base))


def test_evaluators_that_wrap_themselves_are_told():
    evaluator(lambda value: value, name="a", wraps="b")
    evaluator(lambda value: value, name="b", wraps={"a": {"weight": 2}})
    with pytest.raises(ValueError, match="Evaluator 'a' wraps itself"):
        check(evaluator(lambda value: value, name="a", wraps="b"))
    with pytest.raises(ValueError, match="No evaluator is called 'nobody'"):
        check(evaluator(lambda value: value, name="c", wraps="nobody"))
