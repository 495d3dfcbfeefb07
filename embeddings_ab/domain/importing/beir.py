"""BEIR's layout, read and written: corpus.jsonl, queries.jsonl and qrels/<split>.tsv, each plain or gzip."""

import gzip
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from embeddings_ab.domain.importing import json_lines
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.objects import note_grade, whole_grade
from embeddings_ab.domain.importing.rows import DocumentRow, JudgmentRow, QueryRow
from embeddings_ab.domain.importing.text_lines import Source, text_lines
from governance.domain.errors import InvalidInput, NotFound

_HEADER = ("query-id", "corpus-id", "score")
_HEADER_WORDS = {"score", "grade", "relevance", "label"}


class BeirFolder:
    """A folder of one data set. Nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise NotFound(f"There is no folder {str(path)!r}.", field="path", value=str(path))
        self._files = {name: self._file(name) for name in ("corpus.jsonl", "queries.jsonl")}

    def _file(self, name: str) -> Path:
        for candidate in (self.path / name, self.path / f"{name}.gz"):
            if candidate.is_file():
                return candidate
        raise InvalidInput(
            f"Folder {self.path.name!r} has neither {name} nor {name}.gz. BEIR's layout is corpus.jsonl, "
            "queries.jsonl and qrels/<split>.tsv.",
            field="path",
            value=str(self.path),
        )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the files in qrels, sorted."""
        names = {file.name.removesuffix(".gz").removesuffix(".tsv") for file in self._qrels()}
        return tuple(sorted(names))

    def _qrels(self) -> list[Path]:
        return [file for file in (self.path / "qrels").glob("*.tsv*") if file.name.endswith((".tsv", ".tsv.gz"))]

    def documents(self, faults: Faults) -> Iterator[DocumentRow]:
        """All documents."""
        return json_lines.read_documents(self._files["corpus.jsonl"], faults)

    def queries(self, faults: Faults) -> Iterator[QueryRow]:
        """All queries, of all splits."""
        return json_lines.read_queries(self._files["queries.jsonl"], faults)

    def queries_of(self, split: str, faults: Faults) -> Iterator[QueryRow]:
        """Queries that the split judges: sets with several splits keep the queries of all in one file."""
        judged = {row.query_id for row in self.judgments(split, Faults())}
        return (row for row in self.queries(faults) if row.id in judged)

    def judgments(self, split: str, faults: Faults) -> Iterator[JudgmentRow]:
        """Judgments of one split."""
        for file in self._qrels():
            if file.name in (f"{split}.tsv", f"{split}.tsv.gz"):
                return read_qrels(file, faults, name=f"qrels/{file.name}")
        raise NotFound(
            f"Folder {self.path.name!r} has no split {split!r}; it has {', '.join(self.splits) or 'none'}.",
            field="split",
            value=split,
        )


def read_qrels(source: Source, faults: Faults, *, name: str = "") -> Iterator[JudgmentRow]:
    """Judgments of three tab-separated columns, with or without a header line."""
    is_first = True
    for place, line in text_lines(source, faults, name=name):
        if not line.strip():
            continue
        columns = [column.strip() for column in line.split("\t")]
        if is_first:
            is_first = False
            if columns[-1].lower() in _HEADER_WORDS:
                continue
        if len(columns) != len(_HEADER):
            hint = "This looks like TREC's four columns; import it as TREC." if len(line.split()) == 4 else ""
            faults.note(
                "wrong_columns",
                place,
                "line",
                line.strip(),
                f"The line has {len(columns)} tab-separated columns; needed are {', '.join(_HEADER)}. {hint}".strip(),
            )
        elif (grade := whole_grade(columns[2])) is None:
            note_grade(place, columns[2], faults)
        else:
            yield JudgmentRow(columns[0], columns[1], grade, place=place)


def document_lines(documents: Iterable[DocumentRow]) -> Iterator[str]:
    """Lines of corpus.jsonl."""
    for row in documents:
        yield _json_line({"_id": row.id, "title": row.title, "text": row.text, "metadata": row.metadata})


def query_lines(queries: Iterable[QueryRow]) -> Iterator[str]:
    """Lines of queries.jsonl."""
    for row in queries:
        yield _json_line({"_id": row.id, "text": row.text, "metadata": row.metadata})


def judgment_lines(judgments: Iterable[JudgmentRow]) -> Iterator[str]:
    """Lines of qrels/<split>.tsv, header first."""
    yield "\t".join(_HEADER) + "\n"
    for row in judgments:
        yield f"{row.query_id}\t{row.document_id}\t{row.grade}\n"


def _json_line(item: dict[str, object]) -> str:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":")) + "\n"


def write_folder(
    path: Path,
    documents: Iterable[DocumentRow],
    queries: Iterable[QueryRow],
    splits: dict[str, Iterable[JudgmentRow]],
    *,
    packed: bool = False,
) -> None:
    """A folder that `BeirFolder` reads back to the same content; `packed` writes gzip, equal for equal content."""
    (path / "qrels").mkdir(parents=True, exist_ok=True)
    suffix = ".gz" if packed else ""
    for name, lines in (
        ("corpus.jsonl", document_lines(documents)),
        ("queries.jsonl", query_lines(queries)),
        *((f"qrels/{split}.tsv", judgment_lines(rows)) for split, rows in splits.items()),
    ):
        with _created(path / f"{name}{suffix}", packed=packed) as stream:
            for line in lines:
                stream.write(line.encode())


@contextmanager
def _created(path: Path, *, packed: bool) -> Iterator[IO[bytes]]:
    with path.open("wb") as file:
        if not packed:
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream:
            yield stream  # type: ignore[misc]  # GzipFile writes bytes like any binary file
