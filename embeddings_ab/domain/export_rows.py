"""Files of A/B tests: columns of the results with their version, and TREC run and qrels lines.

A column is never renamed, moved or given another meaning within a version; docs/exports.md lists them all.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from governance.domain.errors import InvalidInput
from governance.domain.file_exports import Download, ExportSchema

RESULT_COLUMNS = (
    "result_id",
    "arm_id",
    "arm",
    "query_id",
    "status",
    "error_code",
    "ranked_ids",
    "scores",
    "latency_ms",
    "latency_json",
    "metrics_json",
)
NAME = "ab-results"
VERSION = 1
FORMATS = ("csv", "json", "trec", "qrels")
_BLANKS = re.compile(r"\s")
_PIECE_CHARACTERS = 64 * 1024


def results_schema(measures: Sequence[str]) -> ExportSchema:
    """The fixed columns, then one for each measure of the test, in its order."""
    return ExportSchema(NAME, VERSION, (*RESULT_COLUMNS, *measures))


def result_row(
    *,
    result_id: int,
    arm_id: int,
    arm: str,
    query_id: str,
    is_failed: bool,
    error_code: str,
    ranked_ids: Sequence[str],
    scores: Sequence[float],
    latency: Mapping[str, float] | None,
    metrics: Mapping[str, float | None],
    measures: Sequence[str],
) -> tuple[Any, ...]:
    """Cells in the order of `results_schema`. Ids alone: no text of a document or chunk ever leaves with them (W21)."""
    return (
        result_id,
        arm_id,
        arm,
        query_id,
        "failed" if is_failed else "completed",
        error_code or None,
        list(ranked_ids),
        list(scores),
        None if latency is None else latency.get("total"),
        None if latency is None else dict(latency),
        dict(metrics),
        *(metrics.get(measure) for measure in measures),
    )


def valid_format(text: str) -> str:
    """One of FORMATS; nothing means CSV."""
    if text in FORMATS:
        return text
    if not text:
        return "csv"
    raise InvalidInput(
        f"Query parameter 'format' is {text[:40]!r}; use csv, json, trec or qrels.", field="format", value=text[:200]
    )


def run_lines(query_id: str, ranked_ids: Sequence[str], tag: str) -> Iterator[str]:
    """`query Q0 document rank score tag`, six columns.

    The score is n - rank: trec_eval keeps scores in single precision and breaks ties by document id, so that only
    whole numbers make it score the very ranking that was scored here. Imports let no id with white space in; in the
    tag, which is an arm's name, a blank becomes `_`.
    """
    tag, n = _BLANKS.sub("_", tag), len(ranked_ids)
    for rank, document in enumerate(ranked_ids, start=1):
        yield f"{query_id} Q0 {document} {rank} {n - rank} {tag}\n"


def qrels_line(query_id: str, document_id: str, grade: int) -> str:
    """`query 0 document grade`."""
    return f"{query_id} 0 {document_id} {grade}\n"


def text_download(lines: Iterable[str], *, name: str, subject: str, extension: str) -> Download:
    """A text file as headers and a body that is made while it is sent."""
    subject = re.sub(r"[^A-Za-z0-9._-]+", "-", subject)[:80].strip("-.")
    return Download(
        headers={
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Disposition": f'attachment; filename="hhweb-{name}-v{VERSION}-{subject}.{extension}"',
            "X-Hhweb-Schema": name,
            "X-Hhweb-Schema-Version": str(VERSION),
            "Cache-Control": "no-store",
        },
        pieces=_pieces(lines),
    )


def _pieces(lines: Iterable[str]) -> Iterator[bytes]:
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if size >= _PIECE_CHARACTERS:
            yield "".join(held).encode()
            held, size = [], 0
    if held:
        yield "".join(held).encode()
