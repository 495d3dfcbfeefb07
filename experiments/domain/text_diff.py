"""What differs between two outputs: texts by words or lines, JSON by keys. Pure; work and answer are bounded.

Matching is difflib's (Ratcliff and Metzener 1988). Texts over 20,000 characters, or 8,000 words and signs, are compared
by lines, and never more than a million characters or 5,000 lines; what is beyond is not compared, and that is said.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

BY_WORD_UP_TO = 20_000  # characters of either text
MOST_WORDS = 8_000  # words, signs and spaces of either text; about half a second
MOST_CHARACTERS = 1_000_000
MOST_LINES = 5_000
MOST_CHANGES = 200
MOST_LEAVES = 5_000
DEEPEST = 20
CONTEXT_LINES = 3
LONGEST_PIECE = 20_000  # characters of one side of one change
LONGEST_LEAF = 5_000  # of texts inside JSON that are compared by words, the first MOST_INNER of them
MOST_INNER = 20
TOKEN = re.compile(r"\s+|\w+|[^\w\s]")
Op = Literal["equal", "delete", "insert", "replace", "skip"]
Unit = Literal["words", "lines", "keys"]
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """A piece of both texts. `skip`: `count` equal lines that are not shown. `key` and `parts` belong to JSON.

    `parts` are the words that differ inside two texts under one key.
    """

    op: Op
    old: str = ""
    new: str = ""
    key: str = ""
    count: int = 0
    parts: list["Change"] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Without what does not belong to its kind."""
        found: dict[str, Any] = {"op": self.op, "old": self.old, "new": self.new}
        if self.key:
            found["key"] = self.key
        if self.count:
            found["count"] = self.count
        if self.parts:
            found["parts"] = [part.to_json() for part in self.parts]
        return found


@dataclass(frozen=True, slots=True)
class Difference:
    """Pieces in order; those of `keys` are the keys that differ. `similarity` is 0..1, 1 for equal outputs.

    `is_truncated`: there are more changes, or more text, than is shown.
    """

    unit: Unit
    changes: list[Change]
    similarity: float
    is_truncated: bool = False

    def to_json(self) -> dict[str, Any]:
        """Every field."""
        return {
            "unit": self.unit,
            "similarity": self.similarity,
            "is_truncated": self.is_truncated,
            "changes": [change.to_json() for change in self.changes],
        }


def difference(old: Any, new: Any) -> Difference:
    """What differs between two outputs: by keys when both are JSON objects or lists, else as texts."""
    before, after = text_in(old), text_in(new)
    if before is None and after is None and isinstance(old, Mapping | list) and isinstance(new, Mapping | list):
        return by_keys(old, new)
    return by_text(shown(old), shown(new))


def text_in(output: Any) -> str | None:
    """The text of an output that is one, or an object that holds nothing else: `{"result": "Paris"}`."""
    if isinstance(output, str):
        return output
    if isinstance(output, Mapping) and len(output) == 1:
        (value,) = output.values()
        return value if isinstance(value, str) else None
    return None


def shown(output: Any) -> str:
    """Any output as text: JSON with indentation for what is none; empty for nothing at all."""
    text = text_in(output)
    if text is not None:
        return text
    if output is None or output == {}:
        return ""
    return json.dumps(output, ensure_ascii=False, indent=2, sort_keys=True, default=str)


def by_text(old: str, new: str) -> Difference:
    """Two texts, by words up to 20,000 characters each, else by lines."""
    if max(len(old), len(new)) <= BY_WORD_UP_TO:
        words = [TOKEN.findall(text) for text in (old, new)]
        if max(map(len, words)) <= MOST_WORDS:
            return _compared("words", *words)
    sides = [text[:MOST_CHARACTERS].splitlines(keepends=True) for text in (old, new)]
    is_cut = max(len(old), len(new)) > MOST_CHARACTERS or max(map(len, sides)) > MOST_LINES
    return _compared("lines", *(lines[:MOST_LINES] for lines in sides), is_cut=is_cut)


def by_keys(old: Any, new: Any) -> Difference:
    """Two JSON values: each path whose value differs, in order of paths."""
    sides = [dict(_leaves(value)) for value in (old, new)]
    is_cut = any(len(side) > MOST_LEAVES for side in sides)
    paths = sorted({*sides[0], *sides[1]}, key=_natural)
    changes: list[Change] = []
    equal = 0
    for path in paths:
        before, after = (side.get(path, _ABSENT) for side in sides)
        if _same(before, after):
            equal += 1
        elif len(changes) < MOST_CHANGES:
            changes.append(_key_change(path, before, after, has_parts=len(changes) < MOST_INNER))
        else:
            is_cut = True
    return Difference("keys", changes, equal / len(paths) if paths else 1.0, is_cut)


