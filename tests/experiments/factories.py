"""Plain factories of what the tests of experiments start from. Rows are written as ingestion writes them."""

import datetime as dt
import itertools
import uuid
from typing import Any

from django.utils import timezone

from experiments.domain.run_status import TERMINAL
from experiments.models import Event, Measurement, Metric, Run
from governance.models import Project

_numbers = itertools.count(1)
T0 = 1_700_000_000_000.0


def make_run(project: Project, **fields: Any) -> Run:
    """A run as a client would have left it: `completed` unless said otherwise."""
    status = fields.setdefault("status", "completed")
    fields.setdefault("run_key", f"run-{next(_numbers)}")
    fields.setdefault("finished_at", timezone.now() if status in TERMINAL else None)
    return Run.objects.create(project=project, **fields)


def make_metric(project: Project, name: str, **fields: Any) -> Metric:
    """A project metric, PYTHON and float unless said otherwise."""
    return Metric.objects.create(project=project, name=name, **{"type": "PYTHON", **fields})


def make_event(project: Project, *, session: uuid.UUID, **fields: Any) -> Event:
    """One event with its measurements. `run`, `datapoint` and `parent` fill the columns of their names."""
    number = next(_numbers)
    key = fields.pop("key", None) or uuid.uuid4()
    run_key, datapoint = fields.pop("run", None), fields.pop("datapoint", None)
    metrics = fields.pop("metrics", {})
    start = fields.pop("start_time", T0 + number)
    metadata = {"run_id": run_key, "datapoint_id": datapoint}
    event = Event.objects.create(
        project=project,
        event_key=key,
        session_key=session,
        parent_key=fields.pop("parent", None if key == session else session),
        run_key=run_key,
        datapoint_key=datapoint,
        metadata={name: value for name, value in metadata.items() if value is not None},
        metrics=metrics,
        start_time=start,
        end_time=start + 1,
        duration=1.0,
        **{"event_type": "chain", "event_name": "fn", "source": "evaluation", **fields},
    )
    Measurement.objects.bulk_create(
        Measurement(
            project=project,
            event_key=key,
            name=name,
            value=float(value),
            is_boolean=isinstance(value, bool),
            session_key=session,
            run_key=run_key,
            event_name=event.event_name,
            event_type=event.event_type,
        )
        for name, value in metrics.items()
        if isinstance(value, int | float)
    )
    return event


def make_session(
    project: Project,
    run: str | None,
    datapoint: str | None = None,
    *,
    metrics: dict[str, Any] | None = None,
    session_metrics: dict[str, Any] | None = None,
    error: str | None = None,
    session_error: str | None = None,
    function: str | None = "fn",
    event_type: str = "chain",
    start_time: float | None = None,
) -> str:
    """A session event and (unless `function` is None) the event of the function below it; the session's id."""
    key = uuid.uuid4()
    start = T0 + next(_numbers) if start_time is None else start_time
    shared = {"session": key, "run": run, "datapoint": datapoint}
    make_event(
        project,
        key=key,
        event_type="session",
        event_name="a run's name",
        metrics=session_metrics or {},
        error=session_error,
        start_time=start,
        **shared,
    )
    if function is not None:
        make_event(
            project,
            event_name=function,
            event_type=event_type,
            metrics=metrics or {},
            error=error,
            start_time=start + 0.25,
            **shared,
        )
    return str(key)


def moment(text: str) -> dt.datetime:
    """A time in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
