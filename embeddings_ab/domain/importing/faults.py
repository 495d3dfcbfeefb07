"""What is wrong with an import: the first fault in words, and how many there are of each kind."""

from collections import Counter
from typing import Any

from embeddings_ab.domain.importing.rows import Place
from governance.domain.errors import InvalidInput


class Faults:
    """Collected while rows stream by, so that one look at the answer shows the whole damage."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._first: InvalidInput | None = None

    def __bool__(self) -> bool:
        return bool(self.counts)

    def note(self, kind: str, place: Place, field: str, value: Any, sentence: str) -> None:
        """Count a fault; the first is kept in words. `sentence` says what is wrong and what to do."""
        self.counts[kind] += 1
        if self._first is None:
            where = f"{place}: " if str(place) else ""
            details: dict[str, Any] = {
                "field": place.field(field),
                "value": None if value is None else str(value)[:200],
            }
            if place.file:
                details |= {"file": place.file, "line": place.line}
            self._first = InvalidInput(f"{where}{sentence}", **details)

    def refuse(self) -> None:
        """Raise the first fault, with the counts of all; nothing where there is none."""
        if self._first is None:
            return
        first, counts = self._first, dict(sorted(self.counts.items()))
        if sum(counts.values()) > 1:
            said = ", ".join(f"{count} x {kind.replace('_', ' ')}" for kind, count in counts.items())
            first = InvalidInput(f"{first.message} In all: {said}.", **first.details)
        first.details["faults"] = counts
        raise first
