"""Prompt configurations as the HoneyHive protocol writes them: request shapes, the item, what a version holds."""

import hashlib
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from experiments.domain.wire_runs import iso
from governance.domain.json_bodies import numbers_as_sent

Json = dict[str, Any]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Env = Literal["dev", "staging", "prod"]
ENVS: tuple[Env, ...] = ("dev", "staging", "prod")
# Of a configuration's columns: the fields that a version holds.
VERSIONED = ("provider", "parameters")


class _Part(BaseModel):
    """Keeps keys that the protocol does not name: they are the client's."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class TemplateItem(_Part):
    """One message of a prompt."""

    role: str = Field(min_length=1, max_length=40)
    content: str


class SelectedFunction(_Part):
    """A function that the model may call."""

    id: str
    name: str = Field(min_length=1, max_length=200)
    description: str | None = None
    parameters: Json | None = None


class ResponseFormat(_Part):
    """Which form the answer has."""

    type: str


class Parameters(_Part):
    """What is sent to the model."""

    call_type: Literal["chat", "completion"]
    model: str = Field(min_length=1, max_length=200)
    hyperparameters: Json | None = None
    responseFormat: ResponseFormat | None = None  # noqa: N815 - the wire's name
    selectedFunctions: list[SelectedFunction | None] | None = None  # noqa: N815
    functionCallParams: Literal["none", "auto", "force"] | None = None  # noqa: N815
    forceFunction: Json | None = None  # noqa: N815
    template: list[TemplateItem] | str | None = None


class ConfigurationChanges(BaseModel):
    """Fields of a configuration; what is null or absent stays as it is."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    name: Name
    type: Literal["LLM", "pipeline"] | None = None
    provider: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    parameters: Parameters | None = None
    env: list[Env] | None = Field(default=None, max_length=len(ENVS))
    tags: list[Tag] | None = Field(default=None, max_length=50)
    user_properties: Json | None = None

    def changes(self) -> Json:
        """What was sent, as it is stored."""
        return self.model_dump(exclude_none=True, exclude={"parameters"}) | (
            {"parameters": self.parameters.model_dump(exclude_unset=True)} if self.parameters else {}
        )


class ConfigurationBody(ConfigurationChanges):
    """`POST /v1/configurations`."""

    provider: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    parameters: Parameters


def content_hash(provider: str, parameters: Json) -> str:
    """SHA-256 of the canonical JSON of what a version holds."""
    content = {"provider": provider, "parameters": numbers_as_sent(parameters)}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def wire_configuration(configuration: Any) -> Json:
    """A configuration as the wire shows it."""
    return {
        "id": configuration.public_id,
        "name": configuration.name,
        "type": configuration.type,
        "provider": configuration.provider,
        "parameters": configuration.parameters,
        "env": configuration.env,
        "tags": configuration.tags,
        "user_properties": configuration.user_properties,
        "version": configuration.version,
        "created_at": iso(configuration.created_at),
        "updated_at": iso(configuration.updated_at),
    }
