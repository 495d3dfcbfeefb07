"""Sessions of the HoneyHive protocol: start, read as a tree, delete, add events."""

import uuid
from typing import Any

from django.urls import URLPattern, path

from experiments.domain.session_tree import build_tree
from experiments.domain.wire_events import BatchBody, SessionBody, SessionTracesBody
from experiments.honeyhive_api.door import Call, endpoint, resource
from experiments.selectors import events as event_selectors
from experiments.services import events as event_services
from experiments.services import sessions as session_services
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput
from governance.domain.json_bodies import decode_json

# The protocol wants these two non-null; this installation has neither organisations nor workspaces.
SCOPE = {"org_id": "hhweb", "workspace_id": "hhweb"}


def _session_of(body: Any) -> Any:
    """The session object: wrapped or bare, as an object or as JSON text of one."""
    session = body.get("session", body) if isinstance(body, dict) else body
    if isinstance(session, str):
        try:
            session = decode_json(session.encode())
        except InvalidInput as error:
            raise InvalidInput(f"Field 'session' is text, read as JSON: {error.message}", field="session") from None
    if not isinstance(session, dict):
        raise InvalidInput("Field 'session' must be an object.", field="session", value=str(session)[:200])
    return session


def key_of(text: str, name: str) -> uuid.UUID:
    """The UUID in a path, or 400 naming it."""
    key = event_selectors.as_uuid(text)
    if key is None:
        raise InvalidInput(f"Field {name!r}: {text[:200]!r} is not a UUID.", field=name, value=text[:200])
    return key


@endpoint(Action.EVENTS_WRITE)
def start_session(call: Call) -> dict[str, Any]:
    if not isinstance(call.body, dict) or call.body.get("session") is None:
        raise InvalidInput("Field 'session' is missing; send {\"session\": {…}}.", field="session")
    return _start(call)


@endpoint(Action.EVENTS_WRITE)
def start_bare_session(call: Call) -> dict[str, Any]:
    return _start(call)


def _start(call: Call) -> dict[str, Any]:
    body = call.parse(SessionBody, _session_of(call.body))
    return {**session_services.start_session(caller=call.caller, session=body), **SCOPE}


@endpoint(Action.EVENTS_WRITE)
def add_traces(call: Call, session_id: str) -> dict[str, Any]:
    body = call.parse(SessionTracesBody)
    events = [*(body.events or []), *(body.logs or [])]
    event_services.create_events(caller=call.caller, events=events, session_key=key_of(session_id, "session_id"))
    return {"success": True}


@endpoint(Action.EVENTS_WRITE)
def add_events(call: Call, session_id: str) -> dict[str, Any]:
    events = call.parse(BatchBody).events
    event_services.create_events(caller=call.caller, events=events, session_key=key_of(session_id, "session_id"))
    return {"success": True}


@endpoint(Action.EVENTS_READ)
def get_session(call: Call, session_id: str) -> dict[str, Any]:
    return build_tree(event_selectors.get_session_events(caller=call.caller, session_id=session_id))


# Reading is required too, so that an ingestion key cannot delete; the service asks for writing.
@endpoint(Action.EVENTS_READ, json_body=False)
def delete_session(call: Call, session_id: str) -> dict[str, Any]:
    deleted = session_services.delete_session(caller=call.caller, session_id=session_id)
    return {"success": True, "deleted": session_id.lower(), "deleted_events": deleted}


urlpatterns: list[URLPattern] = [
    path("session/start", resource(POST=start_session)),
    path("session/<str:session_id>/traces", resource(POST=add_traces)),
    path("v1/sessions", resource(POST=start_bare_session)),
    path("v1/sessions/<str:session_id>/events/batch", resource(POST=add_events)),
    path("v1/sessions/<str:session_id>", resource(GET=get_session, DELETE=delete_session)),
]
