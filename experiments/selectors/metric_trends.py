"""A metric over runs: its value with an interval at each run, and where its level changed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection
from django.db.models import BooleanField, Count, Q, QuerySet
from django.db.models.expressions import RawSQL

from experiments.domain.comparison_options import DEFAULT_CONFIDENCE
from experiments.domain.external_ids import is_external
from experiments.domain.run_status import RunStatus
from experiments.domain.statistics.change_points import Point, change_points
from experiments.domain.statistics.intervals import Interval, t_interval, wilson_interval
from experiments.domain.statistics.randomness import derived_seed
from experiments.domain.thresholds import direction_of
from experiments.models import Event, Experiment, Measurement, Run
from experiments.selectors.comparison import run_shown
from experiments.selectors.results import Computation, metric_rules
from experiments.selectors.runs import metric_names, runs_of
from governance.domain.caller import Caller
from governance.domain.errors import InvalidInput

MOST_COMPUTED = 20  # runs of a metric that is computed on read: a composite or a category
MOST_VALUES = 1_000_000
LARGEST = 1e140
RECENT_RUNS = 50  # whose metrics are offered
_EVENTS, _MEASUREMENTS = Event._meta.db_table, Measurement._meta.db_table


@dataclass(frozen=True, slots=True)
class TrendQuery:
    """Which runs: completed ones by beginning of the name, dataset, tag or schedule; the newest `limit` of them."""

    metric: str
    event_name: str = ""
    name_prefix: str = ""
    dataset: str = ""
    tag: str = ""
    schedule: str = ""
    limit: int = 50
    confidence: float = DEFAULT_CONFIDENCE


@dataclass(frozen=True, slots=True)
class _Series:
    """One run's datapoint means of the metric."""

    values: list[float]
    is_boolean: bool


def trend_of(*, caller: Caller, query: TrendQuery) -> dict[str, Any]:
    """The metric's mean (or rate) of each run, oldest first, and the runs at which its level changed.

    Executions of one datapoint are averaged first. Intervals are Wilson's for 0/1 and t otherwise; each holds for its
    own run, and two that overlap are no proof of anything. `unscored` datapoints of a run failed or were not judged.
    Changes are sought by `statistics.change_points` at 1 − confidence for all of them together. Runs with other
    datapoints are not comparable; a warning says so when datasets or sizes differ. Five queries; one more for each
    run of a composite or categorical metric.
    """
    runs, warnings = _runs(caller, query)
    rules = {rule.name: rule for rule in metric_rules(caller.project_id)}
    rule = rules.get(query.metric)
    is_computed = rule is not None and (rule.type == "COMPOSITE" or rule.return_type == "categorical")
    if is_computed and len(runs) > MOST_COMPUTED:
        warnings.append(
            f"{query.metric[:100]} is computed on read: of {len(runs)} runs the newest {MOST_COMPUTED} are shown."
        )
        runs = runs[-MOST_COMPUTED:]
    found = _computed(caller, runs, query) if is_computed else _stored(caller, runs, query)
    shown = [run for run in runs if found.get(run.run_key) and found[run.run_key].values]
    if len(shown) < len(runs):
        warnings.append(f"{len(runs) - len(shown)} of {len(runs)} runs have no value of {query.metric[:100]!r}.")
    executed = _executed(caller, shown)
    points = [_point(run, found[run.run_key], query.confidence, executed.get(run.run_key, 0)) for run in shown]
    with_gaps = sum(point["unscored"] > 0 for point in points)
    if with_gaps:
        warnings.append(
            f"{with_gaps} of {len(points)} runs have datapoints without a value, failed or not judged: their points "
            "are means of the rest."
        )
    datasets = {run.offline_dataset_id or str(run.dataset_id or "") for run in shown}
    if len(datasets) > 1:
        warnings.append(f"The runs are of {len(datasets)} datasets: part of what changes may be the datapoints.")
    elif points and min(point["n"] for point in points) < 0.5 * max(point["n"] for point in points):
        warnings.append("The runs differ much in size: part of what changes may be the datapoints.")
    seed = derived_seed(0, "\n".join(["trend", query.metric, *(run.run_key for run in shown)])) >> 75
    series = [Point(point["value"], point["n"], point["sd"]) for point in points]
    changes = change_points(series, seed=seed, alpha=round(1 - query.confidence, 12)) if series else []
    for change in changes:
        points[change.position]["change"] = {
            "before": change.before,
            "after": change.after,
            "difference": change.after - change.before,
            "p": change.p,
        }
    said = [run.metadata.get("metric_directions") for run in reversed(shown)]
    return {
        "metric_name": query.metric,
        "event_name": query.event_name or None,
        "direction": direction_of(query.metric, *said, metric=rule),
        "confidence": query.confidence,
        "points": points,
        "changes": [{"run_id": shown[change.position].run_key, **change.to_json()} for change in changes],
        "warnings": warnings,
    }


