"""Console page of three to eight runs: verdicts of each against the baseline, and every pair when asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponseBase

from experiments.admin import compared_metrics as shown
from experiments.admin.comparison_answers import answered
from experiments.admin.comparison_settings import Asked, corrections, metric_fields
from experiments.domain.comparison_options import ComparisonOptions
from experiments.domain.run_status import TERMINAL
from experiments.models import Run
from experiments.services.comparison_answers import Question, many_question
from governance.admin.pages import Visit, clean
from governance.domain import formats, plots

TURNED = {"better": "worse", "worse": "better"}


def matrix_page(visit: Visit, runs: Sequence[Run], asked: Asked, recent: Sequence[Run]) -> HttpResponseBase:
    """Which of these runs is better than the baseline, and on what?"""
    baseline, others = runs[0], list(runs[1:])
    wants_pairs = visit.request.GET.get("pairs") == "1"

    def ask(options: ComparisonOptions) -> Question:
        keys = [run.run_key for run in others]
        return many_question(
            caller=visit.caller, baseline=baseline.run_key, runs=keys, options=options, all_pairs=wants_pairs
        )

    answer, asked = answered(visit, runs, asked, ask, title="Comparison")
    if isinstance(answer, HttpResponseBase):
        return answer
    metrics = sorted(answer["metrics"], key=lambda metric: (not metric.get("is_primary"), shown.key_of(metric)))
    key = clean(visit.request.GET.get("show"), 600)
    chosen = next((metric for metric in metrics if shown.key_of(metric) == key), metrics[0] if metrics else None)
    return visit.render(
        "console/compare_many.html",
        title="Comparison",
        answer=answer,
        asked=asked,
        baseline=baseline,
        runs=runs,
        others=others,
        recent=recent,
        metrics=[{"metric": metric, "key": shown.key_of(metric), "old": _baseline_mean(metric)} for metric in metrics],
        lines=matrix_lines(metrics, baseline, others),
        chosen=chosen,
        chosen_key=shown.key_of(chosen) if chosen else "",
        leads=leads_of(chosen, baseline, others),
        pairs=pair_lines(chosen, runs) if chosen and chosen.get("all_pairs") else [],
        failures=[each for each in answer["failures"] if each["new_fails_more"]],
        names={run.run_key: str(run) for run in runs},
        wants_pairs=wants_pairs,
        level=shown.percent(answer.get("confidence")),
        running=[run for run in runs if run.status not in TERMINAL],
        fields=metric_fields(asked, [metric["metric_name"] for metric in metrics]),
        corrections=corrections(),
    )


def comparison_of(metric: Mapping[str, Any], old: Run, new: Run) -> dict[str, Any] | None:
    """Figures of one pair of runs on one metric; None where they were not compared."""
    row = next(
        (
            each
            for each in metric["comparisons"]
            if (each["old_run_id"], each["new_run_id"]) == (old.run_key, new.run_key)
        ),
        None,
    )
    return None if row is None else shown.figures_of({**metric, "statistics": row["statistics"]})


def _baseline_mean(metric: Mapping[str, Any]) -> str:
    """The baseline's mean over the datapoints it shares with the first run that has any."""
    for row in metric["comparisons"]:
        if row["statistics"].get("control_mean") is not None:
            return str(shown.figures_of({**metric, "statistics": row["statistics"]})["old"])
    return "–"


def matrix_lines(metrics: Sequence[Mapping[str, Any]], baseline: Run, others: Sequence[Run]) -> list[dict[str, Any]]:
    """One line per run, one cell per metric."""
    return [{"run": run, "cells": [comparison_of(metric, baseline, run) for metric in metrics]} for run in others]


def leads_of(metric: Mapping[str, Any] | None, baseline: Run, others: Sequence[Run]) -> list[dict[str, Any]]:
    """Sentences of one metric, what was decided first, with pictures on one axis."""
    if metric is None:
        return []
    lines = []
    for run in others:
        if (line := comparison_of(metric, baseline, run)) is not None:
            lines.append({**line, "run": run, "names_it": line["said"].startswith(str(run))})
    axis = shown.axis_of(metric, [value for line in lines for value in shown.reach_of(line)])
    for line in lines:
        line["plot"] = shown.interval_plot(line, axis, name=f"{line['run']} against {baseline}")
    lines.sort(key=lambda line: (plots.VERDICT_ORDER.get(line["word"], 9), -abs(line["found"].get("difference") or 0)))
    if lines:
        lines[0]["ruler"] = plots.ruler(axis)
    return lines


def pair_lines(metric: Mapping[str, Any], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Half a square of every pair: what the run of the line is against the run of the column."""
    pairs = {(pair["first_run_id"], pair["second_run_id"]): pair for pair in metric["all_pairs"]["pairs"]}
    lines = []
    for index, run in enumerate(runs[1:], start=1):
        cells = [_pair_cell(pairs, other, run) if other in runs[:index] else None for other in runs[:-1]]
        lines.append({"run": run, "cells": cells})
    return lines


def _pair_cell(pairs: Mapping[tuple[str, str], dict[str, Any]], other: Run, run: Run) -> dict[str, Any] | None:
    for old, new, is_turned in ((other, run, False), (run, other, True)):
        pair = pairs.get((old.run_key, new.run_key))
        if pair is not None:
            word = TURNED.get(pair["verdict"], pair["verdict"]) if is_turned else pair["verdict"]
            difference = pair["difference"]
            return {
                "other": other,
                "word": word,
                "kind": plots.verdict_kind(word),
                "difference": formats.difference(-difference if is_turned and difference is not None else difference),
                "p": formats.p_value(pair["p"]),
                "sentence": pair["sentence"],
            }
    return None
