"""Console page of two runs: is the candidate really better, how sure is that, where did it move, what failed?"""

from typing import Any

from django.http import HttpResponseBase

from experiments.admin import compared_metrics as shown
from experiments.admin.compared_datapoints import datapoints_part
from experiments.admin.comparison_answers import answered
from experiments.admin.comparison_matrix import matrix_page
from experiments.admin.comparison_settings import Asked, asked_of, chosen_runs, corrections, metric_fields
from experiments.domain.comparison_options import ComparisonOptions
from experiments.domain.run_status import TERMINAL
from experiments.models import Run
from experiments.selectors.runs import runs_of
from experiments.services.comparison_answers import Question, comparison_question
from governance.admin.pages import Visit, clean, page
from governance.domain import curves, figures, formats, plots
from governance.domain.actions import Action


@page(Action.RUNS_READ)
def compare_page(visit: Visit) -> HttpResponseBase:
    """Is it really better? Two runs in full, more as a matrix of verdicts, none: the form to choose them."""
    runs = chosen_runs(visit)
    recent = list(runs_of(visit.caller).order_by("-created_at", "-id")[:50])
    if not runs:
        only = clean(visit.request.GET.get("candidate") or visit.request.GET.get("run"), 255)
        return visit.render("console/compare_choose.html", title="Compare runs", recent=recent, only=only)
    if len(runs) > 2:
        return matrix_page(visit, runs, asked_of(visit.request.GET), recent)
    old, new = runs

    def ask(options: ComparisonOptions) -> Question:
        return comparison_question(caller=visit.caller, new=new.run_key, old=old.run_key, options=options)

    answer, asked = answered(visit, runs, asked_of(visit.request.GET), ask, title="Comparison")
    if isinstance(answer, HttpResponseBase):
        return answer
    found = _found(visit, old, new, asked, answer)
    return visit.render(
        "console/compare.html", title="Comparison", old=old, new=new, recent=recent, asked=asked, **found
    )


def _found(visit: Visit, old: Run, new: Run, asked: Asked, answer: dict[str, Any]) -> dict[str, Any]:
    lines = shown.metric_lines(answer)
    key = clean(visit.request.GET.get("show"), 600)
    chosen = next((line for line in lines if line["key"] == key), lines[0] if lines else None)
    level = shown.percent(answer.get("confidence"))
    failures = answer.get("failures") or {}
    sure = [shown.sureness_of(line) for line in lines]
    context: dict[str, Any] = {
        "both": [old, new],
        "kept": parameters_without(visit, "text", "page", "outcome"),
        "kept_for_slices": parameters_without(visit, "slice_by", "page"),
        "answer": answer,
        "level": level,
        "lines": lines,
        "ruler": shown.score_ruler(lines),
        "lead": lines[0] if lines else None,
        "tally": shown.tally_of(lines) if len(lines) > 1 else [],
        "method": shown.method_of(answer, lines),
        "sure": sure,
        "shared": shown.shared_by(sure),
        "has_binary": any(line["binary"] for line in sure),
        "has_equivalence": any(line["found"].get("equivalence_p") is not None for line in sure),
        "chosen": chosen,
        "failures": failures,
        "failed_pairs": failures.get("datapoints") or [],
        "running": [run for run in (old, new) if run.status not in TERMINAL],
        "versions": versions_differ(old, new),
        "fields": metric_fields(asked, [line["metric"]["metric_name"] for line in lines]),
        "corrections": corrections(),
        "slices": _slices(answer),
    }
    if chosen is not None:
        context |= _pictures(chosen)
    if answer["common_datapoints"]:
        context |= datapoints_part(visit, old, new, chosen)
    return context


def _pictures(line: shown.Line) -> dict[str, Any]:
    """Wins, ties and losses, the spread of both sides, and who moved most, of one metric."""
    found, metric = line["found"], line["metric"]
    wins, ties, losses = (int(found.get(name) or 0) for name in ("wins", "ties", "losses"))
    name, direction = metric["metric_name"], metric["direction"]
    sides = metric.get("quantiles") or {}
    movers = sorted(
        [*(metric.get("improved_most") or []), *(metric.get("degraded_most") or [])],
        key=lambda mover: (-abs(mover["difference"] or 0), mover["datapoint_id"]),
    )[:20]
    return {
        "record": {"wins": wins, "ties": ties, "losses": losses},
        "winloss": figures.stacked(
            [("better", wins), ("rest", ties), ("worse", losses)],
            whole=wins + ties + losses,
            label=f"{name}: {wins} datapoints won, {ties} tied, {losses} lost",
        ),
        "ecdf": curves.ecdf(
            sides.get("old") or [],
            sides.get("new") or [],
            label=f"Share of datapoints up to each value of {name}; {direction} is better",
            across=name,
        ),
        "dumbbells": figures.dumbbells(
            [(formats.short_id(mover["datapoint_id"]), mover["old"], mover["new"]) for mover in movers],
            label=f"{name} of the {len(movers)} datapoints that moved most",
            lower_is_better=direction == "lower",
        ),
        "movers": len(movers),
    }


def parameters_without(visit: Visit, *names: str) -> list[tuple[str, str]]:
    """What a form must send again so that the rest of the page stays as it is."""
    return [(name, value) for name, values in visit.request.GET.lists() for value in values if name not in names]


def versions_differ(old: Run, new: Run) -> str:
    """A sentence when the runs evaluated different versions; empty when they did not, or when nobody knows."""
    names = [_version_name(run) for run in (old, new)]
    if not all(names) or names[0] == names[1]:
        return ""
    return f"The runs evaluated {names[0]} and {names[1]}: a datapoint may have been edited between the two."


def _version_name(run: Run) -> str:
    number = run.metadata.get("dataset_version")
    if run.dataset is not None and isinstance(number, int):
        return f"{run.dataset.name}@{number}"
    return run.offline_dataset_id if run.dataset is None else ""


def _slices(answer: dict[str, Any]) -> dict[str, Any] | None:
    found = answer.get("slices")
    if not found:
        return None
    metric = next(
        (
            each
            for each in answer["metrics"]
            if (each["metric_name"], each.get("event_name")) == (found["metric_name"], found.get("event_name"))
        ),
        None,
    )
    if metric is None:
        return None
    rows = [{**metric, "is_primary": False, "statistics": row} for row in found["slices"]]
    lines = [shown.figures_of(row) for row in rows]
    reach = [value for line in lines for value in shown.reach_of(line)]
    axis = shown.axis_of(metric, reach)
    for line in lines:
        line["label"] = line["found"].get("slice_label") or ""
        line["plot"] = shown.interval_plot(line, axis, name=line["label"])
    return {**found, "lines": lines, "ruler": plots.ruler(axis)}
