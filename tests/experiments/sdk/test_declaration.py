"""`@experiment`: a declared experiment stays the function it stands above."""

import inspect

from experiments.sdk.declaration import Experiment, experiment
from tests.experiments.sdk.fault_server import FaultServer


@experiment(dataset=[{"inputs": {"n": 2}}], name="doubles", max_workers=3)
def double(inputs):
    """Twice as much."""
    return {"n": inputs["n"] * 2}


@experiment
def bare(inputs):
    return inputs


def test_a_declared_experiment_is_called_like_its_function():
    assert double({"n": 4}) == {"n": 8}
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
    assert list(inspect.signature(double).parameters) == ["inputs"]
    assert isinstance(bare, Experiment)
    assert bare.settings == {}
    assert bare({"n": 1}) == {"n": 1}


def test_it_runs_with_its_settings_and_what_is_given_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("HH_SPOOL_DIR", str(tmp_path))
    with FaultServer() as server:
        result = double.run(name="other", server_url=server.url, api_key="any", progress=False)

    run = server.runs[result.run_id]
    assert (run["name"], run["configuration"]["max_workers"], run["status"]) == ("other", 3, "completed")
    assert [session["outputs"] for session in server.sessions.values()] == [{"n": 4}]
    assert double.settings["name"] == "doubles"
