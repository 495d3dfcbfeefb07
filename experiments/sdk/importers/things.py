"""What an export holds, in our words: what every format is translated to, and what is sent."""

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

KINDS = ("datasets", "datapoints", "runs", "sessions", "events", "scores")
FORMAT_KEY = "import_format"
ID_KEY = "import_id"
RUN_STATUSES = ("pending", "running", "completed", "failed", "cancelled")

_NAMESPACE = uuid.UUID("3f0a9a4e-5d0c-5f0b-8a53-2f9b4a2c7d11")  # of all ids made from foreign ones; never change it


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset under the id it has in the file."""

    source_id: str
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Datapoint:
    """One row of the dataset whose id in the file is `dataset`; ids of rows are unique in their dataset."""

    source_id: str
    dataset: str
    inputs: Json
    ground_truth: Json | None = None
    history: list[Json] = field(default_factory=list)
    metadata: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """A run; `dataset` is the id in the file, an `EXT-` id, or None. `event_ids` are ids of ours."""

    source_id: str
    run_id: str
    name: str
    status: str = "completed"
    description: str = ""
    dataset: str | None = None
    configuration: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    results: Json = field(default_factory=dict)
    event_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Event:
    """An event as `POST /v1/events/batch` takes it; what is in its `metrics` are scores. A session's has its id twice.

    `dataset` and `datapoint` are ids in the file or `EXT-` ids: what the server calls them is known when it is sent.
    """

    source_id: str
    body: Json
    dataset: str | None = None
    datapoint: str | None = None

    @property
    def event_id(self) -> str:
        """Our id."""
        return str(self.body["event_id"])

    @property
    def kind(self) -> str:
        """`sessions` or `events`."""
        return "sessions" if self.body["event_id"] == self.body["session_id"] else "events"


@dataclass(frozen=True, slots=True)
class Score:
    """A judgment of an event that came before: a number, a boolean or a text, and why."""

    source_id: str
    event_id: str
    session_id: str
    name: str
    value: bool | int | float | str
    explanation: str | None = None


@dataclass(frozen=True, slots=True)
class BadRow:
    """Something in the file that cannot be imported. `kind` is one of KINDS, or "" when it cannot be told."""

    where: str
    reason: str
    kind: str = ""
    source_id: str = ""


Thing = Dataset | Datapoint | Run | Event | Score | BadRow


def our_id(tool: str, kind: str, source_id: str) -> str:
    """Our id of a foreign thing: the same whenever it is imported, so that nothing is doubled."""
    return str(uuid.uuid5(_NAMESPACE, f"{tool}:{kind}:{source_id}"))


def uuid_of(value: Any) -> str | None:
    """The usual text of a UUID, None for what is none."""
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        return None


def marks(tool: str, source_id: str) -> Json:
    """What imported things carry in their metadata: where they came from and what they were called there."""
    return {FORMAT_KEY: tool, ID_KEY: source_id}


def fingerprint(value: Any) -> str:
    """16 hex digits of the content: an id for what has none."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
