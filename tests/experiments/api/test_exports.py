"""Exports: golden files of every schema, refusals, audit, flat statements, streaming."""

import csv
import datetime as dt
import io
import json
import re
import uuid
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.domain.export_rows import SCHEMAS
from experiments.domain.wire_datasets import DatapointContent
from experiments.models import Datapoint, DatapointRun, Event, Measurement, Run
from experiments.services.datasets import add_rows, create_dataset
from governance.models import AuditEntry
from tests.experiments.executed import make_datapoint_runs, make_experiment, make_version
from tests.factories import make_client, make_project, make_token

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
DOCS = Path(__file__).resolve().parents[3] / "docs" / "exports.md"
AT = "2026-01-02T03:04:05+00:00"


def body_of(answer):
    assert answer.status_code == 200, answer.content
    assert answer.streaming
    return b"".join(answer.streaming_content).decode()


def make_session(project, number, run_key, datapoint, metrics, error=None):
    """A session with one chain event `answer` that carries metrics."""
    session, chain = uuid.UUID(int=number), uuid.UUID(int=number + 1000)
    common = {"project": project, "session_key": session, "run_key": run_key, "datapoint_key": datapoint}
    metadata = {"run_id": run_key, "datapoint_id": datapoint}
    times = {"start_time": 1000.0 + number, "end_time": 1001.5 + number, "duration": 1.5, "source": "evaluation"}
    Event.objects.create(
        **common, **times, event_key=session, event_type="session", event_name="run", metadata=metadata
    )
    Event.objects.create(
        **common,
        **times,
        event_key=chain,
        parent_key=session,
        event_type="chain",
        event_name="answer",
        metadata=metadata,
        inputs={"question": "=1+1", "n": [1, 2.5]},
        outputs={"text": 'say "hi"'},
        metrics=metrics,
        error=error,
    )
    for name, value in metrics.items():
        Measurement.objects.create(
            project=project,
            event_key=chain,
            session_key=session,
            run_key=run_key,
            name=name,
            value=float(value),
            is_boolean=isinstance(value, bool),
            event_name="answer",
            event_type="chain",
        )


@pytest.fixture
def filled(project, caller):
    """A dataset of two datapoints and two runs of three sessions, one crashed, with fixed ids and times."""
    dataset = create_dataset(caller=caller, name="cases")
    contents = [
        DatapointContent(inputs={"q": "-2"}, ground_truth={"a": "+x"}, metadata={"note": "a,b"}),
        DatapointContent(inputs={"q": "grün"}, history=[{"role": "user", "content": "two\nlines"}], linked_event="e"),
    ]
    for number, public_id in enumerate(add_rows(caller=caller, dataset_id=dataset.public_id, contents=contents)):
        Datapoint.objects.filter(public_id=public_id).update(
            public_id=f"datapoint-{number}", created_at=AT, updated_at=AT
        )
    type(dataset).objects.filter(pk=dataset.pk).update(public_id="dataset-1")
    for key, shift in (("old", 0.0), ("new", 0.25)):
        rules = {"passing_ranges": {"score": {"min": 0.3}}}
        ended = {"status": "completed", "finished_at": AT}
        Run.objects.create(project=project, run_key=key, name=key, metadata=rules, **ended)
        start = 1 if key == "old" else 101
        make_session(project, start, key, "EXT-a", {"score": 0.1 + shift, "exact": True})
        make_session(project, start + 1, key, "EXT-b", {"score": 0.5, "exact": False})
        make_session(project, start + 2, key, "EXT-c", {}, error="-boom")
    fill_experiment(project)
    return dataset


def fill_experiment(project):
    """Four executions by the server, one of each kind, with fixed ids and times."""
    version = make_version(project, datapoints=4)
    experiment = make_experiment(project, version=version, run_key="executed", status="completed")
    at = dt.datetime.fromisoformat(AT)
    failure = {"attempt": 1, "error_class": "time_out", "message": "=late", "latency_ms": 100.5, "at": AT}
    ended = {"started_at": at, "finished_at": at + dt.timedelta(seconds=2)}
    rows = make_datapoint_runs(
        experiment,
        {"status": "completed", **ended},
        {"status": "failed", **ended, "attempt_errors": [failure]},
        {"status": "cancelled", "finished_at": ended["finished_at"]},
        {"status": "pending", "attempts": 1, "failures": 1, "error_class": "time_out", "next_attempt_at": at},
    )
    for row in rows:
        DatapointRun.objects.filter(pk=row.pk).update(
            session_key=uuid.UUID(int=2000 + row.rank), datapoint_key=f"datapoint-{row.rank}"
        )


FILES = {
    "dataset": "/api/v1/datasets/dataset-1/export",
    "events": "/api/v1/events/export?run_id=old",
    "run-datapoints": "/api/v1/runs/new/export",
    "run-metrics": "/api/v1/runs/new/export?kind=metrics&aggregate_function=median",
    "comparison": "/api/v1/runs/new/compare/old/export",
    "comparison-statistics": "/api/v1/runs/new/compare/old/export?kind=statistics&margin=score=0.2",
    "datapoint-runs": "/api/v1/experiments/executed/export",
}


def test_every_schema_has_a_golden_file():
    assert {schema.name for schema in SCHEMAS} == set(FILES)


