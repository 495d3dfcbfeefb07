"""Runs of the HoneyHive protocol: create, list, read, update, delete."""

import datetime as dt
from typing import Any

from django.urls import URLPattern, path

from experiments.domain.filters import parse_time_range
from experiments.domain.run_status import RunStatus
from experiments.domain.wire_runs import RunBody, RunUpdateBody, unwrapped, wire_run
from experiments.honeyhive_api.door import Call, endpoint, loose_value, resource
from experiments.models import Run
from experiments.selectors import runs as selectors
from experiments.services import runs as services
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_PAGE = 10**9
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _shown(call: Call, run: Run) -> dict[str, Any]:
    return wire_run(run, scope_id=call.caller.project_public_id)


@endpoint(Action.RUNS_WRITE)
def create_run(call: Call) -> dict[str, Any]:
    run = services.create_run(caller=call.caller, body=call.parse(RunBody, unwrapped(call.body)))
    return {"evaluation": _shown(call, run), "run_id": run.run_key}


@endpoint(Action.RUNS_READ)
def get_run(call: Call, run_id: str) -> dict[str, Any]:
    return {"evaluation": _shown(call, selectors.get_run(caller=call.caller, run_key=run_id))}


@endpoint(Action.RUNS_WRITE)
def update_run(call: Call, run_id: str) -> dict[str, Any]:
    body = call.parse(RunUpdateBody, unwrapped(call.body))
    return {"evaluation": _shown(call, services.update_run(caller=call.caller, run_key=run_id, body=body))}


@endpoint(Action.RUNS_WRITE)
def delete_run(call: Call, run_id: str) -> dict[str, Any]:
    run = services.delete_run(caller=call.caller, run_key=run_id)
    return {"id": run.run_key, "deleted": True}


@endpoint(Action.RUNS_READ)
def list_runs(call: Call) -> dict[str, Any]:
    query = _query(call)
    page = selectors.list_runs(caller=call.caller, query=query)
    pages = -(-page.total // query.limit)
    return {
        "evaluations": [_shown(call, run) for run in page.runs],
        "pagination": {
            "page": query.page,
            "limit": query.limit,
            "total": page.total,
            "total_unfiltered": page.total_unfiltered,
            "total_pages": pages,
            "has_next": query.page < pages,
            "has_prev": query.page > 1,
        },
        "metrics": page.metric_names,
    }


def _query(call: Call) -> selectors.RunQuery:
    keys = call.texts("run_ids")
    raw = loose_value(call.query.get("dateRange", ""))
    span = parse_time_range(raw if isinstance(raw, dict) else None)
    order = _choice(call, "sort_order", ("asc", "desc"), "desc")
    return selectors.RunQuery(
        dataset_id=call.query.get("dataset_id") or None,
        run_keys=keys,
        name=call.query.get("name") or None,
        status=_choice(call, "status", tuple(RunStatus), "") or None,
        since=_moment(span.since),
        until=_moment(span.until),
        sort_by=_choice(call, "sort_by", selectors.SORTABLE, "created_at"),
        descending=order == "desc",
        # Whoever names runs wants them all: the official client then sends no page and no limit.
        limit=call.whole_number("limit", MAX_LIMIT if keys else DEFAULT_LIMIT, MAX_LIMIT),
        page=call.whole_number("page", 1, MAX_PAGE),
    )


def _moment(epoch_ms: float | None) -> dt.datetime | None:
    if epoch_ms is None:
        return None
    try:
        return _EPOCH + dt.timedelta(milliseconds=epoch_ms)
    except OverflowError:
        raise InvalidInput(
            f"Field 'dateRange': {epoch_ms} lies outside the years 1 to 9999.", field="dateRange"
        ) from None


def _choice(call: Call, name: str, allowed: tuple[str, ...], default: str) -> str:
    text = call.query.get(name)
    if not text:
        return default
    if text not in allowed:
        raise InvalidInput(
            f"Field {name!r}: {text[:100]!r} is unknown; use one of {', '.join(allowed)}.", field=name, value=text[:100]
        )
    return text


urlpatterns: list[URLPattern] = [
    path("v1/runs", resource(GET=list_runs, POST=create_run)),
    path("v1/runs/<str:run_id>", resource(GET=get_run, PUT=update_run, DELETE=delete_run)),
]
