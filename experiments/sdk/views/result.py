"""The view of one run's result: facts, metrics, failing datapoints. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from experiments.sdk.models import (
    DatapointOutcome,
    DatapointResult,
    ExperimentResultSummary,
    MetricDetail,
    Metrics,
    PassingRange,
)
from experiments.sdk.views.parts import MAX_ROWS, Cell, Column, Sheet, View, figure, has_events, more, range_text
from governance.domain.formats import UNDEFINED, exact, metric_value, plural, preview, score

REPLAY = "hhweb spool replay"
_MAX_REASONS = 3  # of one kind, of one datapoint


@dataclass(frozen=True, slots=True)
class Failure:
    """One execution that did not go well; `reasons` are (kind, text): function, evaluator, delivery or threshold."""

    datapoint_id: str
    shown_input: str
    reasons: list[tuple[str, str]]


def result_view(result: ExperimentResultSummary, name: str | None = None) -> View:
    """Metrics with aggregate, n, range and verdicts; then at most 10 failing datapoints."""
    sheets = [_metrics_sheet(result.metrics), _failures_sheet(list(failures(result)))]
    return View(
        title=name or result.name or result.run_id,
        facts=_facts(result),
        sheets=[sheet for sheet in sheets if sheet.rows],
        sentences=_sentences(result),
    )


def metric_details(metrics: Metrics) -> list[MetricDetail]:
    """All metrics of a result, also those that older servers key by name."""
    found = list(metrics.details)
    for name, said in (metrics.model_extra or {}).items():
        if isinstance(said, Mapping):
            aggregate, values = said.get("aggregate"), said.get("values")
            found.append(
                MetricDetail(
                    metric_name=name,
                    aggregate=aggregate if isinstance(aggregate, int | float) else None,
                    values=[v for v in values if isinstance(v, int | float)] if isinstance(values, list) else [],
                )
            )
        elif isinstance(said, int | float):
            found.append(MetricDetail(metric_name=name, aggregate=said))
    return found


def failures(result: ExperimentResultSummary) -> Iterator[Failure]:
    """Executions that failed or lack something, in input order where they ran here, else in the server's.

    While a whole run waits in the spool, that alone is no failure of a datapoint.
    """
    ranges = {(detail.metric_name, detail.event_name): detail.passing_range for detail in result.metrics.details}
    rows = {row.session_id: row for row in result.datapoints}
    is_waiting = result.status == "pending_upload"
    for outcome in result.outcomes:
        row = rows.pop(outcome.session_id, None)
        reasons = list(_reasons_here(outcome, is_waiting))
        told = outcome.evaluator_errors.keys()  # why a value is missing, better than that it is
        reasons += _reasons_there(row, ranges, told, has_reason=outcome.error is not None) if row else []
        if reasons:
            again = f" #{outcome.repetition + 1}" if outcome.repetition else ""
            yield Failure(f"{outcome.datapoint_id}{again}", preview(outcome.inputs, 60), reasons)
    for row in rows.values():
        if reasons := _reasons_there(row, ranges, (), has_reason=False):
            yield Failure(row.datapoint_id or row.session_id or UNDEFINED, UNDEFINED, reasons)


def _facts(result: ExperimentResultSummary) -> list[Cell]:
    is_bad = result.status in ("failed", "cancelled")
    is_waiting = result.status == "pending_upload"
    facts = [Cell(result.status.replace("_", " "), "bad" if is_bad else "warn" if is_waiting else "")]
    if result.passed or result.failed:
        facts.append(Cell(f"{exact(len(result.passed))} passed", "good" if result.passed else ""))
        facts.append(Cell(f"{exact(len(result.failed))} failed", "bad" if result.failed else ""))
    elif result.outcomes:
        facts.append(Cell(f"{plural(len(result.outcomes), 'datapoint')} executed"))
    for found, one in (
        (result.function_failures, "function failure"),
        (result.evaluator_failures, "evaluator failure"),
    ):
        if found:
            facts.append(Cell(plural(len(found), one), "bad"))
    if result.delivery_failures and not is_waiting:
        facts.append(Cell(f"{exact(len(result.delivery_failures))} not delivered", "bad"))
    for count, word in (
        (sum(outcome.is_cached for outcome in result.outcomes), "from the cache"),
        (sum(outcome.is_resumed for outcome in result.outcomes), "there before"),
    ):
        if count:
            facts.append(Cell(f"{exact(count)} {word}", "dim"))
    return facts


def _sentences(result: ExperimentResultSummary) -> list[Cell]:
    said = [Cell(result.error, "bad")] if result.error else []
    is_told = any(REPLAY in notice for notice in result.notices)  # with the reason
    if result.status == "pending_upload" and not is_told:
        where = f" in {result.spool_path}" if result.spool_path else ""
        said.append(Cell(f"Not uploaded yet: the run waits{where}", "warn"))
        said.append(Cell(f"Send it with: {REPLAY} {result.run_id}".rstrip(), "warn"))
    said += [Cell(notice, "warn") for notice in result.notices]
    if result.run_id:
        said.append(Cell(f"Run {result.run_id}", "dim"))
    if result.server_url and result.run_id and result.status != "pending_upload":
        said.append(Cell(console_url(result.server_url, result.run_id), "dim"))
    return said


def console_url(server_url: str, run_id: str) -> str:
    """The run's page; the hosted service has its pages elsewhere, so there only its address."""
    if server_url.rstrip("/").endswith("honeyhive.ai"):
        return server_url
    return f"{server_url.rstrip('/')}/console/runs/{run_id}/"


