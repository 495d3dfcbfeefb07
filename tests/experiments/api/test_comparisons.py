"""`/api/v1/runs/{new}/compare/{old}`: its parameters, its refusals, its queries."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.api.comparison_shapes import RunComparisonOut
from governance.domain.actions import KeyKind
from tests.experiments.factories import make_run, make_session
from tests.factories import make_client, make_project, make_token


def two_runs(project, datapoints=5):
    runs = [make_run(project, name=name) for name in ("old", "new")]
    for place, run in enumerate(runs):
        for number in range(datapoints):
            make_session(project, run.run_key, f"d{number}", metrics={"accuracy": 0.5 + 0.1 * place + number / 100})
    return runs


def test_the_answer_has_exactly_the_fields_of_its_schema(api, project):
    old, new = two_runs(project)
    answer = api.get(f"/api/v1/runs/{new.run_key}/compare/{old.run_key}")
    assert answer.status_code == 200
    found = answer.json()
    shapes = RunComparisonOut()
    assert set(found) == set(shapes.fields)
    for name in ("new_run", "pass_rates", "crashed_datapoints"):
        assert set(found[name]) == set(shapes.fields[name].fields)
    metric = found["metrics"][0]
    assert set(metric) == set(shapes.fields["metrics"].child.fields)
    assert set(metric["statistics"]) == set(shapes.fields["metrics"].child.fields["statistics"].fields)
    assert set(metric["improved_most"][0]) == {"datapoint_id", "old", "new", "difference"}
    assert (found["new_run"]["run_id"], found["confidence"]) == (new.run_key, 0.95)
    assert (metric["statistics"]["alpha"], metric["statistics"]["interval_level"]) == (0.05, 0.95)


def test_parameters_reach_the_engine(api, project):
    old, new = two_runs(project)
    query = {"confidence": "0.9", "margin": ["a=b=0.5", "accuracy=0.02"], "aggregate_function": "max"}
    found = api.get(f"/api/v1/runs/{new.run_key}/compare/{old.run_key}", query).json()
    metric = found["metrics"][0]
    assert (metric["statistics"]["interval_level"], metric["statistics"]["margin"]) == (0.9, 0.02)
    assert metric["new_aggregate"] == pytest.approx(0.64)
    assert found["warnings"] == ["The margin of 'a=b' is not used: the runs do not both have that metric."]


@pytest.mark.parametrize(
    "query",
    [
        {"confidence": "0.4999"},
        {"confidence": "nan"},
        {"confidence": "much"},
        {"margin": "0.02"},
        {"margin": "accuracy=0"},
        {"margin": "accuracy=inf"},
        {"margin": ["accuracy=1", "accuracy=2"]},
        {"margin": [f"m{n}=1" for n in range(101)]},
        {"aggregate_function": "mode"},
        {"margins": "accuracy=1"},
    ],
)
def test_wrong_parameters_are_refused_by_name(api, project, query):
    old, new = two_runs(project, datapoints=1)
    answer = api.get(f"/api/v1/runs/{new.run_key}/compare/{old.run_key}", query)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == next(iter(query))


def test_unknown_and_foreign_runs_are_not_found(api, project):
    old, new = two_runs(project, datapoints=1)
    for path in (f"{new.run_key}/compare/none", f"none/compare/{old.run_key}"):
        answer = api.get(f"/api/v1/runs/{path}")
        assert (answer.status_code, answer.json()["error"]["details"]["value"]) == (404, "none")
    other = make_client(make_token(make_project()))
    assert other.get(f"/api/v1/runs/{new.run_key}/compare/{old.run_key}").status_code == 404
    writer = make_client(make_token(project, kind=KeyKind.INGESTION))
    assert writer.get(f"/api/v1/runs/{new.run_key}/compare/{old.run_key}").status_code == 403


def test_a_comparison_takes_as_many_queries_for_forty_datapoints_as_for_one(api, project):
    counts = []
    api.get("/api/v1/runs")  # the first use of a key is noted
    for datapoints in (1, 40):
        old, new = two_runs(project, datapoints=datapoints)
        with CaptureQueriesContext(connection) as queries:
            assert api.get(f"/api/v1/runs/{new.run_key}/compare/{old.run_key}").status_code == 200
        counts.append(len(queries))
    # Key; per side the run, two for its revision, the metrics, the sessions, the measurements.
    assert counts == [13, 13]
