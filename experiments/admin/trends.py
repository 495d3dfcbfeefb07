"""Console page of one metric over many runs: is it getting better, and since which run?"""

from typing import Any

from django.http import HttpResponseBase
from django.utils.dateparse import parse_datetime

from governance.admin.pages import Visit, clean, page
from governance.domain import curves, formats
from governance.domain.actions import Action

FEWEST_RUNS = 8  # of fewer there are too few orders for a change at 5 %
FILTERS = ("name", "dataset", "tag", "schedule")


@page(Action.RUNS_READ)
def trends_page(visit: Visit) -> HttpResponseBase:
    """One metric over runs of a name, a dataset, a tag or a schedule."""
    from experiments.selectors.metric_trends import TrendQuery, metrics_of_runs, trend_of  # load numpy

    asked = {name: clean(visit.request.GET.get(name), 255) for name in (*FILTERS, "metric", "event")}
    known = metrics_of_runs(visit.caller)
    metric = asked["metric"] or (known[0] if known else "")
    context: dict[str, Any] = {
        "asked": asked,
        "known": known,
        "chosen": metric,
        "is_filtered": any(asked[name] for name in FILTERS),
    }
    if metric:
        query = TrendQuery(
            metric=metric,
            event_name=asked["event"],
            name_prefix=asked["name"],
            dataset=asked["dataset"],
            tag=asked["tag"],
            schedule=asked["schedule"],
        )
        context |= shown(trend_of(caller=visit.caller, query=query))
    return visit.render("console/trends.html", title="Trends", **context)


def shown(trend: dict[str, Any]) -> dict[str, Any]:
    """Picture, table and sentence of a trend."""
    points, direction = trend["points"], trend["direction"]
    lines = []
    for index, point in enumerate(points):
        low, high, value = point["low"], point["high"], point["value"]
        decimals = 1 if abs(value or 0) >= 100 else formats.decimals_for(low, high)
        change = point["change"]
        lines.append(
            {
                **point,
                "started": parse_datetime(str(point["created_at"])),
                "shown": formats.score(value, decimals),
                "interval": formats.interval(low, high, decimals=decimals),
                "change": change and change_line(change, direction),
                "before": points[index - 1]["run_id"] if change and index else "",
            }
        )
    marks = [
        curves.Change(index, point["change"]["before"], point["change"]["after"])
        for index, point in enumerate(points)
        if point["change"]
    ]
    days = [formats.utc(line["started"])[:10] if line["started"] else "" for line in lines]
    picture = curves.series(
        [(point["value"], point["low"], point["high"]) for point in points],
        label=f"{trend['metric_name']} over {len(points)} runs, {len(marks)} changes of level",
        changes=marks,
        lower_is_better=direction == "lower",
        ends=(days[0], days[-1]) if days else ("", ""),
    )
    return {
        "trend": trend,
        "picture": picture,
        "lines": list(reversed(lines)),
        "sentence": sentence_of(trend, lines),
        "level": f"{trend['confidence'] * 100:g} %",
    }


def change_line(change: dict[str, Any], direction: str) -> dict[str, Any]:
    """A change of level as chip and words."""
    by = change["after"] - change["before"]
    good = by < 0 if direction == "lower" else by > 0
    return {
        "kind": "better" if good else "worse",
        "difference": formats.difference(by),
        "words": f"{formats.score(change['before'])} → {formats.score(change['after'])}",
        "p": formats.p_value(change.get("p")),
    }


def sentence_of(trend: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """Whether the level changed, since when, and from where to where."""
    name = trend["metric_name"]
    if not lines:
        return f"No run has {name} yet."
    changed = [line for line in lines if line["change"]]
    runs = formats.plural(len(lines), "run")
    if not changed and len(lines) < FEWEST_RUNS:
        latest = f"{name} is {lines[-1]['shown']} in the latest of {runs}"
        return f"{latest}; a change of level can be shown from {FEWEST_RUNS} runs on."
    if not changed:
        return f"{name} shows no change of level over {runs}; it is {lines[-1]['shown']} in the latest."
    last = changed[-1]
    word = "better" if last["change"]["kind"] == "better" else "worse"
    rest = f" It is the latest of {len(changed)} changes." if len(changed) > 1 else ""
    return f"{name} is {word} since {last['name'] or last['run_id']}: {last['change']['words']}, over {runs}.{rest}"
