"""Use cases that write prompt configurations. Another provider or other parameters are a new version."""

from typing import Any

from django.db import IntegrityError, transaction

from experiments.domain.wire_configurations import VERSIONED, ConfigurationBody, ConfigurationChanges, content_hash
from experiments.models import Configuration, ConfigurationVersion
from experiments.selectors.configurations import configuration_not_found
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict
from governance.services import audit

MOST_CONFIGURATIONS = 2_000
_FIELDS = ("name", "type", "provider", "parameters", "env", "tags", "user_properties")


@transaction.atomic
def create_configuration(*, caller: Caller, body: ConfigurationBody) -> Configuration:
    """A configuration with its version 1."""
    caller.require(Action.METRICS_WRITE)
    if Configuration.objects.filter(project_id=caller.project_id).count() >= MOST_CONFIGURATIONS:
        raise Conflict(
            f"The project has {MOST_CONFIGURATIONS:,} configurations already; delete some first.", field="name"
        )
    configuration = Configuration(project_id=caller.project_id, **body.changes())
    _save(configuration)
    _add_version(caller, configuration)
    _record(caller, "create", configuration, after={**_said(configuration, _FIELDS), "version": 1})
    return configuration


@transaction.atomic
def update_configuration(*, caller: Caller, public_id: str, body: ConfigurationChanges) -> tuple[Configuration, bool]:
    """Change what is given; the configuration, and whether anything changed. Old versions stay as they are."""
    caller.require(Action.METRICS_WRITE)
    configuration = _locked(caller, public_id)
    before = {**_said(configuration, _FIELDS), "version": configuration.version}
    for name, value in body.changes().items():
        setattr(configuration, name, value)
    changed = [name for name in _FIELDS if getattr(configuration, name) != before[name]]
    if not changed:
        return configuration, False
    is_new_version = any(name in VERSIONED for name in changed)
    if is_new_version:
        configuration.version += 1
        changed.append("version")
    _save(configuration)
    if is_new_version:
        _add_version(caller, configuration)
    _record(
        caller,
        "update",
        configuration,
        before={name: before[name] for name in changed},
        after=_said(configuration, changed),
    )
    return configuration, True


@transaction.atomic
def delete_configuration(*, caller: Caller, public_id: str) -> None:
    """Delete a configuration with its versions. Experiments keep what they pinned."""
    caller.require(Action.METRICS_WRITE)
    configuration = _locked(caller, public_id)
    before = {**_said(configuration, _FIELDS), "version": configuration.version}
    Configuration.objects.filter(pk=configuration.pk).delete()
    _record(caller, "delete", configuration, before=before)


def _locked(caller: Caller, public_id: str) -> Configuration:
    rows = Configuration.objects.select_for_update()
    found = rows.filter(project_id=caller.project_id, public_id=public_id[:64]).first()
    if found is None:
        raise configuration_not_found(public_id)
    return found


def _save(configuration: Configuration) -> None:
    try:
        with transaction.atomic():
            configuration.save()
    except IntegrityError:
        raise Conflict(
            f"Field 'name': a configuration named {configuration.name!r} exists already. Choose another name, or "
            "update that configuration.",
            field="name",
            value=configuration.name,
        ) from None


def _add_version(caller: Caller, configuration: Configuration) -> None:
    ConfigurationVersion.objects.create(
        configuration=configuration,
        number=configuration.version,
        provider=configuration.provider,
        parameters=configuration.parameters,
        content_hash=content_hash(configuration.provider, configuration.parameters),
        created_by=caller.actor_label[:240],
    )


def _said(configuration: Configuration, names: Any) -> dict[str, Any]:
    return {name: getattr(configuration, name) for name in names}


def _record(caller: Caller, verb: str, configuration: Configuration, **sides: dict[str, Any]) -> None:
    audit.record(
        caller=caller,
        action=f"configuration.{verb}",
        target_kind="configuration",
        target_id=configuration.public_id,
        target_label=configuration.name,
        **sides,
    )