def _compared(unit: Unit, old: Sequence[str], new: Sequence[str], *, is_cut: bool = False) -> Difference:
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    middle = [side[head : len(side) - tail] for side in (old, new)]
    matched = head + tail
    changes = list(_equal(unit, old[:head])) if head else []
    count = 0
    # `autojunk` leaves the commonest words of long texts out of the search, which else grows with their square.
    for op, a, b, c, d in difflib.SequenceMatcher(None, middle[0], middle[1]).get_opcodes():
        if op == "equal":
            matched += b - a
            changes += _equal(unit, middle[0][a:b])
            continue
        count += 1
        if count > MOST_CHANGES:
            is_cut = True
            continue
        before, after = "".join(middle[0][a:b]), "".join(middle[1][c:d])
        is_cut = is_cut or max(len(before), len(after)) > LONGEST_PIECE
        kind: Op = "delete" if op == "delete" else "insert" if op == "insert" else "replace"
        changes.append(Change(kind, before[:LONGEST_PIECE], after[:LONGEST_PIECE]))
    if count > MOST_CHANGES:
        changes = list(_first_changes(changes))
    elif tail:
        changes += _equal(unit, old[len(old) - tail :])
    total = len(old) + len(new)
    return Difference(unit, changes, 2 * matched / total if total else 1.0, is_cut)


def _shared(old: Sequence[str], new: Sequence[str]) -> int:
    """How many pieces both begin with."""
    count = 0
    for before, after in zip(old, new, strict=False):
        if before != after:
            break
        count += 1
    return count


def _equal(unit: Unit, pieces: Sequence[str]) -> Iterator[Change]:
    if unit == "words" or len(pieces) <= 2 * CONTEXT_LINES + 1:
        text = "".join(pieces)[:LONGEST_PIECE]
        yield Change("equal", text, text)
        return
    first, last = "".join(pieces[:CONTEXT_LINES])[:LONGEST_PIECE], "".join(pieces[-CONTEXT_LINES:])[:LONGEST_PIECE]
    yield Change("equal", first, first)
    yield Change("skip", count=len(pieces) - 2 * CONTEXT_LINES)
    yield Change("equal", last, last)


def _first_changes(changes: Sequence[Change]) -> Iterator[Change]:
    """Everything up to the last change that is shown."""
    count = 0
    for change in changes:
        yield change
        count += change.op not in ("equal", "skip")
        if count == MOST_CHANGES:
            return


def _leaves(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of everything in a JSON value that holds nothing further; one more than is compared at most."""
    found = 0
    waiting: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while waiting and found <= MOST_LEAVES:
        path, each = waiting.pop()
        inner: list[tuple[str, Any]] = []
        if len(path) < DEEPEST:
            if isinstance(each, Mapping):
                inner = [(str(key), item) for key, item in each.items()]
            elif isinstance(each, list):
                inner = [(f"[{index}]", item) for index, item in enumerate(each[: MOST_LEAVES + 1])]
        if inner:
            waiting += [((*path, key), item) for key, item in reversed(inner)]
        else:
            found += 1
            yield path, each


def _key_change(path: tuple[str, ...], old: Any, new: Any, *, has_parts: bool) -> Change:
    key = ".".join(path).replace(".[", "[") or "(all)"
    if old is _ABSENT:
        return Change("insert", "", _leaf(new), key)
    if new is _ABSENT:
        return Change("delete", _leaf(old), "", key)
    parts: list[Change] = []
    if has_parts and isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) <= LONGEST_LEAF:
        parts = by_text(old, new).changes
    return Change("replace", _leaf(old), _leaf(new), key, parts=parts)


def _leaf(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text[:LONGEST_PIECE]


def _same(old: Any, new: Any) -> bool:
    # In Python True == 1, which are two values in JSON; 1 and 1.0 are one.
    return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)


def _natural(path: tuple[str, ...]) -> tuple[tuple[int, int, str], ...]:
    """Order of paths: the tenth item after the second."""
    return tuple((0, int(part[1:-1]), "") if re.fullmatch(r"\[\d{1,9}\]", part) else (1, 0, part) for part in path)
