"""Console page of two runs: what changed, where, and with which outputs. Counts and means; no test is computed here."""

from typing import Any

from django.http import HttpResponseBase

from experiments.admin.runs import find_run
from experiments.domain.comparison import ComparedMetric
from experiments.models import Run
from experiments.selectors import run_overview
from experiments.selectors.comparison import compare_runs
from experiments.selectors.runs import runs_of
from governance.admin.pages import Visit, clean, page
from governance.domain import figures, formats
from governance.domain.actions import Action
from governance.domain.caller import Caller

MOVERS = 20


def chosen_runs(visit: Visit) -> tuple[Run, Run] | None:
    """(baseline, candidate) of `?baseline=&candidate=`, or the older and newer of two `?run=`."""
    query = visit.request.GET
    named = [clean(query.get("baseline"), 255), clean(query.get("candidate"), 255)]
    if all(named):
        return find_run(visit.caller, named[0]), find_run(visit.caller, named[1])
    listed = [value for value in (clean(text, 255) for text in query.getlist("run")) if value][:2]
    if len(listed) == 2:
        old, new = sorted((find_run(visit.caller, value) for value in listed), key=lambda run: (run.created_at, run.pk))
        return old, new
    return None


def verdict(metric: ComparedMetric) -> str:
    """Direction of the mean's change; a word of direction, not of significance."""
    difference = metric.difference
    if difference is None:
        return ""
    good = -difference if metric.direction == "lower" else difference
    return "better" if good > 0 else "worse" if good < 0 else "same"


def metric_lines(metrics: list[ComparedMetric]) -> list[dict[str, Any]]:
    """Lines of the metric table; scores within 0 to 1 share one axis, other metrics have their own."""

    def is_score(metric: ComparedMetric) -> bool:
        values = [*metric.old_values, *metric.new_values]
        return bool(values) and min(values) >= 0 and max(values) <= 1

    reach = max((abs(m.difference or 0) for m in metrics if is_score(m)), default=0.0)
    lines = []
    for metric in metrics:
        kind = verdict(metric)
        own = reach if is_score(metric) else abs(metric.difference or 0)
        # As many decimals as the two means beside it have.
        decimals = 1 if max(abs(metric.old_aggregate or 0), abs(metric.new_aggregate or 0)) >= 100 else 3
        shown = formats.difference(metric.difference, decimals)
        label = f"{metric.metric_name}: difference {shown}, mean {kind or 'undefined'}"
        lines.append(
            {
                "metric": metric,
                "kind": kind,
                "difference": shown,
                "improved": len(metric.improved),
                "degraded": len(metric.degraded),
                "same": len(metric.same),
                "plot": figures.difference_plot(
                    metric.difference, reach=own, label=label, lower_is_better=metric.direction == "lower"
                ),
            }
        )
    return lines


def movers_of(caller: Caller, metric: ComparedMetric, common: list[str], old: Run, new: Run) -> list[dict[str, Any]]:
    """Datapoints that moved most, losses first, with both outputs. Two queries for sessions and their details."""
    have = {*metric.improved, *metric.degraded, *metric.same}
    keys = [key for key in common if key in have]
    values = dict(zip(keys, zip(metric.old_values, metric.new_values, strict=True), strict=True))
    sign = -1 if metric.direction == "lower" else 1
    moved = sorted(
        (key for key in keys if values[key][0] != values[key][1]),
        key=lambda key: (-abs(values[key][1] - values[key][0]), sign * (values[key][1] - values[key][0])),
    )[:MOVERS]
    sessions = run_overview.sessions_of_datapoints(
        caller=caller, run_keys=[old.run_key, new.run_key], datapoint_ids=moved
    )
    details = run_overview.session_details(caller=caller, session_ids=map(str, sessions.values()))
    lines = []
    for key in moved:
        before, after = values[key]
        old_session, new_session = sessions.get((old.run_key, key)), sessions.get((new.run_key, key))
        good = sign * (after - before)
        lines.append(
            {
                "key": key,
                "old": before,
                "new": after,
                "difference": after - before,
                "kind": "better" if good > 0 else "worse",
                "old_session": old_session,
                "new_session": new_session,
                "old_detail": details.get(str(old_session)),
                "new_detail": details.get(str(new_session)),
            }
        )
    return lines


@page(Action.RUNS_READ)
def compare_page(visit: Visit) -> HttpResponseBase:
    """What changed from baseline to candidate?"""
    chosen = chosen_runs(visit)
    recent = list(runs_of(visit.caller).order_by("-created_at", "-id")[:50])
    if chosen is None:
        only = clean(visit.request.GET.get("candidate") or visit.request.GET.get("run"), 255)
        return visit.render("console/compare_choose.html", title="Compare runs", recent=recent, only=only)
    old, new = chosen
    comparison = compare_runs(caller=visit.caller, new=new.run_key, old=old.run_key)
    measured = [metric for metric in comparison.metrics if metric.found_count]
    asked = clean(visit.request.GET.get("metric"), 600)
    name, _, event = asked.partition("|")
    metric = next((m for m in measured if m.metric_name == name and (not event or m.event_name == event)), None)
    if metric is None and measured:
        metric = max(measured, key=lambda m: (abs(len(m.improved) - len(m.degraded)), m.metric_name))
    movers = movers_of(visit.caller, metric, comparison.common_datapoints, old, new) if metric else []
    counts = run_overview.session_counts(caller=visit.caller, runs=[old, new])
    dumbbells = ""
    if metric and movers:
        dumbbells = figures.dumbbells(
            [(formats.short_id(line["key"]), line["old"], line["new"]) for line in movers],
            label=f"{metric.metric_name} of the {len(movers)} datapoints that moved most",
            lower_is_better=metric.direction == "lower",
        )
    lines = metric_lines(comparison.metrics)
    return visit.render(
        "console/compare.html",
        title="Comparison",
        old=old,
        new=new,
        recent=recent,
        lines=lines,
        chosen=next((line for line in lines if line["metric"] is metric), None),
        common=len(comparison.common_datapoints),
        old_total=counts.get(old.run_key, 0),
        new_total=counts.get(new.run_key, 0),
        movers=movers,
        dumbbells=dumbbells,
    )
