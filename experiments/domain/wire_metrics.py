"""Project metrics as the HoneyHive protocol writes them: request shapes, the metric item, the version."""

import hashlib
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from experiments.domain.composites import WEIGHTED, CompositeFunction, function_of
from experiments.domain.filters import parse_filters
from experiments.domain.wire_runs import iso
from governance.domain.errors import InvalidInput
from governance.domain.json_bodies import numbers_as_sent

Json = dict[str, Any]


class Threshold(BaseModel):
    """When a value passes."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    min: float | None = None
    max: float | None = None
    pass_when: bool | float | None = None
    passing_categories: list[str] | None = Field(default=None, min_length=1)


class Category(BaseModel):
    """One value of a categorical metric."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    category: str
    score: float | None = None


class ChildMetric(BaseModel):
    """One part of a composite."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    id: str | None = None
    name: str = Field(min_length=1, max_length=200)
    weight: float
    scale: int | None = Field(default=None, ge=1)


class MetricFilters(BaseModel):
    """Which events a metric judges."""

    model_config = ConfigDict(extra="ignore", strict=True, populate_by_name=True)

    filter_array: list[Json] = Field(default_factory=list, alias="filterArray")


class MetricChanges(BaseModel):
    """Fields of a metric, all optional: `PUT`. A field sent as null is blanked where that is possible."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    name: str | None = Field(default=None, min_length=1, max_length=200)
    type: Literal["PYTHON", "LLM", "HUMAN", "COMPOSITE"] | None = None
    criteria: str | None = None
    description: str | None = None
    return_type: Literal["float", "boolean", "string", "categorical"] | None = None
    direction: Literal["higher", "lower"] | None = None
    enabled_in_prod: bool | None = None
    sampling_percentage: float | None = Field(default=None, ge=0, le=100)
    model_provider: str | None = Field(default=None, max_length=200)
    model_name: str | None = Field(default=None, max_length=200)
    scale: int | None = Field(default=None, ge=1, le=2**31 - 1)
    threshold: Threshold | None = None
    categories: list[Category] | None = None
    needs_ground_truth: bool | None = None
    child_metrics: list[ChildMetric] | None = None
    filters: MetricFilters | None = None

    def changes(self) -> Json:
        """What was sent, as it is stored."""
        sent: Json = {}
        for name in self.model_fields_set & set(MetricChanges.model_fields):
            value = getattr(self, name)
            if isinstance(value, BaseModel):
                value = value.model_dump(by_alias=True, exclude_none=isinstance(value, Threshold))
            elif isinstance(value, list):
                value = [item.model_dump() for item in value]
            if value is not None or name in NULLABLE:
                sent[name] = value
        return sent


NULLABLE = frozenset({"model_provider", "model_name", "scale", "threshold", "categories", "child_metrics"})
FIELDS = tuple(MetricChanges.model_fields)


class MetricBody(MetricChanges):
    """`POST /v1/metrics`, and the content of a version."""

    name: str = Field(min_length=1, max_length=200)
    type: Literal["PYTHON", "LLM", "HUMAN", "COMPOSITE"]
    criteria: str


class MetricChangesWithId(MetricChanges):
    """`PUT /v1/metrics`, which names its metric in the body."""

    id: str


class VersionBody(BaseModel):
    """`POST /v1/metrics/{metric_id}/versions`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    message: str
    content: MetricBody
    deploy_immediately: bool | None = None


def check_consistency(content: Json) -> None:
    """Refuse contents that no result could be computed from. `content` holds every field of a metric."""
    threshold = content.get("threshold") or {}
    low, high = threshold.get("min"), threshold.get("max")
    if low is not None and high is not None and low > high:
        raise InvalidInput(
            f"Field 'threshold': min {low} is above max {high}, so nothing could pass; swap them.", field="threshold"
        )
    parse_filters((content.get("filters") or {}).get("filterArray") or [], name="filters.filterArray")
    if content["type"] != "COMPOSITE":
        return
    function = function_of(content["criteria"])
    offered = [item for item in CompositeFunction if content["return_type"] != "boolean" or item not in WEIGHTED]
    if function is None or function not in offered:
        raise InvalidInput(
            f"Field 'criteria': {content['criteria'][:100]!r} names no function of a "
            f"{content['return_type']} composite; use one of {', '.join(offered)}.",
            field="criteria",
            value=content["criteria"][:100],
        )
    if content["return_type"] not in {"float", "boolean"}:
        raise InvalidInput(
            f"Field 'return_type': a composite is 'float' or 'boolean', not {content['return_type']!r}.",
            field="return_type",
            value=content["return_type"],
        )
    if not content.get("child_metrics"):
        raise InvalidInput("Field 'child_metrics' is empty; a composite needs at least one.", field="child_metrics")


def content_of(metric: Any) -> Json:
    """Every field of a metric that a version keeps."""
    content = {name: numbers_as_sent(getattr(metric, name)) for name in FIELDS}
    content["filters"] = {"filterArray": [], **(content["filters"] or {})}
    return content


def content_hash(content: Json) -> str:
    """SHA-256 of the canonical JSON of a content."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def wire_metric(metric: Any) -> Json:
    """A metric as the wire shows it."""
    return {
        **content_of(metric),
        "id": metric.public_id,
        "created_at": iso(metric.created_at),
        "updated_at": iso(metric.updated_at),
    }


def wire_version(version: Any) -> Json:
    """A version as the wire shows it."""
    return {
        "name": version.name,
        "full_sha": version.full_sha,
        "message": version.message,
        "date": iso(version.created_at),
        "deployed": version.deployed,
        "content": version.content,
    }


class TriedMetric(BaseModel):
    """The metric of `POST /v1/metrics/run_metric`: it need not be stored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    type: str
    criteria: str


class TriedFeedback(BaseModel):
    """The part of an event's feedback that evaluators compare with."""

    model_config = ConfigDict(extra="ignore", strict=True)

    ground_truth: Any = None


class TriedEvent(BaseModel):
    """The event it is tried on."""

    model_config = ConfigDict(extra="ignore", strict=True)

    inputs: Json | None = None
    outputs: Any = None
    feedback: TriedFeedback | None = None


class TrialBody(BaseModel):
    """`POST /v1/metrics/run_metric`."""

    model_config = ConfigDict(extra="ignore", strict=True)

    metric: TriedMetric
    event: TriedEvent
