"""Exports of A/B tests: who takes which rows out of the house is audited before the first byte leaves.

Rows are read while they are sent, in short queries by key-set: memory stays flat and no transaction stays open.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.db import transaction

from embeddings_ab import telemetry
from embeddings_ab.domain import export_rows
from embeddings_ab.models import AbTest, Arm, Judgment
from embeddings_ab.selectors import result_pages
from embeddings_ab.selectors.ab_tests import arms_of, find_test
from embeddings_ab.selectors.reports import report_of
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import InvalidInput
from governance.domain.file_exports import Download, Export, download
from governance.services import audit


def export_results(*, caller: Caller, test_id: str, format: str = "csv", arm: str = "") -> Download:
    """The results of a test: every arm's, or one arm's.

    `format` is csv, json, trec (a run of one arm) or qrels (the judgments that the test was scored with). Raises
    `InvalidInput` for an unknown format or arm, and for a run of several arms, before anything is audited.
    """
    caller.require(Action.EXPORTS_READ)
    caller.require(Action.AB_READ)
    form = export_rows.valid_format(format)
    test = find_test(caller, test_id)
    chosen = _chosen_arm(test, form, arm)
    filters = {"test_id": test.public_id, "arm": chosen.name if chosen else None, "format": form}
    _record(caller, test, f"ab-{form}" if form in ("trec", "qrels") else export_rows.NAME, filters)
    selection = result_pages.ResultSelection(arm=chosen)
    if form == "trec" and chosen is not None:
        return export_rows.text_download(
            _run_lines(test, selection), name="ab-trec", subject=f"{test.public_id}-{chosen.name}", extension="trec"
        )
    if form == "qrels":
        return export_rows.text_download(_qrels_lines(test), name="ab-qrels", subject=test.public_id, extension="qrels")
    measures = [str(name) for name in test.spec.get("metrics", [])]
    export = Export(
        export_rows.results_schema(measures),
        caller.project_public_id,
        test.public_id if chosen is None else f"{test.public_id}-{chosen.name}",
        filters,
        _result_rows(test, selection, measures),
    )
    return download(export, "json" if form == "json" else "csv")


def export_report(*, caller: Caller, test_id: str) -> str:
    """The self-contained HTML report of a finished test. Raises `Conflict` while the test has no report."""
    from embeddings_ab.domain import html_report  # reads its style sheet: loaded by those who ask for a report alone

    caller.require(Action.EXPORTS_READ)
    caller.require(Action.AB_READ)
    test = find_test(caller, test_id)
    report = report_of(test)
    arms = [{"name": arm.name, "spec": arm.spec, "stats": arm.stats, "latency": arm.latency} for arm in arms_of(test)]
    text = html_report.render(
        report, arms, report_hash=test.report_hash, created=test.finished_at, test_id=test.public_id
    )
    _record(caller, test, "ab-report", {"test_id": test.public_id, "report_hash": test.report_hash})
    return text


def _chosen_arm(test: AbTest, form: str, name: str) -> Arm | None:
    if form == "qrels" and name:
        raise InvalidInput(
            "Query parameter 'arm': judgments belong to the query set, not to an arm; leave it out.",
            field="arm",
            value=name[:200],
        )
    if name:
        return result_pages.find_arm(test, name)
    if form != "trec":
        return None
    arms = arms_of(test)
    if len(arms) == 1:
        return arms[0]
    raise InvalidInput(
        f"Query parameter 'arm' is missing: a TREC run holds one arm. Choose {', '.join(arm.name for arm in arms)}.",
        field="arm",
    )


@transaction.atomic
def _record(caller: Caller, test: AbTest, kind: str, filters: dict[str, Any]) -> None:
    audit.record(
        caller=caller,
        action="ab_test.export",
        target_kind="ab_test",
        target_id=test.public_id,
        target_label=test.name,
        after={"schema": kind, "schema_version": export_rows.VERSION, "filters": filters},
    )
    telemetry.count_export(kind)


def _result_rows(
    test: AbTest, selection: result_pages.ResultSelection, measures: Sequence[str]
) -> Iterator[Sequence[Any]]:
    for chunk in result_pages.chunks(test, selection):
        for row in chunk:
            yield export_rows.result_row(
                result_id=row.pk,
                arm_id=row.position,
                arm=row.arm,
                query_id=row.query_id,
                is_failed=row.is_failed,
                error_code=row.error_code,
                ranked_ids=row.ranked_ids,
                scores=row.scores,
                latency=row.latency,
                metrics=row.metrics,
                measures=measures,
            )


def _run_lines(test: AbTest, selection: result_pages.ResultSelection) -> Iterator[str]:
    for chunk in result_pages.chunks(test, selection):
        for row in chunk:
            if not row.is_failed:
                yield from export_rows.run_lines(row.query_id, row.ranked_ids, row.arm)


def _qrels_lines(test: AbTest, size: int = 5000) -> Iterator[str]:
    """In order of queries as stored, then of documents; chunks begin behind the last primary key."""
    last = 0
    found = Judgment.objects.filter(query__query_set_id=test.query_set_id).order_by("pk")
    columns = ("pk", "query__external_id", "document_id", "grade")
    while rows := list(found.filter(pk__gt=last).values_list(*columns)[:size]):
        for _, query, document, grade in rows:
            yield export_rows.qrels_line(query, document, grade)
        last = rows[-1][0]