def metrics_of_runs(caller: Caller) -> list[str]:
    """Names of the metrics of the newest runs, to choose one from. Two queries."""
    recent = runs_of(caller).order_by("-created_at", "-id").values_list("run_key", flat=True)[:RECENT_RUNS]
    return metric_names(caller=caller, run_keys=list(recent))


def _runs(caller: Caller, query: TrendQuery) -> tuple[list[Run], list[str]]:
    """The newest matching runs, oldest first, and warnings. One query."""
    found: QuerySet[Run] = runs_of(caller).filter(status=RunStatus.COMPLETED).defer("event_ids")
    if query.name_prefix:
        found = found.filter(name__startswith=query.name_prefix)
    if query.dataset:
        named = (
            Q(offline_dataset_id=query.dataset) if is_external(query.dataset) else Q(dataset__public_id=query.dataset)
        )
        found = found.filter(named)
    if query.tag:
        found = found.filter(_with_tag(query.tag))
    if query.schedule:
        scheduled = Experiment.objects.filter(project_id=caller.project_id, schedule__public_id=query.schedule)
        found = found.filter(pk__in=scheduled.values("run_id"))
    runs = list(found.order_by("-created_at", "-id")[: query.limit + 1])
    warnings = [f"There are more runs; the newest {query.limit} are shown."] if len(runs) > query.limit else []
    return runs[: query.limit][::-1], warnings


def _with_tag(tag: str) -> Q:
    """Runs whose `metadata.tags` is a list with this text in it; the server's own runs carry theirs there as well."""
    if connection.vendor == "postgresql":
        return Q(metadata__contains={"tags": [tag]})
    table = Run._meta.db_table
    sql = (
        f"json_type({table}.metadata, '$.tags') = 'array' AND EXISTS"  # noqa: S608 - our own names
        f" (SELECT 1 FROM json_each({table}.metadata, '$.tags') WHERE value = %s)"
    )
    return Q(RawSQL(sql, [tag], output_field=BooleanField()))  # noqa: S611 - the tag is a parameter


def _executed(caller: Caller, runs: Sequence[Run]) -> dict[str, int]:
    """Datapoints executed by run id; sessions without a datapoint are one each. One query."""
    rows = Event.objects.filter(
        project_id=caller.project_id, run_key__in=[run.run_key for run in runs], event_type="session"
    )
    counted = rows.order_by().values_list("run_key")
    counts = counted.annotate(
        named=Count("datapoint_key", distinct=True), unnamed=Count("pk", filter=Q(datapoint_key__isnull=True))
    )
    return {str(run_key): named + unnamed for run_key, named, unnamed in counts}


