"""The official client's flattened buckets: `honeyhive_metadata.a.b.0 = 1` back into `{"a": {"b": [1]}}`."""

from typing import Any

import orjson

from experiments.domain.event_row import MAX_DEPTH

BUCKET_OF = {
    f"honeyhive_{name}": name
    for name in ("inputs", "outputs", "config", "metadata", "metrics", "feedback", "user_properties")
}


class Branch(dict[str, Any]):
    """An object that was put together from dotted keys, unlike one that a client sent as such."""


def put(bucket: dict[str, Any], path: str, value: Any) -> None:
    """Set `value` at a dotted path. What contradicts an earlier key, or is too deep, keeps its literal name."""
    parts = path.split(".")
    if len(parts) > MAX_DEPTH:
        bucket[path] = value
        return
    node = bucket
    for part in parts[:-1]:
        inner = node.get(part)
        if inner is None and part not in node:
            inner = node[part] = Branch()
        if inner.__class__ is not Branch:
            bucket[path] = value
            return
        node = inner
    last = parts[-1]
    if node.get(last).__class__ is Branch:
        bucket[path] = value
    else:
        node[last] = value


def as_lists(value: Any) -> Any:
    """Branches whose keys are 0…n-1 as lists, all the way down; everything else as it is."""
    if value.__class__ is not Branch:
        return value
    size = len(value)
    # Keys in order is the rule; the sorted look finds the exception.
    if all(str(index) in value for index in range(size)):
        return [as_lists(value[str(index)]) for index in range(size)]
    return {key: as_lists(inner) for key, inner in value.items()}


def parsed(text: str) -> Any:
    """The object or list that `text` is the JSON of, else the text itself."""
    if text[:1] not in ("{", "[") or not is_shallow(text):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def is_shallow(text: str) -> bool:
    """Whether JSON text is surely nested less deeply than what can be stored."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return True
    depth = deepest = 0
    in_text = escaped = False
    for character in text:
        if in_text:
            in_text = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_text = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest <= MAX_DEPTH