@pytest.mark.parametrize("format", ["csv", "json"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_is_exactly_its_golden_file(api, project, filled, name, format):
    path = FILES[name]
    answer = api.get(f"{path}{'&' if '?' in path else '?'}format={format}")
    text = body_of(answer).replace(project.public_id, "project-1")
    golden = GOLDEN / f"{name}-v1.{format}"
    if not golden.exists():  # a new schema: write it, look at it, commit it
        golden.write_bytes(text.encode())
        pytest.fail(f"{golden.name} was missing and has been written")
    assert text == golden.read_bytes().decode()
    assert answer["X-Hhweb-Schema"] == name
    assert answer["X-Hhweb-Schema-Version"] == "1"
    assert f'filename="hhweb-{name}-v1-' in answer["Content-Disposition"]
    assert answer["Content-Disposition"].endswith(f'.{format}"')
    schema = next(schema for schema in SCHEMAS if schema.name == name)
    if format == "csv":
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        assert tuple(rows[0]) == schema.columns
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(schema.columns)}
    else:
        read = json.loads(text)
        assert (read["schema"], read["schema_version"], read["columns"]) == (name, 1, list(schema.columns))
        assert all(list(read["columns"]) and set(row) == set(schema.columns) for row in read["rows"])


def test_the_document_lists_every_column():
    text = DOCS.read_text()
    for schema in SCHEMAS:
        section = text.partition(f"### `{schema.name}`, version {schema.version}")[2].partition("\n### ")[0]
        assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == schema.columns


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_each_export_is_audited_once_and_refused_to_other_projects(api, filled, path):
    body_of(api.get(path))
    entry = AuditEntry.objects.get(action="export")
    assert entry.after["schema_version"] == 1
    assert entry.after["filters"]
    other = make_client(make_token(make_project()))
    answer = other.get(path)
    if "events" in path:
        assert body_of(answer).count("\r\n") == 1  # the header alone
    else:
        assert answer.status_code == 404
        assert AuditEntry.objects.filter(action="export").count() == 1


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/datasets/dataset-1/export?format=xml", "format"),
        ("/api/v1/runs/new/export?kind=rows", "kind"),
        ("/api/v1/runs/new/export?kind=metrics&aggregate_function=mean", "aggregate_function"),
        ("/api/v1/runs/new/compare/old/export?aggregate_function=mean", "aggregate_function"),
        ("/api/v1/runs/new/compare/old/export?kind=rows", "kind"),
        ("/api/v1/runs/new/compare/old/export?kind=statistics&margin=score", "margin"),
        ("/api/v1/events/export?evnt=1", "evnt"),
    ],
)
def test_wrong_parameters_are_refused_by_name_and_not_audited(api, filled, path, field):
    answer = api.get(path)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"]["field"] == field
    assert not AuditEntry.objects.filter(action="export").exists()


def test_a_key_without_the_right_exports_nothing(project, filled):
    limited = make_client(make_token(project, scopes=["runs.read", "datasets.read", "events.read"]))
    for path in FILES.values():
        assert limited.get(path).status_code == 403
    assert not AuditEntry.objects.filter(action="export").exists()


def test_an_accept_header_does_not_choose_the_file(api, filled):
    answer = api.get(FILES["dataset"], headers={"accept": "text/csv"})
    assert answer["Content-Type"].startswith("text/csv")


def test_events_are_read_in_short_queries_while_they_are_sent(api, project):
    Event.objects.bulk_create(
        [
            Event(
                project=project,
                event_key=uuid.UUID(int=n + 1),
                session_key=uuid.UUID(int=1),
                event_type="tool",
                event_name="x" * 200,
                source="s",
                start_time=float(n // 7),
                end_time=1.0,
                duration=1.0,
            )
            for n in range(1203)
        ]
    )
    with CaptureQueriesContext(connection) as queries:
        answer = api.get("/api/v1/events/export")
        before = len(queries)
        pieces = list(answer.streaming_content)
        assert len(queries) - before == 4  # 500 + 500 + 203 + none
    ids = [row[0] for row in csv.reader(io.StringIO(b"".join(pieces).decode(), newline=""))][1:]
    assert ids == [str(uuid.UUID(int=n + 1)) for n in range(1203)]
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 70_000


def test_a_large_dataset_keeps_its_order(api, caller):
    dataset = create_dataset(caller=caller, name="large")
    ids = add_rows(caller=caller, dataset_id=dataset.public_id, contents=[DatapointContent() for _ in range(1100)])
    text = body_of(api.get(f"/api/v1/datasets/{dataset.public_id}/export"))
    assert [row[1] for row in csv.reader(io.StringIO(text, newline=""))][1:] == ids


def test_executions_are_read_in_short_queries_in_their_order(api, project):
    experiment = make_experiment(project, version=make_version(project, datapoints=2))
    make_datapoint_runs(experiment, *["pending"] * 1003)
    with CaptureQueriesContext(connection) as queries:
        answer = api.get(f"/api/v1/experiments/{experiment.public_id}/export")
        before = len(queries)
        text = body_of(answer)
        assert len(queries) - before == 4  # 500 + 500 + 3 + none
    assert [int(row[1]) for row in list(csv.reader(io.StringIO(text, newline="")))[1:]] == list(range(1003))
