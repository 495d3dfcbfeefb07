"""Runs as the HoneyHive protocol writes them: request shapes, the run object, legacy fields."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from experiments.domain.external_ids import move_out
from experiments.domain.run_status import RunStatus
from governance.domain.errors import InvalidInput
from governance.domain.json_bodies import numbers_as_sent

Json = dict[str, Any]
LEGACY_FIELDS = ("evaluators", "session_ids", "datapoint_ids", "passing_ranges")


class RunUpdateBody(BaseModel):
    """`PUT /v1/runs/{run_id}`; an absent field stays as it is."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str | None = Field(default=None, max_length=255)
    description: str | None = None
    status: str | None = None
    metadata: Json | None = None
    results: Json | None = None
    event_ids: list[str] | None = None
    configuration: Json | None = None
    evaluators: list[Any] | None = None
    session_ids: list[str] | None = None
    datapoint_ids: list[str] | None = None
    passing_ranges: Json | None = None

    def parsed_status(self) -> RunStatus | None:
        """The status, refused when it is none of the five."""
        if self.status is None:
            return None
        try:
            return RunStatus(self.status)
        except ValueError:
            raise InvalidInput(
                f"Field 'status': {self.status[:100]!r} is unknown; use one of {', '.join(RunStatus)}.",
                field="status",
                value=self.status[:100],
            ) from None

    def folded_metadata(self) -> Json:
        """Metadata with the legacy fields folded in under their own names, where they are not empty."""
        legacy = {name: getattr(self, name) for name in LEGACY_FIELDS}
        return {**(self.metadata or {}), **{name: value for name, value in legacy.items() if value}}


class RunBody(RunUpdateBody):
    """`POST /v1/runs`."""

    run_id: str | None = Field(default=None, max_length=255)
    dataset_id: str | None = Field(default=None, max_length=255)


def unwrapped(body: Any) -> Any:
    """The run inside the old wrapper `{"run": {...}}`, or the body itself."""
    if isinstance(body, Mapping) and isinstance(body.get("run"), Mapping):
        return body["run"]
    return body


def iso(moment: dt.datetime) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wire_run(run: Any, *, scope_id: str) -> Json:
    """A run as the wire shows it. `run` has the attributes of the model, its dataset loaded with it."""
    managed = run.dataset.public_id if run.dataset is not None else None
    dataset_id, metadata = move_out(managed, run.offline_dataset_id, run.metadata)
    return {
        "id": run.public_id,
        "run_id": run.run_key,
        "name": run.name,
        "description": run.description,
        "status": run.status,
        "metadata": numbers_as_sent(metadata),
        "results": numbers_as_sent(run.results),
        "event_ids": run.event_ids,
        "configuration": numbers_as_sent(run.configuration),
        "dataset_id": dataset_id,
        "dataset_name": run.dataset.name if run.dataset is not None else None,
        "is_active": True,
        "created_at": iso(run.created_at),
        "updated_at": iso(run.updated_at),
        "scope_type": "project",
        "scope_id": scope_id,
    }
