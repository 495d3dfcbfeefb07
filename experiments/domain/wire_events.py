"""Shapes of sessions and events on the wire: what clients send, and how a stored event is shown."""

import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

EventType = Literal["model", "tool", "chain", "session"]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
EVENT_COLUMNS = (
    "event_key",
    "session_key",
    "parent_key",
    "event_type",
    "event_name",
    "source",
    "error",
    "start_time",
    "end_time",
    "duration",
    "children_ids",
    "inputs",
    "outputs",
    "config",
    "metadata",
    "metrics",
    "feedback",
    "user_properties",
)
JSON_COLUMNS = EVENT_COLUMNS[10:]


def _not_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not a boolean")
    return value


# Milliseconds; bounded so that sums of them stay finite.
Number = Annotated[FiniteFloat, BeforeValidator(_not_boolean), Field(ge=-1e20, le=1e20)]
Bucket = dict[str, Any]


class _Body(BaseModel):
    # Unknown keys are never refused: the official client forwards whatever it was given.
    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def null_is_absent(cls, value: Any) -> Any:
        """The client drops None before sending, so both mean the same."""
        return _present(value) if isinstance(value, dict) else value


class SessionBody(_Body):
    """`session` of `POST /session/start`, or the whole body of `POST /v1/sessions`."""

    session_id: uuid.UUID | None = None
    session_name: str | None = None
    event_name: str | None = None
    source: str | None = None
    start_time: Number | None = None
    end_time: Number | None = None
    duration: Number | None = None
    config: Bucket | None = None
    inputs: Bucket | None = None
    outputs: Bucket | None = None
    metadata: Bucket | None = None
    metrics: Bucket | None = None
    feedback: Bucket | None = None
    user_properties: Bucket | None = None
    children_ids: list[str] | None = None
    error: str | None = None


class LooseEventBody(_Body):
    """An event of the older batch endpoints, where the client's model requires nothing."""

    event_type: EventType | None = None
    inputs: Bucket | None = None
    event_name: str | None = None
    event_id: uuid.UUID | None = None
    session_id: uuid.UUID | None = None
    parent_id: uuid.UUID | None = None
    source: str | None = None
    config: Bucket | None = None
    outputs: Bucket | None = None
    error: str | None = None
    start_time: Number | None = None
    end_time: Number | None = None
    duration: Number | None = None
    metadata: Bucket | None = None
    metrics: Bucket | None = None
    feedback: Bucket | None = None
    user_properties: Bucket | None = None
    children_ids: list[str] | None = None


class EventBody(LooseEventBody):
    """An event of `POST /events` and of the newer batch endpoints."""

    event_type: EventType
    inputs: Bucket


class ModelEventBody(LooseEventBody):
    """An event of `POST /events/model`: the extras of a model call are folded into an ordinary event."""

    model: str | None = None
    model_name: str | None = None
    model_version: str | None = None
    messages: list[Any] | None = None
    response: Any = None
    provider: str | None = None
    usage: Bucket | None = None
    cost: Any = None
    hyperparameters: Bucket | None = None
    template: Any = None
    template_inputs: Any = None
    tools: Any = None
    tool_choice: Any = None
    response_format: Any = None

    def as_event(self) -> LooseEventBody:
        """The same call as an ordinary event; what the ordinary buckets say wins."""
        config = {
            "model": self.model or self.model_name,
            "model_version": self.model_version,
            "provider": self.provider,
            "hyperparameters": self.hyperparameters,
            "template": self.template,
            "tools": self.tools,
            "tool_choice": self.tool_choice,
            "response_format": self.response_format,
        }
        inputs = {"chat_history": self.messages, "template_inputs": self.template_inputs}
        outputs = self.response if isinstance(self.response, dict) else {"content": self.response}
        is_number = isinstance(self.cost, int | float) and not isinstance(self.cost, bool)
        metrics = {"cost": self.cost if is_number else None}
        return LooseEventBody(
            **self.model_dump(include=set(LooseEventBody.model_fields) - {"event_type", *_MODEL_BUCKETS}),
            event_type=self.event_type or "model",
            config=_present(config) | (self.config or {}),
            inputs=_present(inputs) | (self.inputs or {}),
            outputs=_present(outputs) | (self.outputs or {}),
            metadata=(self.usage or {}) | (self.metadata or {}),
            metrics=_present(metrics) | (self.metrics or {}),
        )


