"""`/v1/configurations…` of the HoneyHive protocol."""

from typing import Any

from django.urls import URLPattern, path

from experiments.domain.wire_configurations import (
    ENVS,
    ConfigurationBody,
    ConfigurationChanges,
    wire_configuration,
)
from experiments.honeyhive_api.door import Call, endpoint, resource
from experiments.selectors import configurations as selectors
from experiments.services import configurations as services
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput


@endpoint(Action.METRICS_READ)
def list_configurations(call: Call) -> dict[str, Any]:
    """All of the project, or those with this name, in this env and with all of these tags."""
    found = selectors.configurations(call.caller)
    if name := call.query.get("name"):
        found = found.filter(name=name)
    env = call.query.get("env")
    if env and env not in ENVS:
        raise InvalidInput(
            f"Field 'env': {env[:100]!r} is unknown; use one of {', '.join(ENVS)}.", field="env", value=env[:100]
        )
    tags = {tag.strip() for text in call.texts("tags") for tag in text.split(",") if tag.strip()}
    # A project has few, and SQLite cannot look into lists.
    rows = [row for row in found if (not env or env in row.env) and tags <= set(row.tags)]
    return {"configurations": [wire_configuration(row) for row in rows]}


@endpoint(Action.METRICS_WRITE)
def create_configuration(call: Call) -> dict[str, Any]:
    configuration = services.create_configuration(caller=call.caller, body=call.parse(ConfigurationBody))
    return {"acknowledged": True, "insertedId": configuration.public_id}


@endpoint(Action.METRICS_WRITE)
def update_configuration(call: Call, configuration_id: str) -> dict[str, Any]:
    _, is_changed = services.update_configuration(
        caller=call.caller, public_id=configuration_id, body=call.parse(ConfigurationChanges)
    )
    return {
        "acknowledged": True,
        "modifiedCount": int(is_changed),
        "upsertedId": None,
        "upsertedCount": 0,
        "matchedCount": 1,
    }


@endpoint(Action.METRICS_WRITE, json_body=False)
def delete_configuration(call: Call, configuration_id: str) -> dict[str, Any]:
    services.delete_configuration(caller=call.caller, public_id=configuration_id)
    return {"acknowledged": True, "deletedCount": 1}


urlpatterns: list[URLPattern] = [
    path("v1/configurations", resource(GET=list_configurations, POST=create_configuration)),
    path(
        "v1/configurations/<str:configuration_id>",
        resource(PUT=update_configuration, DELETE=delete_configuration),
    ),
]
