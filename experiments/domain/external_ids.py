"""Ids of datasets that live with the client (`EXT-…`): where they are stored and how the wire shows them."""

from collections.abc import Mapping
from typing import Any

PREFIX = "EXT-"
OFFLINE_KEY = "offline_dataset_id"


def is_external(dataset_id: Any) -> bool:
    """Whether an id is a client's own."""
    return isinstance(dataset_id, str) and dataset_id.startswith(PREFIX)


def move_in(dataset_id: str | None, metadata: Mapping[str, Any]) -> tuple[str | None, str, dict[str, Any]]:
    """(managed dataset id, offline id, metadata to store) of a request.

    An external id leaves `dataset_id` or `metadata.offline_dataset_id`; the former wins. Metadata whose
    `offline_dataset_id` is no external id is kept untouched.
    """
    kept = dict(metadata)
    offline = ""
    if is_external(kept.get(OFFLINE_KEY)):
        offline = kept.pop(OFFLINE_KEY)
    if dataset_id is not None and is_external(dataset_id):
        return None, dataset_id, kept
    return dataset_id or None, offline, kept


def move_out(dataset_id: str | None, offline: str, metadata: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """(dataset_id, metadata) as the wire shows them: an external id is shown as the dataset of the run."""
    if is_external(offline):
        shown = {key: value for key, value in metadata.items() if key != OFFLINE_KEY}
        return offline, shown
    return dataset_id, dict(metadata)
