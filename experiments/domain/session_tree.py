"""A session's events as the tree that `GET /v1/sessions/{session_id}` shows."""

from collections import defaultdict
from typing import Any

# JSON libraries stop at some hundred levels; deeper events are shown beside their parents at this depth.
MAX_DEPTH = 60


def build_tree(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The session event with nested `children`, siblings in the order given.

    Events whose parent is unknown, or that form a cycle, hang directly under the session. Without a session
    event the first event is the root. `events` must not be empty.
    """
    nodes = {event["event_id"]: {**event, "children": []} for event in events}
    root = next((node for node in nodes.values() if node["event_id"] == node["session_id"]), None)
    if root is None:
        root = nodes[events[0]["event_id"]]
    by_parent: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    for node in nodes.values():
        by_parent[node["parent_id"]].append(node)
    reached = {root["event_id"]}
    _hang(root, by_parent, reached)
    for node in nodes.values():
        if node["event_id"] not in reached and node["parent_id"] not in nodes:
            _adopt(root, node, by_parent, reached)
    for node in nodes.values():  # what is left are cycles
        if node["event_id"] not in reached:
            _adopt(root, node, by_parent, reached)
    return root


def _adopt(
    root: dict[str, Any], node: dict[str, Any], by_parent: dict[Any, list[dict[str, Any]]], reached: set[Any]
) -> None:
    root["children"].append(node)
    reached.add(node["event_id"])
    _hang(node, by_parent, reached, depth=1)


def _hang(
    top: dict[str, Any], by_parent: dict[Any, list[dict[str, Any]]], reached: set[Any], *, depth: int = 0
) -> None:
    """Hang every not yet reached descendant under `top`, without recursion."""
    pending = [(top, top, depth)]
    while pending:
        node, holder, depth = pending.pop()
        for child in by_parent[node["event_id"]]:
            if child["event_id"] in reached:
                continue
            reached.add(child["event_id"])
            holder["children"].append(child)
            is_deep = depth + 1 >= MAX_DEPTH
            pending.append((child, holder if is_deep else child, depth + (not is_deep)))
