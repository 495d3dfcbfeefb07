"""`hhweb ab import`: files become corpora, query sets and runs. Checked here first, where lines have numbers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from embeddings_ab.domain.importing import beir, json_lines, tables, trec
from embeddings_ab.domain.importing.checks import CheckedCorpus, check_documents, check_query_set
from embeddings_ab.domain.importing.faults import Faults
from embeddings_ab.domain.importing.rows import JudgmentRow, QueryRow
from governance.domain.errors import DomainError
from governance.domain.formats import exact
from hhweb.ab_cli.connection import Api, Refused, with_api

FORMATS = ("beir", "jsonl", "csv", "trec", "run")
FILE = click.Path(exists=True, path_type=Path)
Known = Callable[[Set[str]], Set[str]]


class GradeMap(click.ParamType[dict[int, int]]):
    """`-1=0,1=4,2=3`: what each grade of the file shall be."""

    name = "grades"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[int, int]:
        """The mapping; every part is `old=new` in whole numbers, no grade twice."""
        found: dict[int, int] = {}
        for part in str(value).split(","):
            old, equals, new = part.partition("=")
            try:
                key, grade = int(old), int(new)
            except ValueError:
                equals = ""
            if not equals or key in found:
                self.fail(f"{part!r} does not fit; write every grade once, like -1=0,1=4,2=3,3=2,4=1", param, ctx)
            found[key] = grade
        return found


@dataclass(frozen=True)
class How:
    """Options that all formats share."""

    splits: tuple[str, ...]
    grade_map: Mapping[int, int] | None
    drop_dangling: bool
    description: str


@click.command("import")
@click.argument("name")
@click.argument("path", type=FILE)
@click.option("--format", "form", type=click.Choice(FORMATS), default="beir", show_default=True, help="See below.")
@click.option("--split", "splits", multiple=True, help="beir: only this split, may be repeated; else the set's name.")
@click.option("--queries", type=FILE, help="jsonl, csv: file of queries.")
@click.option("--judgments", type=FILE, help="jsonl, csv: file of judgments; trec: the qrels.")
@click.option("--query-set", help="run: the query set that was answered.")
@click.option("--grade-map", type=GradeMap(), help="What each grade shall be, e.g. -1=0,1=4,2=3,3=2,4=1.")
@click.option("--drop-dangling", is_flag=True, help="Leave out judgments of documents or queries that are not there.")
@click.option("--description", default="", help="Words for the list of corpora.")
@with_api
def import_command(
    api: Api,
    name: str,
    path: Path,
    form: str,
    splits: tuple[str, ...],
    queries: Path | None,
    judgments: Path | None,
    query_set: str | None,
    grade_map: dict[int, int] | None,
    drop_dangling: bool,
    description: str,
) -> None:
    """Import documents and judged queries under NAME from PATH.

    \b
    beir   PATH is a folder: corpus.jsonl, queries.jsonl, qrels/<split>.tsv, each plain or .gz.
           Makes corpus NAME and one query set NAME/<split> for each split.
    jsonl  PATH is a file of documents, with --queries and --judgments query set NAME/test, too.
    csv    The same as tables whose first line names the columns.
    trec   PATH is a file of topics, --judgments the qrels: a query set for corpus NAME, which is there.
    run    PATH is a TREC run, an answer to --query-set from elsewhere: becomes run NAME, an arm of tests.

    What is there already with the same content is not stored again; other content makes the next version.
    """
    how = How(splits, grade_map, drop_dangling, description)
    with _refusals():
        if form == "beir":
            _reject(queries=queries, judgments=judgments, query_set=query_set)
            refused, imported = _import_beir(api, name, path, how)
            if refused and (splits or not imported):
                raise click.ClickException(f"{', '.join(refused)} of {path} could not be imported.")
            if refused:  # nobody asked for these by name
                click.echo(f"left out: {', '.join(refused)}; name one with --split and map its grades.", err=True)
        elif form in ("jsonl", "csv"):
            _reject(query_set=query_set)
            _import_files(api, name, path, form, queries, judgments, how)
        elif form == "trec":
            _reject(queries=queries, query_set=query_set)
            if judgments is None:
                raise click.UsageError("Format trec needs --judgments, the file of qrels.")
            _import_topics(api, name, path, judgments, how)
        else:
            _reject(queries=queries, judgments=judgments)
            if not query_set:
                raise click.UsageError("Format run needs --query-set, the name of the query set that was answered.")
            _import_run(api, name, path, query_set)


def _reject(**options: object) -> None:
    for option, value in options.items():
        if value is not None:
            raise click.UsageError(f"Option --{option.replace('_', '-')} does not go with this format.")


@contextmanager
def _refusals() -> Iterator[None]:
    """Refusals of the checks in the words of this command line, with its exit code."""
    try:
        yield
    except DomainError as error:
        raise _refused(error) from None


def _refused(error: DomainError) -> Refused:
    return Refused(in_our_words(error.message), status=error.status, code=error.code)


def in_our_words(message: str) -> str:
    """A message of the checks, with the options of this command in place of the fields of a body."""
    said = message.replace("a grade_map", "--grade-map").replace("grade_map", "--grade-map")
    return said.replace("drop_dangling", "--drop-dangling")


def _import_beir(api: Api, name: str, path: Path, how: How) -> tuple[list[str], int]:
    """Corpus and query sets of a folder; the refused splits, each with its reason printed, and how many were not."""
    folder = beir.BeirFolder(path)
    wanted = how.splits or folder.splits
    for split in how.splits:
        folder.judgments(split, Faults())  # an unknown split is refused before anything is sent
    faults = Faults()
    source = {"format": "beir", "folder": path.resolve().name}
    corpus = _send_corpus(api, name, check_documents(folder.documents(faults), faults), how, source)
    judged = {split: {row.query_id for row in folder.judgments(split, Faults())} for split in folder.splits}
    refused = []
    for split in wanted:
        # One file holds the queries of all splits: those that another split alone judges are not of this one.
        others = set[str]().union(*(judged[other] for other in judged if other != split)) - judged[split]
        faults = Faults()
        rows = (row for row in folder.queries(faults) if row.id not in others)
        try:
            _send_query_set(api, f"{name}/{split}", corpus, rows, folder.judgments(split, faults), faults, how, source)
        except (DomainError, Refused) as error:
            told = _refused(error).message if isinstance(error, DomainError) else error.message
            click.echo(f"query set {name}/{split}: {told}", err=True)
            refused.append(split)
    return refused, len(wanted) - len(refused)


def _import_files(
    api: Api, name: str, path: Path, form: str, queries: Path | None, judgments: Path | None, how: How
) -> None:
    reader = json_lines if form == "jsonl" else tables
    if judgments is not None and queries is None:
        raise click.UsageError("Option --judgments needs --queries, the file of the queries that were judged.")
    faults = Faults()
    source = {"format": form, "file": path.name}
    corpus = _send_corpus(api, name, check_documents(reader.read_documents(path, faults), faults), how, source)
    if queries is not None:
        faults = Faults()
        found = reader.read_judgments(judgments, faults) if judgments is not None else iter(())
        title = f"{name}/{_one_split(how)}"
        _send_query_set(api, title, corpus, reader.read_queries(queries, faults), found, faults, how, source)


def _import_topics(api: Api, name: str, path: Path, judgments: Path, how: How) -> None:
    faults = Faults()
    rows, found = trec.read_topics(path, faults), trec.read_qrels(judgments, faults)
    source = {"format": "trec", "file": path.name}
    # The documents are not here: the server knows which there are.
    title = f"{name.partition('@')[0]}/{_one_split(how)}"
    _send_query_set(api, title, _Corpus(name, lambda ids: ids), rows, found, faults, how, source)


def _import_run(api: Api, name: str, path: Path, query_set: str) -> None:
    faults = Faults()
    rankings: dict[str, list[dict[str, Any]]] = {}
    for row in trec.read_run(path, faults):
        rankings.setdefault(row.query_id, []).append({"document_id": row.document_id, "score": row.score})
    faults.refuse()
    answer = api.post("/runs", {"name": name, "query_set": query_set, "rankings": rankings})
    rows = sum(map(len, rankings.values()))
    click.echo(f"run {name}: {exact(rows)} documents for {exact(len(rankings))} queries of {query_set}")
    _warn(_warnings(answer))


def _one_split(how: How) -> str:
    if len(how.splits) > 1:
        raise click.UsageError("Option --split: only format beir has several; name one.")
    return how.splits[0] if how.splits else "test"


@dataclass(frozen=True)
class _Corpus:
    """What query sets are checked against: a reference, and which of some ids it has."""

    reference: str
    known: Known


def _send_corpus(api: Api, name: str, checked: CheckedCorpus, how: How, source: dict[str, Any]) -> _Corpus:
    documents = [
        {"id": row.id, "title": row.title, "text": row.text, "metadata": row.metadata} for row in checked.documents
    ]
    body = {"name": name, "description": how.description, "documents": documents, "source": source}
    answer = api.post("/corpora", body)
    said = f"corpus {_versioned(answer, name)}: {exact(len(documents))} documents{_state(answer)}"
    click.echo(said)
    _warn(_warnings(answer))
    ids = {row.id for row in checked.documents}
    return _Corpus(_versioned(answer, name), lambda asked: asked & ids)


def _send_query_set(
    api: Api,
    name: str,
    corpus: _Corpus,
    queries: Iterable[QueryRow],
    judgments: Iterable[JudgmentRow],
    faults: Faults,
    how: How,
    source: dict[str, Any],
) -> None:
    checked = check_query_set(
        queries,
        judgments,
        known_documents=corpus.known,
        grade_map=how.grade_map,
        drop_dangling=how.drop_dangling,
        faults=faults,
    )
    if how.grade_map:
        source = {**source, "grade_map": {str(old): new for old, new in how.grade_map.items()}}
    body = {
        "name": name,
        "corpus": corpus.reference,
        "description": how.description,
        "queries": [{"id": row.id, "text": row.text, "metadata": row.metadata} for row in checked.queries],
        "judgments": [
            {"query_id": row.query_id, "document_id": row.document_id, "grade": row.grade} for row in checked.judgments
        ],
        "drop_dangling": how.drop_dangling,
        "source": source,
    }
    answer = api.post("/query-sets", body)
    click.echo(
        f"query set {_versioned(answer, name)}: {exact(len(checked.queries))} queries, "
        f"{exact(checked.judged_count)} judged, {exact(len(checked.judgments))} judgments{_state(answer)}"
    )
    # What was dropped was dropped here, so the server cannot tell of it.
    dropped = [f"Left out: {exact(n)} {kind.replace('_', ' ')}." for kind, n in checked.dropped.items() if n]
    _warn(_warnings(answer) + dropped)


def _versioned(answer: Any, name: str) -> str:
    version = answer.get("version") if isinstance(answer, dict) else None
    return f"{name}@{version}" if version else name


def _summary(answer: Any) -> dict[str, Any]:
    found = answer.get("imported") if isinstance(answer, dict) else None
    return found if isinstance(found, dict) else {}


def _state(answer: Any) -> str:
    return "" if _summary(answer).get("is_new", True) else ", there already"


def _warnings(answer: Any) -> list[str]:
    return [str(warning) for warning in _summary(answer).get("warnings") or []]


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        click.echo(f"  beware: {in_our_words(warning)}")
