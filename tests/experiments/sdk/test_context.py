"""ExperimentContext, as the official client and as the specification call it."""

import pytest

from experiments import ExperimentContext


def test_both_orders_of_ids_and_names_are_taken():
    official = ExperimentContext("run", "EXT-d", run_name="n", metadata={"a": 1})
    specified = ExperimentContext("run", "project", "EXT-d")
    named = ExperimentContext(run_id="run", project="project", dataset_id="EXT-d")
    mixed = ExperimentContext("run", "project", dataset_id="EXT-d")
    assert (official.project, official.dataset_id, official.run_name) == (None, "EXT-d", "n")
    for context in (specified, named, mixed):
        assert (context.project, context.dataset_id, context.source) == ("project", "EXT-d", "evaluation")


def test_the_tracer_gets_the_four_ids():
    config = ExperimentContext("run", "EXT-d", metadata={"a": 1}).to_tracer_config("EXT-1")
    assert config == {
        "project": None,
        "source": "evaluation",
        "is_evaluation": True,
        "run_id": "run",
        "dataset_id": "EXT-d",
        "datapoint_id": "EXT-1",
        "metadata": {"a": 1},
    }


def test_an_external_dataset_moves_to_the_metadata_of_the_request():
    external = ExperimentContext("run", "EXT-d", metadata={"a": 1}).to_run_request("name")
    stored = ExperimentContext("run", "d1").to_run_request("name", status="pending")
    assert (external.dataset_id, external.metadata) == (None, {"a": 1, "offline_dataset_id": "EXT-d"})
    assert (external.run_id, external.name, external.status) == ("run", "name", "running")
    assert (stored.dataset_id, stored.metadata, stored.status) == ("d1", {}, "pending")


def test_a_context_without_dataset_or_with_too_many_ids_is_refused():
    with pytest.raises(ValueError, match="needs a dataset_id"):
        ExperimentContext("run")
    with pytest.raises(TypeError, match=r"\(run_id, dataset_id\)"):
        ExperimentContext("run", "a", "b", "c")