def _stored(caller: Caller, runs: Sequence[Run], query: TrendQuery) -> dict[str, _Series]:
    """Datapoint means by run id, gathered by the database. One query.

    Of several events the metric stands on the one nearest to the session counts, unless one is named.
    """
    if not runs:
        return {}
    is_postgres = connection.vendor == "postgresql"
    text = "mean::text" if is_postgres else "printf('%%!.17g', mean)"
    gathered = f"string_agg({text}, ',')" if is_postgres else f"group_concat({text})"
    marks = ", ".join(["%s"] * len(runs))
    keys = [run.run_key for run in runs]
    condition, params = "", list[int | str]([caller.project_id, *keys, query.metric])
    if query.event_name:
        condition = " AND m.event_name = %s"
        params.append(query.event_name)
    boolean = "bool_and(m.is_boolean)" if is_postgres else "MIN(m.is_boolean)"
    every = "bool_and(is_boolean)" if is_postgres else "MIN(is_boolean)"
    sql = (
        f"SELECT run_key, event_name, event_type, COUNT(*), {every}, {gathered} FROM ("  # noqa: S608
        " SELECT m.run_key AS run_key, m.event_name AS event_name, m.event_type AS event_type,"
        f" AVG(m.value) AS mean, {boolean} AS is_boolean"
        f" FROM {_MEASUREMENTS} m LEFT JOIN {_EVENTS} e"
        " ON e.project_id = m.project_id AND e.event_key = m.session_key"
        f" WHERE m.project_id = %s AND m.run_key IN ({marks}) AND m.name = %s{condition}"
        f" AND m.value BETWEEN {-LARGEST!r} AND {LARGEST!r}"
        " GROUP BY m.run_key, m.event_name, m.event_type,"
        f" COALESCE(e.datapoint_key, {'m.session_key::text' if is_postgres else 'm.session_key'})"
        ") AS datapoints GROUP BY run_key, event_name, event_type"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows = cursor.fetchall()
    total = sum(row[3] for row in rows)
    if total > MOST_VALUES:
        raise InvalidInput(
            f"These runs have {total:,} values of {query.metric[:100]!r}; at most {MOST_VALUES:,} are shown at once. "
            "Ask for fewer runs (limit=…).",
            field="limit",
            value=str(query.limit),
        )
    found: dict[str, _Series] = {}
    for run_key, _, _, _, is_boolean, values in sorted(rows, key=_nearness):
        found[run_key] = _Series(sorted(orjson.loads(f"[{values}]")), bool(is_boolean))
    return found


def _nearness(row: Sequence[Any]) -> tuple[bool, str, str]:
    """Order of columns: chain and session level last, as in comparisons."""
    return (row[2] in {"chain", "session"}, str(row[1]), str(row[2]))


def _computed(caller: Caller, runs: Sequence[Run], query: TrendQuery) -> dict[str, _Series]:
    """The same of a metric that is computed on read, run by run."""
    found: dict[str, _Series] = {}
    for run in runs:
        computation = Computation(caller=caller, run=run)
        for _ in computation.chunks():
            pass
        for column in computation.table.filled_columns():
            if column.name == query.metric and query.event_name in ("", column.event_name):
                values = computation.table.compared_column(column, "average")
                known = [value for value in values.by_datapoint.values() if abs(value) <= LARGEST]
                found[run.run_key] = _Series(sorted(known), values.is_boolean)
    return found


def _point(run: Run, series: _Series, confidence: float, executed: int) -> dict[str, Any]:
    values, count = series.values, len(series.values)
    mean = math.fsum(values) / count
    if all(value in (0.0, 1.0) for value in values):
        interval: Interval = wilson_interval(int(sum(values)), count, level=confidence)
    else:
        interval = t_interval(values, level=confidence)
        if values[0] == values[-1]:  # ascending: all are equal, which says nothing of their spread
            interval = Interval(None, None, "t", confidence)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1)) if count > 1 else None
    return {
        **run_shown(run),
        "n": count,
        "unscored": max(0, executed - count),
        "value": mean,
        "sd": spread,
        "low": interval.low,
        "high": interval.high,
        "method": interval.method,
        "is_boolean": series.is_boolean,
        "change": None,
    }
