"""Events of the HoneyHive protocol: create, update, read, export, search, schema, comparison."""

from typing import Any

from django.http import HttpRequest
from django.urls import URLPattern, path

from experiments.domain.event_merge import event_update
from experiments.domain.filters import TimeRange, parse_filters, parse_time_range
from experiments.domain.wire_events import (
    EVENT_TYPES,
    MAX_PAGE,
    BatchBody,
    BatchOptions,
    EventBody,
    EventQueryBody,
    EventUpdateBody,
    LegacyEventUpdateBody,
    LooseBatchBody,
    LooseEventBody,
    ModelBatchBody,
    ModelEventRequest,
)
from experiments.honeyhive_api.door import Call, endpoint, loose_value, resource
from experiments.honeyhive_api.sessions import key_of
from experiments.selectors import event_comparison, event_schemas
from experiments.selectors import events as selectors
from experiments.services import events as services
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput

MAX_COMPARED = 1000


def client_timestamp(request: HttpRequest) -> int | None:
    """Nanoseconds of `hh-client-timestamp`; anything but a positive 64-bit integer counts as absent."""
    text = request.headers.get("hh-client-timestamp", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63 else None


# --- writes


def _created(call: Call, body: LooseEventBody) -> dict[str, Any]:
    keys, _ = services.create_events(caller=call.caller, events=[body])
    return {"success": True, "event_id": keys[0]}


@endpoint(Action.EVENTS_WRITE)
def create_event(call: Call) -> dict[str, Any]:
    if not isinstance(call.body, dict) or not isinstance(call.body.get("event"), dict):
        raise InvalidInput("Field 'event' must be an object with event_type and inputs.", field="event")
    return _created(call, call.parse(EventBody, call.body["event"]))


@endpoint(Action.EVENTS_WRITE)
def create_bare_event(call: Call) -> dict[str, Any]:
    wrapped = isinstance(call.body, dict) and "event_type" not in call.body and isinstance(call.body.get("event"), dict)
    return _created(call, call.parse(EventBody, call.body["event"] if wrapped else call.body))


@endpoint(Action.EVENTS_WRITE)
def create_model_event(call: Call) -> dict[str, Any]:
    return _created(call, call.parse(ModelEventRequest).model_event.as_event())


def _created_batch(call: Call, options: BatchOptions, events: list[LooseEventBody]) -> dict[str, Any]:
    keys, session_key = services.create_events(
        caller=call.caller, events=events, single_session=options.is_one_session, properties=options.properties
    )
    answer: dict[str, Any] = {"success": True, "event_ids": keys}
    if session_key is not None:
        answer["session_id"] = session_key
    return answer


@endpoint(Action.EVENTS_WRITE)
def create_loose_batch(call: Call) -> dict[str, Any]:
    body = call.parse(LooseBatchBody)
    return _created_batch(call, body, body.events)


@endpoint(Action.EVENTS_WRITE)
def create_batch(call: Call) -> dict[str, Any]:
    body = call.parse(BatchBody)
    return _created_batch(call, body, list(body.events))


@endpoint(Action.EVENTS_WRITE)
def create_model_batch(call: Call) -> dict[str, Any]:
    body = call.parse(ModelBatchBody)
    return _created_batch(call, body, [event.as_event() for event in body.model_events])


@endpoint(Action.EVENTS_WRITE)
def update_event(call: Call) -> dict[str, Any]:
    body = call.parse(LegacyEventUpdateBody)
    update = event_update(body.model_dump(exclude={"event_id"}), client_timestamp=client_timestamp(call.request))
    services.update_event(caller=call.caller, event_key=body.event_id, update=update)
    return {"success": True, "event_id": body.event_id}


@endpoint(Action.EVENTS_WRITE)
def update_event_by_id(call: Call, event_id: str) -> dict[str, Any]:
    key = key_of(event_id, "event_id")
    body = call.parse(EventUpdateBody)
    update = event_update(body.model_dump(), client_timestamp=client_timestamp(call.request))
    services.update_event(caller=call.caller, event_key=key, update=update)
    return {"success": True, "event_id": key}


# --- reads


@endpoint(Action.EVENTS_READ)
def get_event(call: Call, event_id: str) -> dict[str, Any]:
    event = selectors.get_event(caller=call.caller, event_id=event_id)
    return {"event": event, "event_id": event["event_id"]}


@endpoint(Action.EVENTS_READ)
def find_events(call: Call) -> dict[str, Any]:
    body = call.parse(EventQueryBody)
    query = selectors.EventQuery(
        conditions=parse_filters(body.filters),
        time_range=parse_time_range(body.date_range),
        run_key=body.evaluation_id,
        limit=body.limit,
        page=body.page,
        projections=body.projections,
    )
    page = selectors.find_events(caller=call.caller, query=query)
    return {"events": page.events, "totalEvents": page.total, "count": page.total}


def _time_range(call: Call) -> TimeRange:
    """`dateRange` of a query string; what is no object is ignored, as the protocol wants."""
    raw = loose_value(call.query.get("dateRange", ""))
    return parse_time_range(raw if isinstance(raw, dict) else None)


@endpoint(Action.EVENTS_READ)
def event_schema(call: Call) -> dict[str, Any]:
    run_key = call.query.get("evaluation_id") or None
    return event_schemas.event_schema(caller=call.caller, time_range=_time_range(call), run_key=run_key)


@endpoint(Action.RUNS_READ)
def runs_schema(call: Call) -> dict[str, Any]:
    return event_schemas.runs_schema(caller=call.caller, time_range=_time_range(call))


@endpoint(Action.RUNS_READ)
def run_schema(call: Call, run_id: str) -> dict[str, Any]:
    return event_schemas.run_schema(caller=call.caller, run_key=run_id, time_range=_time_range(call))


def _required(call: Call, name: str) -> str:
    value = call.query.get(name)
    if not value:
        raise InvalidInput(f"Field {name!r} is missing; send it as a query parameter.", field=name)
    return value


@endpoint(Action.RUNS_READ)
def compare_events(call: Call) -> dict[str, Any]:
    return _compared(call, new=_required(call, "run_id_1"), old=_required(call, "run_id_2"))


@endpoint(Action.RUNS_READ)
def compare_events_of(call: Call, new: str, old: str) -> dict[str, Any]:
    return _compared(call, new=new, old=old)


def _compared(call: Call, *, new: str, old: str) -> dict[str, Any]:
    raw = [loose_value(text) for text in call.texts("filter")]
    conditions = [
        c for item in raw if isinstance(item, dict | list) and item for c in parse_filters(item, name="filter")
    ]
    query = event_comparison.ComparisonQuery(
        new_run_key=new,
        old_run_key=old,
        event_type=call.query.get("event_type") or None,
        event_name=call.query.get("event_name") or None,
        conditions=tuple(conditions),
        limit=call.whole_number("limit", MAX_COMPARED, MAX_COMPARED),
        page=call.whole_number("page", 1, MAX_PAGE),
    )
    if query.event_type is not None and query.event_type not in EVENT_TYPES:
        raise InvalidInput(
            f"Field 'event_type': {query.event_type!r} is unknown; use one of {', '.join(EVENT_TYPES)}.",
            field="event_type",
            value=query.event_type,
        )
    pairs, total = event_comparison.compare_events(caller=call.caller, query=query)
    return {"events": pairs, "totalEvents": total}


urlpatterns: list[URLPattern] = [
    path("events", resource(POST=create_event, PUT=update_event)),
    path("events/batch", resource(POST=create_loose_batch)),
    path("events/model", resource(POST=create_model_event)),
    path("events/model/batch", resource(POST=create_model_batch)),
    path("v1/events", resource(POST=create_bare_event, PUT=update_event)),
    path("v1/events/batch", resource(POST=create_batch)),
    path("v1/events/model", resource(POST=create_model_event)),
    path("v1/events/model/batch", resource(POST=create_model_batch)),
    path("v1/events/export", resource(POST=find_events)),
    path("v1/events/search", resource(POST=find_events)),
    path("v1/events/schema", resource(GET=event_schema)),
    path("v1/events/<str:event_id>", resource(GET=get_event, PUT=update_event_by_id)),
    # Before the runs' own routes: `schema` and `compare` are not run ids.
    path("v1/runs/schema", resource(GET=runs_schema)),
    path("v1/runs/compare/events", resource(GET=compare_events)),
    path("v1/runs/<str:run_id>/schema", resource(GET=run_schema)),
    path("v1/runs/<str:new>/compare/<str:old>/events", resource(GET=compare_events_of)),
]