def _metrics_sheet(metrics: Metrics) -> Sheet:
    details = metric_details(metrics)
    is_split = has_events([detail.metric_name for detail in details])
    columns = [
        Column("metric"),
        *([Column("event", drop=1)] if is_split else []),
        Column(metrics.aggregation_function or "aggregate", "number"),
        Column("n", "number", drop=3),
        Column("passes", "number", drop=4),
        Column("passed", "number", drop=2),
        Column("failed", "number", drop=1),
    ]
    rows = []
    for detail in details:
        verdicts = detail.datapoints
        failed = len(verdicts.failed) if verdicts else None
        rows.append(
            [
                Cell(detail.metric_name),
                *([Cell(detail.event_name or UNDEFINED, "dim")] if is_split else []),
                figure(score(detail.aggregate)),
                figure(exact(len(detail.values)) if detail.values else UNDEFINED),
                figure(range_text(detail.passing_range)),
                figure(exact(len(verdicts.passed)) if verdicts else UNDEFINED),
                figure(exact(failed), "bad" if failed else ""),
            ]
        )
    return Sheet("", columns, rows)


def _failures_sheet(found: list[Failure]) -> Sheet:
    """One row per failing datapoint and kind; thresholds last, so that ten of them hide no other kind."""
    has_input = any(failure.shown_input != UNDEFINED for failure in found)
    columns = [Column("datapoint", "id"), Column("failed", "word"), Column("why")]
    if has_input:
        columns.insert(1, Column("input", drop=1))
    rows = []
    for failure in sorted(found, key=lambda failure: failure.reasons[0][0] == "threshold")[:MAX_ROWS]:
        for number, kind in enumerate(dict.fromkeys(kind for kind, _ in failure.reasons)):
            row = [Cell("" if number else failure.datapoint_id), Cell(kind, "bad"), Cell(_of_kind(failure, kind))]
            if has_input:
                row.insert(1, Cell("" if number else failure.shown_input, "dim"))
            rows.append(row)
    return Sheet("Failing datapoints", columns, rows, more(len(found)))


def _of_kind(failure: Failure, kind: str) -> str:
    texts = [text for its_kind, text in failure.reasons if its_kind == kind]
    rest = len(texts) - _MAX_REASONS
    return "; ".join(texts[:_MAX_REASONS]) + (f"; {exact(rest)} more" if rest > 0 else "")


def _reasons_here(outcome: DatapointOutcome, is_waiting: bool) -> Iterator[tuple[str, str]]:
    if outcome.error is not None:
        yield "function", preview(outcome.error)
    for name, error in outcome.evaluator_errors.items():
        yield "evaluator", preview(f"{name}: {error}")
    if outcome.delivered is False and not is_waiting:
        yield "delivery", "not acknowledged by the server"


def _reasons_there(
    row: DatapointResult,
    ranges: Mapping[tuple[str, str | None], PassingRange | None],
    told: Collection[str],
    *,
    has_reason: bool,
) -> list[tuple[str, str]]:
    if row.passed is not False:
        return []
    found = []
    for metric in row.metrics:
        if metric.passed is False:
            bounds = range_text(ranges.get((metric.name, metric.event_name)))
            wanted = f" (passes {bounds})" if bounds != UNDEFINED else ""
            value = metric_value(metric.value, is_boolean=isinstance(metric.value, bool))
            found.append(("threshold", f"{metric.name} {value}{wanted}"))
    found += [("evaluator", f"no value of {name}, which has a threshold") for name in row.missing if name not in told]
    if not found and not has_reason and not row.missing:
        return [("function", "the server counts this execution as failed")]
    return found
