"""The view of two runs compared: differences by metric, datapoints that got worse. Pure."""

from experiments.sdk.models import ExperimentRun, MetricComparison, RunComparisonResult
from experiments.sdk.views.parts import MAX_ROWS, Cell, Column, Sheet, Tone, View, figure, has_events, more, percentage
from governance.domain.formats import UNDEFINED, difference, exact, plural, score, short_id


def comparison_view(comparison: RunComparisonResult) -> View:
    """Metrics of both runs with their difference; then at most 10 datapoints that got worse."""
    facts = [Cell(plural(comparison.common_datapoints, "common datapoint"))]
    for count, where in ((comparison.new_only_datapoints, "new"), (comparison.old_only_datapoints, "old")):
        if count:
            facts.append(Cell(f"{exact(count)} only in the {where} run", "warn"))
    sheets = [_differences_sheet(comparison.metrics), _worse_sheet(comparison.metrics)]
    new = _run_title(comparison.new_run, comparison.new_run_id)
    old = _run_title(comparison.old_run, comparison.old_run_id)
    return View(
        title=f"{new} against {old}",
        facts=facts,
        sheets=[sheet for sheet in sheets if sheet.rows],
        sentences=[Cell(f"New {comparison.new_run_id}", "dim"), Cell(f"Old {comparison.old_run_id}", "dim")],
    )


def _differences_sheet(metrics: list[MetricComparison]) -> Sheet:
    is_split = has_events([metric.metric_name for metric in metrics])
    columns = [
        Column("metric"),
        *([Column("event", drop=1)] if is_split else []),
        Column("old", "number", drop=2),
        Column("new", "number"),
        Column("difference", "number"),
        Column("change", "number", drop=3),
        Column("better", "number", drop=4),
        Column("worse", "number", drop=4),
        Column("same", "number", drop=5),
        Column("n", "number", drop=6),
    ]
    rows = []
    for metric in metrics:
        tone = _difference_tone(metric)
        rows.append(
            [
                Cell(metric.metric_name + (" (lower is better)" if metric.direction == "lower" else "")),
                *([Cell(metric.event_name or UNDEFINED, "dim")] if is_split else []),
                figure(score(metric.old_aggregate)),
                figure(score(metric.new_aggregate)),
                figure(difference(metric.difference), tone),
                figure(percentage(metric.percentage_change), tone),
                figure(exact(metric.improved_count)),
                figure(exact(metric.degraded_count)),
                figure(exact(metric.same_count)),
                figure(exact(metric.found_count)),
            ]
        )
    return Sheet("", columns, rows)


def _difference_tone(metric: MetricComparison) -> Tone:
    shown = difference(metric.difference)
    if shown[:1] not in ("+", "−"):
        return ""
    return "good" if (shown[0] == "+") == (metric.direction != "lower") else "bad"


def _worse_sheet(metrics: list[MetricComparison]) -> Sheet:
    worse: dict[str, list[str]] = {}
    better: dict[str, list[str]] = {}
    for metric in metrics:
        for found, datapoints in ((worse, metric.degraded), (better, metric.improved)):
            for datapoint in datapoints:
                found.setdefault(datapoint, []).append(metric.metric_name)
    most_first = sorted(worse, key=lambda datapoint: -len(worse[datapoint]))  # stable: the server's order within
    rows = [
        [Cell(key), Cell(", ".join(worse[key])), Cell(", ".join(better.get(key, [])) or UNDEFINED, "dim")]
        for key in most_first[:MAX_ROWS]
    ]
    columns = [Column("datapoint", "id"), Column("worse in"), Column("better in", drop=1)]
    return Sheet("Worse than before", columns, rows, more(len(most_first)))


def _run_title(run: ExperimentRun | None, run_id: str) -> str:
    name = run.name if run else None
    return f"{name} ({short_id(run_id)})" if name else short_id(run_id)
