"""What an update makes of a stored event: the merge of `PUT /events`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.domain.event_row import BUCKETS

REPLACED = ("children_ids", "duration", "end_time", "error")


@dataclass(frozen=True, slots=True)
class EventUpdate:
    """Given fields only. `client_timestamp` (ns) orders the updates of one client."""

    buckets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scalars: Mapping[str, Any] = field(default_factory=dict)
    client_timestamp: int | None = None


def event_update(given: Mapping[str, Any], *, client_timestamp: int | None = None) -> EventUpdate:
    """An update from wire fields; None means absent. `metadata.ground_truth` becomes `feedback.ground_truth`."""
    buckets = {name: dict(given[name]) for name in BUCKETS if given.get(name) is not None}
    metadata = buckets.get("metadata", {})
    if "ground_truth" in metadata:
        ground_truth = metadata.pop("ground_truth")
        buckets.setdefault("feedback", {}).setdefault("ground_truth", ground_truth)
    scalars = {name: given[name] for name in REPLACED if given.get(name) is not None}
    return EventUpdate(buckets, scalars, client_timestamp)


def merged(stored: Mapping[str, Any], update: EventUpdate) -> dict[str, Any]:
    """The columns that change, with their new values.

    Buckets are merged key by key, one level deep, the update winning. Scalars and lists are replaced, unless
    a later update of the client was applied before. Duration and end follow each other.
    """
    changed: dict[str, Any] = {}
    for name, given in update.buckets.items():
        after = {**stored[name], **given}
        if not _same(after, stored[name]):
            changed[name] = after
    latest, stamp = stored["client_timestamp"], update.client_timestamp
    if update.scalars and (stamp is None or latest is None or stamp >= latest):
        changed |= {name: value for name, value in _timed(stored, update.scalars).items() if stored[name] != value}
    if stamp is not None and (latest is None or stamp > latest):
        changed["client_timestamp"] = stamp
    return changed


def _same(left: Any, right: Any) -> bool:
    """Equality in which `True`, `1` and `1.0` differ, as they do on the wire."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(item, right[key]) for key, item in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def _timed(stored: Mapping[str, Any], scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The scalars with the missing one of duration (ms) and end time (epoch ms) derived from the other.

    A stub's start is provisional: nothing is derived from it.
    """
    if stored["is_stub"]:
        return dict(scalars)
    if "end_time" in scalars and "duration" not in scalars:
        return {**scalars, "duration": max(scalars["end_time"] - stored["start_time"], 0.0)}
    if "duration" in scalars and "end_time" not in scalars:
        return {**scalars, "end_time": stored["start_time"] + scalars["duration"]}
    return dict(scalars)
