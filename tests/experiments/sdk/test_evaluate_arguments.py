"""evaluate() refuses what cannot work, before anything runs, and says what to do instead."""

import re

import pandas as pd
import pytest

from experiments import evaluate
from experiments.sdk.errors import ConfigurationError, Unauthorized
from tests.experiments.sdk.fault_server import FaultServer
from tests.experiments.sdk.squares import ROWS, is_spool_empty, square

pytestmark = pytest.mark.usefixtures("no_threads_left")


BAD = [
    ({"dataset": None}, "Give 'dataset' (a list, a file or a frame) or 'dataset_id' (a stored one)."),
    ({"dataset_id": "d"}, "'dataset' and 'dataset_id' are both given; give one of them."),
    ({"dataset": {"a": 1}}, "'dataset' must be a list of dicts, a path to"),
    ({"dataset": []}, "dataset has no datapoints; give at least one."),
    ({"dataset": [1]}, "Item 0 of dataset is int; every datapoint must be a dict"),
    ({"dataset": "missing.json"}, "Dataset missing.json cannot be read: No such file or directory."),
    ({"dataset": "rows.xml"}, "Dataset rows.xml is of no known kind"),
    ({"dataset": [{"id": "x" * 300}]}, "has 304 characters; use at most 255."),
    ({"dataset": None, "dataset_id": "EXT-1"}, "names a dataset of your own, which no server stores"),
    ({"dataset": None, "dataset_id": "unknown"}, "Dataset 'unknown' does not exist in this project"),
    ({"max_workers": 0}, "'max_workers' must be a whole number from 1, not 0."),
    ({"max_workers": True}, "'max_workers' must be a whole number from 1, not True."),
    ({"repetitions": 1.5}, "'repetitions' must be a whole number from 1, not 1.5."),
    ({"aggregate_function": "mean"}, "'aggregate_function' 'mean' is unknown; use one of average, min,"),
    ({"passing_ranges": {"m": {"above": 1}}}, "'passing_ranges' of 'm' is {'above': 1}; write {'min': 0.8}"),
    ({"passing_ranges": {"m": 1}}, "'passing_ranges' of 'm' is 1; write {'min': 0.8}"),
    ({"passing_ranges": {"m": {"min": "0.8"}}}, "'passing_ranges' of 'm' has the bound '0.8'; use a finite number."),
    ({"passing_ranges": {"m": {"max": float("nan")}}}, "'passing_ranges' of 'm' has the bound nan"),
    ({"passing_ranges": {"m": {"max": True}}}, "'passing_ranges' of 'm' has the bound True"),
    ({"passing_ranges": {"m": {"min": 2, "max": 1}}}, "nothing is in it; swap its bounds."),
    ({"dataset": pd.DataFrame({"a": []})}, "dataset has no datapoints; give at least one."),
    ({"dataset": "empty.csv"}, "empty.csv has no datapoints; give at least one."),
    ({"resume": "a", "run_id": "b"}, "'resume' and 'run_id' name two runs; give one of them."),
    ({"run_id": "x" * 256}, "'run_id' has 256 characters; use at most 255."),
    ({"run_id": 5}, "'run_id' must be a text that is not empty, not 5."),
    ({"resume": " "}, "'resume' must be a text that is not empty, not ' '."),
    ({"id_scheme": "crc"}, "id_scheme='crc' is unknown"),
    ({"evaluators": ["exactly"]}, "exactly"),
    ({"evaluators": [5]}, "5"),
    ({"server_url": "localhost:80"}, "The server address 'localhost:80' is none"),
    ({"api_key": "schlüssel"}, "The API key holds a character that is not ASCII"),
    ({"function": 5}, "'function' must be callable, not int"),
    ({"function": lambda a, b, c: 1}, "cannot be called on a datapoint"),
    ({"instrumentors": [object]}, "Instrumentor object could not be switched on"),
]


@pytest.mark.parametrize(("settings", "sentence"), BAD)
def test_arguments_that_cannot_work_are_named_before_anything_runs(run, server, alone, settings, sentence):
    called = []
    (alone / "empty.csv").write_text("inputs.q\n")
    given = {"dataset": ROWS, **settings}
    function = given.pop("function", lambda datapoint: called.append(1))
    with pytest.raises(ConfigurationError, match=re.escape(sentence)) as caught:
        run(function, given.pop("dataset"), **given)
    assert isinstance(caught.value, ValueError)
    assert called == [] == list(server.sessions)
    assert is_spool_empty(alone)


def test_missing_credentials_are_named_with_the_ways_to_give_them(alone):
    with pytest.raises(ValueError, match=r"No API key: give api_key=…, set HH_API_KEY, or type `hhweb login`"):
        evaluate(square, dataset=ROWS, server_url="http://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"No server address: give server_url=…, set HH_API_URL"):
        evaluate(square, dataset=ROWS, api_key="key")


def test_address_and_key_may_come_from_the_environment(server, alone, monkeypatch):
    monkeypatch.setenv("HH_API_URL", server.url + "/")
    monkeypatch.setenv("HH_API_KEY", "key")
    assert evaluate(square, dataset=ROWS).server_url == server.url


def test_the_older_id_scheme_gives_longer_ids(run):
    (outcome,) = run(square, [{"inputs": {"n": 1}}], id_scheme="md5-24").outcomes
    assert len(outcome.datapoint_id.removeprefix("EXT-")) == 24


def test_a_refused_key_is_an_error_before_anything_runs_and_leaves_nothing(alone):
    called = []
    with FaultServer(api_key="right") as server, pytest.raises(Unauthorized, match="The API key is unknown"):
        evaluate(lambda datapoint: called.append(1), dataset=ROWS, server_url=server.url, api_key="wrong")
    assert called == []
    assert is_spool_empty(alone)
