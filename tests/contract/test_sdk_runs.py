"""The official client's run, result, comparison and metric calls, unmodified, against a live server of this process."""

import pytest

honeyhive = pytest.importorskip("honeyhive")

from honeyhive import HoneyHive  # noqa: E402
from honeyhive._generated.api_config import HTTPException  # noqa: E402
from honeyhive.experiments import compare_runs, get_run_metrics, get_run_result  # noqa: E402
from honeyhive.models import (  # noqa: E402
    CreateMetricRequest,
    CreateMetricVersionRequest,
    PostExperimentRunRequest,
    PutExperimentRunRequest,
    UpdateMetricRequest,
)

from tests.experiments.factories import make_session  # noqa: E402

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(live_server, api_key, monkeypatch, settings, tmp_path) -> HoneyHive:
    monkeypatch.setenv("HH_API_TIMEOUT", "30")
    settings.DATA_DIR = tmp_path
    return HoneyHive(api_key=api_key, base_url=live_server.url)


def create(client: HoneyHive, **fields) -> str:
    return client.experiments.create_run(PostExperimentRunRequest(**fields)).run_id


def test_a_runs_life(client) -> None:
    made = client.experiments.create_run(
        PostExperimentRunRequest(name="n", metadata={"a": 1}, dataset_id="EXT-1", configuration={"function": "fn"})
    )
    run_id = made.run_id
    assert made.evaluation.dataset_id == "EXT-1"
    assert made.evaluation.status == "pending"

    updated = client.experiments.update_run(
        run_id, PutExperimentRunRequest(status="completed", metadata={"b": 2}, event_ids=[])
    ).evaluation
    assert (updated.status, updated.metadata) == ("completed", {"a": 1, "b": 2})
    assert client.experiments.get_run(run_id).evaluation == updated
    deleted = client.experiments.delete_run(run_id)
    assert deleted.deleted is True
    with pytest.raises(HTTPException) as refused:
        client.experiments.get_run(run_id)
    assert refused.value.status_code == 404


def test_runs_are_listed_by_part_of_their_name_and_by_ids(client) -> None:
    ids = [create(client, name=f"X_{number}") for number in range(25)]

    named = client.experiments.list_runs(name="X", limit=10, page=3, sort_by="created_at", sort_order="asc")
    listed = client.experiments.list_runs(run_ids=ids, dateRange={"$gte": "2020-01-01", "$lte": "2100-01-01"})

    assert [run.name for run in named.evaluations] == [f"X_{number}" for number in range(20, 25)]
    assert (named.pagination.total, named.pagination.total_pages, named.pagination.has_next) == (25, 3, False)
    assert {run.run_id for run in listed.evaluations} == set(ids)


def test_results_and_comparison_as_the_client_reads_them(client, project) -> None:
    old, new = (create(client, status="completed", configuration={"function": "fn"}) for _ in range(2))
    for run, offset in ((old, 0), (new, 1)):
        make_session(project, run, "EXT-1", metrics={"score": 0.25 + offset, "ok": True, "score_explanation": "why"})
        make_session(project, run, "EXT-2", metrics={"score": 0.5 - offset, "ok": False})
        make_session(project, run, "EXT-3", error="ValueError: boom")

    result = get_run_result(client, new, aggregate_function="max")
    assert (result.status, result.success) == ("completed", False)
    assert (result.passed, result.failed) == (["EXT-1", "EXT-2"], ["EXT-3"])
    assert result.metrics.list_metrics() == ["ok", "score"]
    assert result.metrics.get_metric("score").aggregate == 1.25
    assert [metric.value for metric in result.datapoints[0].metrics] == [True, 1.25]
    result.print_table()
    assert get_run_metrics(client, new)["metrics"]["aggregation_function"] == "average"

    comparison = compare_runs(client, new, old)
    assert comparison.common_datapoints == 3
    assert comparison.list_improved_metrics() == ["score"]
    assert comparison.list_degraded_metrics() == ["score"]
    delta = comparison.get_metric_delta("score")
    assert (delta["found_count"], delta["improved"], delta["degraded"]) == (2, ["EXT-1"], ["EXT-2"])
    document = client.experiments.compare_runs(new, old)
    assert document["metrics"][0]["metric_name"] == "ok"
    # Keys beside the protocol's are no trouble for the client, and hers to read.
    assert document["statistics"]["failures"]["both"] == 1


def test_metrics_and_their_versions(client) -> None:
    metric_id = client.metrics.create(
        CreateMetricRequest(name="tone", type="LLM", criteria="c", return_type="float", scale=5)
    ).metric_id
    assert client.metrics.update(UpdateMetricRequest(id=metric_id, threshold={"min": 3})).updated is True
    (found,) = client.metrics.list()
    assert (found.id, found.threshold, found.scale) == (metric_id, {"min": 3.0}, 5)

    content = {"name": "tone", "type": "LLM", "criteria": "warmer", "filters": {"filterArray": []}}
    version = client.metric_versions.create(metric_id, CreateMetricVersionRequest(message="m", content=content)).data
    assert (version.name, version.deployed) == ("v3", False)
    assert client.metric_versions.deploy(metric_id, "v3").data.deployed is True
    listed = client.metric_versions.list(metric_id).data
    assert [(row.name, row.deployed) for row in listed] == [("v1", False), ("v2", False), ("v3", True)]
    assert client.metrics.list()[0].criteria == "warmer"
    assert client.metrics.delete(metric_id).deleted is True
    assert client.metrics.list() == []
