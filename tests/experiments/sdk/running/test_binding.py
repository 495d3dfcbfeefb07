"""How functions are called: by name, by number, and which signatures are refused."""

import functools

import pytest

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.running.binding import bind, function_name, ground_truth_of, inputs_of

ROW = {"id": "a", "inputs": {"q": 1}, "ground_truth": {"a": 2}}


def call(function, tracer="T", row=ROW):
    return bind(function)(row, tracer)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda datapoint: datapoint, ROW),
        (lambda inputs: inputs, {"q": 1}),
        (lambda inputs, ground_truth: (inputs, ground_truth), ({"q": 1}, {"a": 2})),
        (lambda ground_truth, inputs: (ground_truth, inputs), ({"a": 2}, {"q": 1})),
        (lambda inputs, ground_truths: ground_truths, {"a": 2}),
        (lambda inputs, tracer: (inputs, tracer), ({"q": 1}, "T")),
        (lambda row: row, ROW),
        (lambda row, tracer: (row, tracer), (ROW, "T")),
        (lambda tracer, row: (row, tracer), (ROW, "T")),
        (lambda question, expected: (question, expected), ({"q": 1}, {"a": 2})),
        (lambda inputs, expected: (inputs, expected), ({"q": 1}, {"a": 2})),
        (lambda inputs, limit=3: (inputs, limit), ({"q": 1}, 3)),
        (lambda row, limit=3: (row, limit), (ROW, 3)),
        (lambda inputs, *, ground_truth: (inputs, ground_truth), ({"q": 1}, {"a": 2})),
        (lambda datapoint, ground_truth, tracer: (datapoint, ground_truth, tracer), (ROW, {"a": 2}, "T")),
        (lambda inputs, /, ground_truth: (inputs, ground_truth), ({"q": 1}, {"a": 2})),
        (lambda row, /: row, ROW),
        (lambda *args, inputs: (args, inputs), ((), {"q": 1})),
        (lambda **everything: sorted(everything), ["datapoint", "ground_truth", "inputs"]),
        (lambda inputs, **rest: (inputs, rest), ({"q": 1}, {})),
    ],
)
def test_parameters_get_what_their_names_or_their_number_say(function, expected):
    assert call(function) == expected


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda tracer: None,
        lambda a, b, c: None,
        lambda ground_truth, x: None,
        lambda inputs, a, b: None,
        lambda *, anything: None,
        lambda limit=3: None,
    ],
)
def test_other_signatures_are_refused_with_the_accepted_forms(function):
    with pytest.raises(ConfigurationError, match=r"it may take \(datapoint\), \(inputs\), \(inputs, ground_truth\)"):
        bind(function)


def test_what_is_not_callable_is_refused():
    with pytest.raises(ConfigurationError, match="'function' must be callable, not int"):
        bind(3)


def test_partials_callable_objects_and_builtins_are_bound():
    class Task:
        def __call__(self, inputs):
            return inputs

    class AsyncTask:
        async def __call__(self, inputs):
            return inputs

    def task(inputs, ground_truth, limit):
        return inputs, limit

    async def later(inputs, limit):
        return inputs

    assert call(Task()) == {"q": 1}
    assert bind(Task()).name == "Task"
    assert not bind(Task()).is_async
    assert bind(AsyncTask()).is_async
    assert call(functools.partial(task, limit=7)) == ({"q": 1}, 7)
    assert bind(functools.partial(task, limit=7)).name == "task"
    assert bind(functools.partial(later, limit=7)).is_async
    assert function_name(functools.partial(functools.partial(task))) == "task"
    assert call(dict) == ROW  # no signature: the datapoint


def test_inputs_are_what_is_left_where_a_datapoint_has_none():
    assert inputs_of({"id": 1, "question": "q", "ground_truth": "a", "metadata": {}}) == {"question": "q"}
    assert inputs_of({"inputs": None}) is None
    assert ground_truth_of({"ground_truths": 5}) == 5
    assert ground_truth_of({}) is None
