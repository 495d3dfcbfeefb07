"""The protocol's two endpoints that make typed API keys (wire contract, section 2.7)."""

import datetime as dt
from typing import Any

from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from pydantic import BaseModel

from experiments.honeyhive_api.door import Call, endpoint, resource
from governance.domain.actions import Action, KeyKind
from governance.domain.errors import InvalidInput, NotFound
from governance.services import api_keys


class IngestionKeyRequest(BaseModel):
    name: str
    description: str | None = None


class DataPlaneKeyRequest(BaseModel):
    name: str
    permissions: list[str]
    expires_at: str
    description: str | None = None


def _require_own_project(call: Call, project_id: str) -> None:
    if project_id != call.caller.project_public_id:
        raise NotFound(f"Project {project_id!r} does not exist.", field="project_id", value=project_id[:64])


def _moment(text: str) -> dt.datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise InvalidInput(
            f"Field 'expires_at' is {text[:40]!r}; give an ISO 8601 date and time.",
            field="expires_at",
            value=text[:200],
        )
    return timezone.make_aware(moment, dt.UTC) if timezone.is_naive(moment) else moment


@endpoint(Action.KEYS_WRITE)
def create_ingestion_key(call: Call, project_id: str) -> dict[str, Any]:
    """A key that may only write events. `key_value` is never readable again."""
    _require_own_project(call, project_id)
    wanted = call.parse(IngestionKeyRequest)
    key, token = api_keys.issue_key(
        caller=call.caller, kind=KeyKind.INGESTION, name=wanted.name, description=wanted.description or ""
    )
    data = {
        "key_value": token,
        "key_id": key.public_id,
        "name": key.name,
        "description": key.description or None,
        "root_scope_type": "project",
        "root_scope_id": call.caller.project_public_id,
    }
    return {"success": True, "data": data}


@endpoint(Action.KEYS_WRITE)
def create_data_plane_key(call: Call, project_id: str) -> dict[str, Any]:
    """A key for paths below /v1/projects/{project_id}/ with the permissions asked for; an empty list is refused."""
    _require_own_project(call, project_id)
    wanted = call.parse(DataPlaneKeyRequest)
    if not wanted.permissions:
        raise InvalidInput("Field 'permissions' is empty; name at least one.", field="permissions")
    key, token = api_keys.issue_key(
        caller=call.caller,
        kind=KeyKind.DATA_PLANE,
        name=wanted.name,
        description=wanted.description or "",
        scopes=wanted.permissions,
        expires_at=_moment(wanted.expires_at),
    )
    data = {
        "key_value": token,
        "key_id": key.public_id,
        "permissions": key.scopes,
        "root_scope_type": "project",
        "root_scope_id": call.caller.project_public_id,
        "expires_at": key.expires_at.isoformat() if key.expires_at else "",
    }
    return {"success": True, "data": data}


urlpatterns: list[URLPattern] = [
    path("v1/projects/<str:project_id>/ingestion_api_keys", resource(POST=create_ingestion_key)),
    path("v1/projects/<str:project_id>/fine_grained_api_keys", resource(POST=create_data_plane_key)),
]
