"""Summaries, watched runs, many runs, trends and single datapoints by REST: shapes, refusals, isolation, ETags."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.api import many_runs_shapes as shapes
from experiments.models import Run
from experiments.services.event_writer import bump_revisions
from tests.experiments.executed import make_datapoint_runs, make_experiment
from tests.experiments.factories import make_run, make_session
from tests.factories import make_client, make_project, make_token


@pytest.fixture
def runs(project):
    made = [make_run(project, name=name, run_key=name) for name in ("old", "new", "newer")]
    for place, run in enumerate(made):
        for number in range(6):
            scores = {"score": 0.3 + 0.1 * place + number / 100, "ok": number > place}
            make_session(project, run.run_key, f"d{number}", metrics=scores)
    return made


def matches(found, shape):
    """Whether an answer has exactly the fields of its shape, inside as well."""
    fields = shape().fields if isinstance(shape, type) else shape.fields
    required = {name for name, field in fields.items() if field.required}
    assert required <= set(found) <= set(fields), set(found) ^ set(fields)
    for name, field in fields.items():
        value = found.get(name)
        if hasattr(field, "fields") and value is not None:
            matches(value, field)
        elif hasattr(field, "child") and hasattr(field.child, "fields"):
            for item in value or []:
                matches(item, field.child)


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("runs/new/metrics-summary", shapes.RunSummaryOut),
        ("runs/new/watch?baseline=old", shapes.WatchedRunOut),
        ("comparisons?baseline=old&run=new&run=newer&all_pairs=true", shapes.RunComparisonsOut),
        ("trends?metric=score", shapes.TrendOut),
        ("runs/new/compare/old/datapoints", shapes.DatapointsInBothOut),
        ("runs/new/compare/old/datapoints/d1", shapes.SideBySideOut),
    ],
)
def test_answers_have_exactly_the_fields_of_their_shapes(api, runs, path, shape):
    answer = api.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.content
    matches(answer.json(), shape)


def test_a_watched_run_has_the_fields_of_its_shape(api, project):
    experiment = make_experiment(project)
    Run.objects.filter(pk=experiment.run_id).update(metadata={"bounds": {"score": [0, 1]}})
    rows = make_datapoint_runs(experiment, "completed", "completed", "pending")
    old = make_run(project, metadata={"bounds": {"score": [0, 1]}})
    for row in rows:
        for key in (experiment.run.run_key, old.run_key):
            make_session(project, key, row.datapoint_key, metrics={"score": 0.5})
    found = api.get(f"/api/v1/runs/{experiment.run.run_key}/watch?baseline={old.run_key}").json()
    matches(found, shapes.WatchedRunOut)
    assert (found["prefix"], len(found["metrics"]), len(found["baseline"]["metrics"])) == (2, 1, 1)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("comparisons?run=new", "baseline"),
        ("comparisons?baseline=old", "run"),
        ("comparisons?baseline=old&run=old", "run"),
        ("comparisons?baseline=old" + "".join(f"&run=r{number}" for number in range(9)), "run"),
        ("comparisons?baseline=old&run=new&all_pairs=yes", "all_pairs"),
        ("comparisons?baseline=old&run=new&correction=none", "correction"),
        ("comparisons?baseline=old&run=new&primary=other", "primary"),
        ("trends", "metric"),
        ("trends?metric=score&limit=201", "limit"),
        ("trends?metric=score&name=x", "name"),
        ("runs/new/metrics-summary?confidence=2", "confidence"),
        ("runs/new/metrics-summary?metric=score", "metric"),
        ("runs/new/watch?confidence=x", "confidence"),
        ("runs/new/compare/old/datapoints?outcome=draw", "outcome"),
        ("runs/new/compare/old/datapoints?limit=0", "limit"),
        ("runs/new/compare/old/datapoints?metric=other", "metric"),
        ("runs/new/compare/old/datapoints/d1?session=x", "session"),
    ],
)
def test_wrong_parameters_are_refused_by_name(api, runs, path, field):
    answer = api.get(f"/api/v1/{path}")
    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["details"]["field"] == field


@pytest.mark.parametrize(
    "path",
    [
        "runs/new/metrics-summary",
        "runs/new/watch",
        "comparisons?baseline=old&run=new",
        "runs/new/compare/old/datapoints",
        "runs/new/compare/old/datapoints/d1",
    ],
)
def test_runs_of_other_projects_are_not_found(runs, path):
    stranger = make_client(make_token(make_project()))
    assert stranger.get(f"/api/v1/{path}").status_code == 404
    assert stranger.get("/api/v1/trends?metric=score").json()["points"] == []


@pytest.mark.parametrize(
    "path", ["runs/new/metrics-summary", "comparisons?baseline=old&run=new", "runs/new/compare/old"]
)
def test_answers_are_kept_until_a_run_changes(api, runs, project, path):
    api.get("/api/v1/runs")  # the first use of a key is noted
    with CaptureQueriesContext(connection) as cold:
        first = api.get(f"/api/v1/{path}")
    with CaptureQueriesContext(connection) as kept:
        second = api.get(f"/api/v1/{path}")
    assert second.content == first.content
    assert len(kept) < len(cold)
    assert not any("measurement" in query["sql"] for query in kept)
    assert api.get(f"/api/v1/{path}", headers={"if-none-match": first["ETag"]}).status_code == 304
    make_session(project, "new", "d9", metrics={"score": 0.9})
    bump_revisions(project_id=project.pk, run_keys=["new"])
    third = api.get(f"/api/v1/{path}", headers={"if-none-match": first["ETag"]})
    assert (third.status_code, third["ETag"] != first["ETag"]) == (200, True)
    assert third.content != first.content


@pytest.mark.parametrize(
    "path", ["comparisons?baseline=old{n}&run=new{n}", "runs/new{n}/metrics-summary", "runs/new{n}/watch"]
)
def test_queries_do_not_grow_with_datapoints(api, project, path):
    api.get("/api/v1/runs")
    counts = []
    for size in (1, 30):
        for name in ("old", "new"):
            make_run(project, run_key=f"{name}{size}")
            for number in range(size):
                make_session(project, f"{name}{size}", f"d{number}", metrics={"score": number})
        with CaptureQueriesContext(connection) as queries:
            assert api.get(f"/api/v1/{path.format(n=size)}").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
