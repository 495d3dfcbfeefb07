"""Outputs kept on disk: what makes the key, and that a broken cache never breaks a run."""

import functools

import pytest

from experiments.sdk.running.cache import OutputCache, source_of

ROW = {"inputs": {"q": 1}}


def task(inputs):
    return inputs


def other(inputs):
    return inputs


def made_with(limit):
    def task(inputs):
        return inputs, limit

    return task


class Task:
    def __init__(self, model="a"):
        self.model = model

    def __call__(self, inputs):
        return inputs, self.model

    def run(self, inputs):
        return inputs, self.model


def key(folder, function=task, configuration=None, row=ROW, repetition=0):
    return OutputCache(folder, function, configuration).key(row, repetition)


def test_the_key_is_source_closure_inputs_configuration_and_repetition(tmp_path):
    keys = [
        key(tmp_path),
        key(tmp_path, other),
        key(tmp_path, made_with(1)),
        key(tmp_path, made_with(2)),
        key(tmp_path, Task()),
        key(tmp_path, Task("b")),
        key(tmp_path, Task("a").run),
        key(tmp_path, Task("b").run),
        key(tmp_path, functools.partial(task, model="a")),
        key(tmp_path, functools.partial(task, model="b")),
        key(tmp_path, configuration={"model": "a"}),
        key(tmp_path, configuration={"model": "b"}),
        key(tmp_path, row={"inputs": {"q": 2}}),
        key(tmp_path, repetition=1),
    ]
    assert len(set(keys)) == len(keys)
    assert key(tmp_path) == keys[0]
    assert key(tmp_path, Task("b")) == key(tmp_path, Task("b"))
    assert key(tmp_path, configuration={"a": 1, "b": 2}) == key(tmp_path, configuration={"b": 2, "a": 1})


def test_a_function_without_source_is_known_by_its_code():
    space: dict = {}
    exec("def typed(x): return x + 1", space)
    assert "co_code" not in source_of(space["typed"])[2]
    assert source_of(space["typed"])[2] != source_of(len)[2]


@pytest.mark.parametrize("output", [None, 0, "ä", [1, {"a": 2.5}], {"a": None}])
def test_outputs_come_back_as_they_were(tmp_path, output):
    cache = OutputCache(tmp_path, task, None)
    assert cache.get("ab12") == (False, None)
    assert cache.put("ab12", output) is True
    assert cache.get("ab12") == (True, output)
    assert [path.name for path in (tmp_path / "outputs" / "ab").iterdir()] == ["ab12.json"]


class Incomparable:
    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


@pytest.mark.parametrize("output", [(1, 2), {1: 2}, {1}, float("nan"), object(), Incomparable()])
def test_what_json_would_change_is_not_kept(tmp_path, output):
    cache = OutputCache(tmp_path, task, None)
    assert cache.put("ab12", output) is False
    assert cache.get("ab12") == (False, None)


def test_a_folder_that_cannot_be_written_and_a_torn_file_harm_nothing(tmp_path):
    (tmp_path / "outputs").write_text("a file where a folder should be")
    cache = OutputCache(tmp_path, task, None)
    assert cache.put("ab12", 1) is False
    assert cache.get("ab12") == (False, None)
    good = OutputCache(tmp_path / "good", task, None)
    good.put("ab12", [1])
    (tmp_path / "good/outputs/ab/ab12.json").write_text("[1")
    assert good.get("ab12") == (False, None)
