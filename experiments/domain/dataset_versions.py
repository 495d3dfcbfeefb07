"""Identity of a dataset's content, and what differs between two of its versions. Plain data in, plain data out."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

from governance.domain.canonical_json import canonical_json_hash

CONTENT_FIELDS = ("inputs", "history", "ground_truth", "metadata")


def snapshot_hash(datapoint_key: str, content: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a datapoint: its public id and `CONTENT_FIELDS`. Numbers count by value: 1.0 is 1."""
    return canonical_json_hash({"id": datapoint_key, **{name: content[name] for name in CONTENT_FIELDS}})


def version_hash(snapshot_hashes: Iterable[str]) -> str:
    """SHA-256 (hex) over the hashes of all datapoints in order of evaluation, one a line."""
    digest = hashlib.sha256(b"hhweb dataset version, form 1\n")
    for each in snapshot_hashes:
        digest.update(each.encode() + b"\n")
    return digest.hexdigest()


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Which of `CONTENT_FIELDS` differ between two contents of one datapoint, by the hash's own idea of equality."""
    return [name for name in CONTENT_FIELDS if canonical_json_hash(old[name]) != canonical_json_hash(new[name])]


def fewest_moves(new_positions: Iterable[int]) -> int:
    """How many datapoints must move so that the old order becomes the new one; the others keep their order.

    `new_positions`: of the datapoints that both versions hold, in the old order, all different. Their number minus
    the longest increasing subsequence (patience sorting, O(n log n)).
    """
    total = 0
    tails: list[int] = []  # tails[k]: smallest end of an increasing subsequence of k + 1 positions
    for position in new_positions:
        total += 1
        place = bisect_left(tails, position)
        tails[place : place + 1] = [position]
    return total - len(tails)