_MODEL_BUCKETS = {"config", "inputs", "outputs", "metadata", "metrics"}


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


class EventUpdateBody(_Body):
    """`PUT /v1/events/{event_id}`, and `PUT /events` without its `event_id`. Absent and null mean the same."""

    inputs: Bucket | None = None
    outputs: Bucket | None = None
    config: Bucket | None = None
    metadata: Bucket | None = None
    metrics: Bucket | None = None
    feedback: Bucket | None = None
    user_properties: Bucket | None = None
    children_ids: list[str] | None = None
    duration: Number | None = None
    end_time: Number | None = None
    error: str | None = None


class LegacyEventUpdateBody(EventUpdateBody):
    event_id: uuid.UUID


class SessionProperties(_Body):
    """What a single-session batch says about its session."""

    session_name: str | None = None
    start_time: Number | None = None
    source: str | None = None
    user_properties: Bucket | None = None
    metadata: Bucket | None = None


class BatchOptions(_Body):
    """What a batch may say beside its events, under its present and its older names."""

    single_session: bool | None = None
    is_single_session: bool | None = None
    session_properties: SessionProperties | None = None
    session: SessionProperties | None = None

    @property
    def is_one_session(self) -> bool:
        return bool(self.single_session or self.is_single_session)

    @property
    def properties(self) -> SessionProperties:
        return self.session_properties or self.session or SessionProperties()


class LooseBatchBody(BatchOptions):
    events: list[LooseEventBody]


class BatchBody(BatchOptions):
    events: list[EventBody]


class ModelBatchBody(BatchOptions):
    model_events: list[ModelEventBody]


class ModelEventRequest(_Body):
    model_event: ModelEventBody


class SessionTracesBody(_Body):
    logs: list[LooseEventBody] | None = None
    events: list[LooseEventBody] | None = None


MAX_PAGE = 1_000_000


class EventQueryBody(_Body):
    """`POST /v1/events/export` and `/search`; `filters` and `dateRange` are parsed by `domain.filters`."""

    filters: Any = None
    date_range: Any = Field(default=None, alias="dateRange")
    projections: list[str] = Field(default_factory=list)
    limit: Annotated[int, BeforeValidator(_not_boolean), Field(ge=1, le=7500)] = 1000
    page: Annotated[int, BeforeValidator(_not_boolean), Field(ge=1, le=MAX_PAGE)] = 1
    evaluation_id: str | None = None


def wire_event(row: Mapping[str, Any], *, project_id: str) -> dict[str, Any]:
    """A stored event as the wire shows it. JSON columns may be values or `orjson.Fragment`s of them."""
    return {
        "event_id": row["event_key"],
        "session_id": row["session_key"],
        "parent_id": row["parent_key"],
        "children_ids": row["children_ids"],
        "event_type": row["event_type"],
        "event_name": row["event_name"],
        "source": row["source"],
        "project_id": project_id,
        "inputs": row["inputs"],
        "outputs": row["outputs"],
        "config": row["config"],
        "metadata": row["metadata"],
        "metrics": row["metrics"],
        "feedback": row["feedback"],
        "user_properties": row["user_properties"],
        "error": row["error"],
        "start_time": row["start_time"],
        "end_time": row["end_time"],
        "duration": row["duration"],
    }


def project_fields(event: Mapping[str, Any], projections: list[str]) -> dict[str, Any]:
    """Only the named fields; a dotted name keeps its place in its bucket. Unknown names are left out."""
    shown = {name: event[name] for name in projections if name in event}
    partial: dict[str, Any] = {}
    for name in projections:
        bucket, _, remainder = name.partition(".")
        if remainder and bucket in event and bucket not in shown:
            _join(partial, {bucket: _picked(_decoded(event[bucket]), remainder)})
    return shown | {name: value for name, value in partial.items() if value}


def _decoded(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value)) if isinstance(value, orjson.Fragment) else value


def _picked(value: Any, remainder: str) -> dict[str, Any]:
    """The literal key if there is one, else what the path leads to, nested as it was; empty when absent."""
    if not isinstance(value, dict):
        return {}
    if remainder in value:
        return {remainder: value[remainder]}
    head, _, rest = remainder.partition(".")
    inner = _picked(value.get(head), rest) if rest else {}
    return {head: inner} if inner else {}


def _join(target: dict[str, Any], found: Mapping[str, Any]) -> None:
    for key, value in found.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _join(target[key], value)
        else:
            target[key] = value
