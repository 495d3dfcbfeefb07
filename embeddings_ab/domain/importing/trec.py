"""TREC's formats: topics (tagged or tab-separated), judgments of four columns, runs of six.

Columns are separated by white space. Ranks of runs are ignored, as trec_eval does: the score decides.
"""

import html
import re
from collections.abc import Iterable, Iterator

from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.objects import note_grade, whole_grade
from embeddings_ab.domain.importing.rows import JudgmentRow, Place, QueryRow, RankedRow
from embeddings_ab.domain.importing.text_lines import Source, text_lines

_TAG = re.compile(r"<\s*(/?)\s*([A-Za-z][\w-]*)([^<>]*)>")
_NUMBER = re.compile(r"number\s*=\s*[\"']?\s*([^\"'\s>]+)", re.IGNORECASE)
_LABEL = re.compile(r"^\s*(number|topic|description|narrative)\s*:", re.IGNORECASE)
_FIELDS = {
    "num": "id",
    "title": "text",
    "query": "text",
    "desc": "description",
    "description": "description",
    "question": "description",
    "narr": "narrative",
    "narrative": "narrative",
}
_TOPICS = ("top", "topic")
Columns = tuple[Place, list[str]]


def read_topics(source: Source, faults: Faults, *, name: str = "") -> Iterator[QueryRow]:
    """Queries of a topics file.

    Tagged topics (`<top>`, or `<topic number="1">`) give their title as text and description and narrative as
    metadata; closing tags may be missing, as in TREC's own files. Otherwise every line is an id, a tab and a text.
    """
    lines = text_lines(source, faults, name=name)
    first = next(((place, line) for place, line in lines if line.strip()), None)
    if first is None:
        return
    everything = _again(first, lines)
    yield from _tagged(everything, faults) if first[1].lstrip().startswith("<") else _tabbed(everything, faults)


def _again(first: tuple[Place, str], rest: Iterable[tuple[Place, str]]) -> Iterator[tuple[Place, str]]:
    yield first
    yield from rest


def _tabbed(lines: Iterable[tuple[Place, str]], faults: Faults) -> Iterator[QueryRow]:
    for place, line in lines:
        if not line.strip():
            continue
        id, tab, text = line.rstrip("\r\n").partition("\t")
        if tab:
            yield QueryRow(id.strip(), text, {}, place)
        else:
            faults.note(
                "wrong_columns", place, "line", line.strip(), "The line has no tab; it is an id, a tab and the query."
            )


class _Topic:
    """One topic while its lines are read."""

    def __init__(self, place: Place, attributes: str) -> None:
        number = _NUMBER.search(attributes)
        self.place = place
        self.parts: dict[str, list[str]] = {"id": [number[1]] if number else []}
        self.field = ""

    def open(self, field: str) -> None:
        self.field = field
        self.parts.setdefault(field, [])

    def add(self, text: str) -> None:
        if self.field and text.strip():
            self.parts[self.field].append(text)

    def value(self, field: str) -> str:
        joined = " ".join(" ".join(self.parts.get(field, [])).split())
        return html.unescape(_LABEL.sub("", joined)).strip()

    def row(self, faults: Faults) -> QueryRow | None:
        if not self.value("id"):
            faults.note("missing_field", self.place, "num", None, "The topic has no number; give it <num> or number=….")
            return None
        about = {field: text for field in ("description", "narrative") if (text := self.value(field))}
        return QueryRow(self.value("id"), self.value("text"), about, self.place)


def _tagged(lines: Iterable[tuple[Place, str]], faults: Faults) -> Iterator[QueryRow]:
    topic: _Topic | None = None
    for place, line in lines:
        position = 0
        for tag in _TAG.finditer(line):
            if topic is not None:
                topic.add(line[position : tag.start()])
            position = tag.end()
            is_end, name = bool(tag[1]), tag[2].lower()
            if name in _TOPICS:
                if topic is not None and (row := topic.row(faults)) is not None:
                    yield row
                topic = None if is_end else _Topic(place, tag[3])
            elif topic is not None and name in _FIELDS:
                topic.open("" if is_end else _FIELDS[name])
        if topic is not None:
            topic.add(line[position:])
    if topic is not None and (row := topic.row(faults)) is not None:
        yield row


def read_qrels(source: Source, faults: Faults, *, name: str = "") -> Iterator[JudgmentRow]:
    """Judgments: query, iteration (ignored), document, grade."""
    for place, (query_id, _, document_id, text) in _columns(
        source, faults, 4, "query, iteration, document, grade", name
    ):
        if (grade := whole_grade(text)) is None:
            note_grade(place, text, faults)
        else:
            yield JudgmentRow(query_id, document_id, grade, place=place)


def read_run(source: Source, faults: Faults, *, name: str = "") -> Iterator[RankedRow]:
    """Rankings: query, Q0 (ignored), document, rank (ignored), score, tag (ignored)."""
    said = "query, Q0, document, rank, score, tag"
    for place, (query_id, _, document_id, _, text, _) in _columns(source, faults, 6, said, name):
        try:
            score = float(text)
        except ValueError:
            faults.note(
                "bad_score", place, "score", text, f"Field 'score' is {text[:40]!r}; give a number in column 5 of 6."
            )
            continue
        yield RankedRow(query_id, document_id, score, place)


def _columns(source: Source, faults: Faults, count: int, said: str, name: str) -> Iterator[Columns]:
    for place, line in text_lines(source, faults, name=name):
        columns = line.split()
        if len(columns) == count:
            yield place, columns
        elif columns:
            faults.note(
                "wrong_columns",
                place,
                "line",
                line.strip(),
                f"The line has {len(columns)} columns; {count} are needed: {said}.",
            )


def qrels_lines(judgments: Iterable[JudgmentRow]) -> Iterator[str]:
    """Judgments as TREC writes them, in the order given."""
    for row in judgments:
        yield f"{row.query_id} 0 {row.document_id} {row.grade}\n"


def run_lines(rankings: Iterable[tuple[str, Iterable[tuple[str, float]]]], *, tag: str) -> Iterator[str]:
    """Rankings as TREC writes runs: ranks from 1, scores with all their digits. `tag` loses its white space."""
    name = "_".join(tag.split()) or "run"
    for query_id, ranking in rankings:
        for rank, (document_id, score) in enumerate(ranking, 1):
            yield f"{query_id} Q0 {document_id} {rank} {score!r} {name}\n"
