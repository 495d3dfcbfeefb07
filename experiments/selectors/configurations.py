"""Reads of prompt configurations and their versions, always inside the caller's project."""

from django.db.models import Q, QuerySet

from experiments.models import Configuration, ConfigurationVersion
from governance.domain.caller import Caller
from governance.domain.errors import NotFound


def configurations(caller: Caller) -> QuerySet[Configuration]:
    """The project's configurations by name."""
    return Configuration.objects.filter(project_id=caller.project_id).order_by("name", "id")


def find_configuration(caller: Caller, reference: str, *, field: str = "configuration_id") -> Configuration:
    """One configuration by its id or its name, or `NotFound`. An id comes before a name that is spelled the same."""
    found = list(configurations(caller).filter(Q(public_id=reference) | Q(name=reference))[:2])
    by_id = [one for one in found if one.public_id == reference]
    if not found:
        raise configuration_not_found(reference, field=field)
    return (by_id or found)[0]


def versions_of(configuration: Configuration) -> QuerySet[ConfigurationVersion]:
    """Versions of a configuration, newest first."""
    return ConfigurationVersion.objects.filter(configuration=configuration).order_by("-number")


def find_version(configuration: Configuration, number: int | None, *, field: str = "version") -> ConfigurationVersion:
    """Version `number`, the newest for None, or `NotFound`."""
    wanted = configuration.version if number is None else number
    version = versions_of(configuration).filter(number=wanted).first()
    if version is None:
        raise NotFound(
            f"Field '{field}': configuration {configuration.name!r} has no version {wanted}; the newest is "
            f"{configuration.version}.",
            field=field,
            value=wanted,
        )
    return version


def configuration_not_found(reference: str, *, field: str = "configuration_id") -> NotFound:
    """The one answer for configurations that do not exist and those of other projects."""
    return NotFound(
        f"Field '{field}': this project has no configuration {reference[:100]!r}. GET /v1/configurations lists them.",
        field=field,
        value=reference[:100],
    )
