"""Trees of events."""

import orjson

from experiments.domain.session_tree import MAX_DEPTH, build_tree


def event(name, parent=None, session="s"):
    return {"event_id": name, "parent_id": parent, "session_id": session}


def shape(node):
    return {node["event_id"]: [shape(child) for child in node["children"]]}


def test_children_hang_under_their_parents_in_the_order_given() -> None:
    tree = build_tree([event("c", "a"), event("s"), event("a", "s"), event("b", "s"), event("d", "a")])

    assert shape(tree) == {"s": [{"a": [{"c": []}, {"d": []}]}, {"b": []}]}


def test_orphans_and_cycles_hang_under_the_session() -> None:
    tree = build_tree(
        [event("s"), event("o", "gone"), event("p", "o"), event("x", "y"), event("y", "x"), event("z", "z")]
    )

    assert shape(tree) == {"s": [{"o": [{"p": []}]}, {"x": [{"y": []}]}, {"z": []}]}


def test_without_a_session_event_the_first_event_is_the_root() -> None:
    assert shape(build_tree([event("a", "gone"), event("b", "a"), event("c")])) == {"a": [{"b": []}, {"c": []}]}


def test_a_very_deep_trace_is_flattened_and_stays_encodable() -> None:
    events = [event("s")] + [event(str(n), str(n - 1) if n else "s") for n in range(500)]

    tree = build_tree(events)

    text = orjson.dumps(tree)
    assert all(f'"event_id":"{n}"'.encode() in text for n in range(500))
    depth, node = 0, tree
    while node["children"]:
        depth, node = depth + 1, node["children"][0]
    assert depth == MAX_DEPTH
