"""evaluate() and get_run_metrics() called as before: old keywords, functions of one parameter, printed results."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.evaluation import deprecation, old_calls
from experiments.sdk.configuration import Settings
from experiments.sdk.errors import ConfigurationError
from tests.experiments.sdk.fault_server import FaultServer

KEY = "hh_key"
OLD = [{"inputs": {"q": "a"}, "ground_truths": {"a": "A"}}, {"inputs": {"q": "b"}, "ground_truths": {"a": "b"}}]
NEW = [{"inputs": {"q": "a"}, "ground_truth": {"a": "A"}}]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def options(server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Where the server is, in old words; and as at the start of a process, nobody told off."""
    monkeypatch.setenv("HH_SPOOL_DIR", str(tmp_path))
    monkeypatch.setattr(deprecation, "_told", set())
    return {"hh_api_key": KEY, "server_url": server.url, "print_results": False}


def seen_by(function: Any, options: dict[str, Any], **more: Any) -> Any:
    """The outputs of a function, in input order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        summary = old_calls.evaluate(function, **{"dataset": OLD, **options, **more})
    assert [outcome.error for outcome in summary.outcomes] == [None] * len(summary.outcomes)
    return [outcome.outputs for outcome in summary.outcomes]


def test_old_keywords_work_and_are_told_off_once(server: FaultServer, options: dict[str, Any]) -> None:
    def upper(inputs: Any) -> Any:
        return inputs["q"].upper()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in ("one", "two"):
            summary = old_calls.evaluate(
                runner=upper, dataset=OLD, name=name, hh_project="p", suite="s", disable_http_tracing=True,
                disable_auto_tracing=True, metadata={"mine": 1}, **options,
            )  # fmt: skip
    assert summary.status == "completed"
    run = server.runs[summary.run_id]
    assert (run["name"], run["metadata"]["suite"], run["metadata"]["mine"]) == ("two", "s", 1)
    told = [warning for warning in caught if issubclass(warning.category, DeprecationWarning)]
    assert {warning.filename for warning in told} == {__file__}
    assert sorted(str(warning.message).partition(" is an old name")[0] for warning in told) == [
        f"experiments.evaluation.evaluate with {name}="
        for name in ("disable_auto_tracing", "disable_http_tracing", "hh_api_key", "hh_project", "runner", "suite")
    ]
    assert any(str(warning.message).endswith("use api_key= (docs/migration.md).") for warning in told)
    assert any(str(warning.message).endswith("use nothing: leave it out (docs/migration.md).") for warning in told)


def test_a_function_of_one_parameter_gets_the_inputs_as_it_did(options: dict[str, Any]) -> None:
    async def later(row: Any) -> Any:
        return row["q"]

    assert seen_by(lambda row: row["q"], options) == ["a", "b"]
    assert seen_by(later, options) == ["a", "b"]
    assert seen_by(lambda row, greeting="hello": greeting + row["q"], options) == ["helloa", "hellob"]
    assert seen_by(lambda inputs, ground_truths: ground_truths["a"], options) == ["A", "b"]
    assert seen_by(lambda datapoint: datapoint["inputs"]["q"], options) == ["a", "b"]
    assert seen_by(lambda *, datapoint: datapoint["inputs"]["q"], options) == ["a", "b"]


def test_datapoints_with_ground_truths_are_enough_to_know_the_old_way(options: dict[str, Any]) -> None:
    options["api_key"] = options.pop("hh_api_key")
    assert seen_by(lambda row: row["q"], options) == ["a", "b"]
    assert seen_by(lambda row: row["inputs"]["q"], options, dataset=NEW) == ["a"]


def test_a_function_without_a_signature_is_left_alone(options: dict[str, Any]) -> None:
    assert seen_by(dict, options, dataset=[{"inputs": {"q": "a"}}]) == [{"inputs": {"q": "a"}}]


def test_new_names_win_over_old_ones(server: FaultServer, options: dict[str, Any]) -> None:
    options |= {"hh_api_key": "hh_wrong", "api_key": KEY}
    assert seen_by(lambda inputs: 1, options) == [1, 1]
    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"


def test_results_are_printed_unless_told_otherwise(options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    seen_by(lambda inputs: 1, options, name="quiet")
    assert capsys.readouterr().out == ""
    del options["print_results"]
    seen_by(lambda inputs: 1, options, name="loud")
    assert capsys.readouterr().out.startswith("loud\ncompleted · 2 passed · 0 failed\n")


def test_without_a_function_the_error_says_what_to_give() -> None:
    with pytest.raises(ConfigurationError, match=r"evaluate\(function, dataset=\[…\]\)"):
        old_calls.evaluate(dataset=NEW)


def test_old_run_metrics_are_the_body_of_the_result(server: FaultServer, options: dict[str, Any]) -> None:
    seen_by(lambda inputs: 1, options)
    run_id = list(server.runs)[-1]
    with pytest.warns(DeprecationWarning, match="project_id='p' is ignored") as caught:
        body = old_calls.get_run_metrics(Settings(server.url, KEY), run_id, "p")
    assert caught[0].filename == __file__
    assert body["status"] == "completed"
    assert body["metrics"]["aggregation_function"] == "average"
