"""What the console shows of runs that the server executes: how far, how fast, what failed, who works at it."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponseBase
from django.utils import timezone

from experiments.domain.experiment_status import (
    EXPERIMENT_ENDED,
    DatapointRunStatus,
    ExperimentStatus,
    LaneStatus,
)
from experiments.models import Experiment, Lane, Run
from experiments.selectors.experiments import (
    Progress,
    datapoint_runs_of,
    errors_by_cause,
    experiments_of,
    get_experiment,
    progress_of,
    progress_of_many,
)
from governance.admin.live import fragment
from governance.admin.pages import PAGE_SIZE, Visit, clean, page
from governance.domain import figures, formats
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.services.heartbeats import lease

LIVE = frozenset({ExperimentStatus.QUEUED, ExperimentStatus.PREPARING, ExperimentStatus.RUNNING})
RETRIED = frozenset({ExperimentStatus.PAUSED, ExperimentStatus.COMPLETED, ExperimentStatus.FAILED})
STATUS_KIND = {
    ExperimentStatus.QUEUED: "pending",
    ExperimentStatus.PREPARING: "running",
    ExperimentStatus.PAUSED: "warning",
}
TABS = ("all", *(status.value for status in DatapointRunStatus))


def noun(experiment: Experiment, number: int) -> str:
    """`2 datapoints`; with repetitions `6 datapoint runs`."""
    return formats.plural(number, "datapoint run" if experiment.spec.get("repetitions", 1) > 1 else "datapoint")


def span(seconds: float | None) -> str:
    """How long something will take, roughly: `40 s`, `7 min`, `3 h 5 min`."""
    if seconds is None:
        return ""
    return (
        f"{max(1, round(seconds))} s"
        if seconds < 100
        else formats.latency(round(seconds / 60) * 60_000).removesuffix(" 0 s")
    )


def pace(progress: Progress) -> str:
    """`143 / 225, 2.1/s, about 40 s`: what is known of it."""
    parts = [f"{formats.exact(progress.finished)} / {formats.exact(progress.total)}"]
    if progress.rate_per_second:
        rate = progress.rate_per_second
        parts.append(f"{rate:.1f}/s" if rate >= 0.1 else f"{rate * 60:.1f}/min")
    if progress.eta_seconds:
        parts.append(f"about {span(progress.eta_seconds)}")
    return ", ".join(parts)


def state_sentence(experiment: Experiment, progress: Progress, working: int) -> str:
    """Where the experiment is, in words; `working`: lanes that a worker holds."""
    done = f"{formats.exact(progress.finished)} of {noun(experiment, progress.total)} done"
    failed = progress.counts[DatapointRunStatus.FAILED]
    if failed:
        done += f", {formats.exact(failed)} failed"
    if experiment.status == ExperimentStatus.QUEUED:
        return "Queued. It starts as soon as a worker is free."
    if experiment.status == ExperimentStatus.PREPARING:
        return f"Preparing {noun(experiment, progress.total)}. The first calls follow at once."
    if experiment.status == ExperimentStatus.PAUSED:
        cause = f" {experiment.error_message}" if experiment.error_message else ""
        return f"Paused: {done}.{cause} Nothing is called until the run is resumed."
    if experiment.status == ExperimentStatus.RUNNING:
        waiting = progress.counts[DatapointRunStatus.PENDING]
        if not working and waiting and waiting == progress.waiting_for_retry:
            wait = "waits" if waiting == 1 else "wait"
            return f"Running: {done}. {noun(experiment, waiting)} {wait} for another attempt."
        if not working and waiting and not progress.rate_per_second:  # lanes change hands all the time
            return f"Running: {done}. It waits for a free worker."
        return f"Running: {done}."
    if experiment.status == ExperimentStatus.CANCELLED:
        kept = progress.counts[DatapointRunStatus.COMPLETED]
        return f"Cancelled. {formats.exact(kept)} of {noun(experiment, progress.total)} were completed and are kept."
    if experiment.status == ExperimentStatus.FAILED:
        return f"Failed. {experiment.error_message}".strip()
    return f"Executed by the server: {done}."


def lanes_of(experiment: Experiment) -> list[dict[str, Any]]:
    """Lanes that a worker holds: how many calls it makes at once, and when it gave its last sign of life."""
    rows = Lane.objects.filter(experiment=experiment, status=LaneStatus.RUNNING, leased_until__isnull=False)
    now = timezone.now()
    return [
        {
            "number": lane.number + 1,
            "calls": lane.granted,
            "holder": lane.lease_holder,
            "seen": lane.leased_until - lease() if lane.leased_until else None,
            "is_lost": lane.leased_until is not None and lane.leased_until < now,
        }
        for lane in rows.order_by("number")
    ]


def figures_of(experiment: Experiment, progress: Progress) -> list[dict[str, str]]:
    """The figures that matter while it runs and after."""
    again = progress.waiting_for_retry
    calls = [f"{formats.exact(progress.failures)} failed"]
    if progress.lost_attempts:
        calls.append(f"{formats.exact(progress.lost_attempts)} lost with their worker")
    known = progress.prompt_tokens is not None or progress.completion_tokens is not None
    found = [
        {
            "label": "Failed",
            "value": formats.exact(progress.counts[DatapointRunStatus.FAILED]),
            "note": f"{formats.exact(again)} more to be tried again" if again else "none to be tried again",
        },
        {"label": "Calls", "value": formats.exact(progress.attempts), "note": ", ".join(calls)},
    ]
    if known:
        found.append(
            {
                "label": "Tokens",
                "value": formats.count((progress.prompt_tokens or 0) + (progress.completion_tokens or 0)),
                "note": f"{formats.count(progress.prompt_tokens)} in, {formats.count(progress.completion_tokens)} out",
            }
        )
    if known or progress.cost is not None:
        found.append(
            {
                "label": "Cost",
                "value": formats.money(None if progress.cost is None else float(progress.cost)),
                "note": f"of {noun(experiment, progress.with_cost)} with a price",
            }
        )
    return found


def execution_words(sentence: str, cards: Sequence[dict[str, str]]) -> str:
    """One line for a run that was completed: `…: 23 of 23 datapoints done; 27 calls, 5,796 tokens, $0.0071`."""
    said = [f"{card['value']} {card['label'].lower()}" for card in cards if card["label"] in ("Calls", "Tokens")]
    said += [card["value"] for card in cards if card["label"] == "Cost"]
    return f"{sentence.removesuffix('.')}; {', '.join(said)}"


def part_context(experiment: Experiment) -> dict[str, Any]:
    """What the part that refreshes itself shows. Three queries, four when something failed."""
    progress = progress_of(experiment)
    lanes = lanes_of(experiment)
    working = sum(1 for lane in lanes if not lane["is_lost"])
    parts = [
        ("arm-1", progress.counts[DatapointRunStatus.COMPLETED]),
        ("worse", progress.counts[DatapointRunStatus.FAILED]),
    ]
    return {
        "experiment": experiment,
        "progress": progress,
        "pace": pace(progress),
        "percent": f"{progress.fraction * 100:.0f} %",
        "bar": figures.stacked(
            parts, whole=progress.total, label=f"{progress.finished} of {progress.total} done, {parts[1][1]} failed"
        ),
        "experiment_sentence": state_sentence(experiment, progress, working),
        "experiment_cards": figures_of(experiment, progress),
        "causes": errors_by_cause(experiment),
        "lanes": lanes if experiment.status in LIVE else [],
        "is_live": experiment.status in LIVE,
    }


def run_part(visit: Visit, run: Run) -> dict[str, Any]:
    """Context of the run page for a run that the server executes; `experiment` is None for others."""
    experiment = experiments_of(visit.caller).filter(run=run).first()
    if experiment is None:
        return {"experiment": None, "is_live": False}
    context = part_context(experiment)
    ended = experiment.status in EXPERIMENT_ENDED
    progress: Progress = context["progress"]
    failed = progress.counts[DatapointRunStatus.FAILED]
    baseline = None
    if experiment.baseline_run_key:
        baseline = Run.objects.filter(project_id=run.project_id, run_key=experiment.baseline_run_key).first()
    return {
        **context,
        "experiment_kind": STATUS_KIND.get(ExperimentStatus(experiment.status), experiment.status),
        "experiment_ended": ended,
        "execution_words": execution_words(context["experiment_sentence"], context["experiment_cards"]),
        "can_pause": experiment.status == ExperimentStatus.RUNNING,
        "can_resume": experiment.status == ExperimentStatus.PAUSED,
        "can_cancel": not ended,
        "retries": noun(experiment, failed) if failed and experiment.status in RETRIED else "",
        "baseline": baseline,
    }


def progress_by_run(caller: Caller, runs: Sequence[Run]) -> dict[int, str]:
    """`64 %, about 3 min left` for those of the runs that the server executes now, by primary key. Two queries."""
    known = experiments_of(caller).filter(run__in=[run.pk for run in runs]).exclude(status__in=list(EXPERIMENT_ENDED))
    under_way = list(known)
    found = progress_of_many(under_way)
    told = {}
    for experiment in under_way:
        progress = found[experiment.pk]
        left = f", about {span(progress.eta_seconds)} left" if progress.eta_seconds else ""
        word = "" if experiment.status == ExperimentStatus.RUNNING else f"{experiment.status}, "
        told[experiment.run_id] = f"{word}{progress.fraction * 100:.0f} %{left}"
    return told


@page(Action.RUNS_READ)
def live_part(visit: Visit, run_id: str) -> HttpResponseBase:
    """The progress alone, for the script that refreshes it.

    `X-Live: ended` makes it load the whole page again: when the status is not the one that the page shows (`?shown=`),
    whose buttons have become wrong.
    """
    experiment = get_experiment(visit.caller, run_id)
    context = part_context(experiment)
    seen = [experiment.status, context["progress"], context["causes"], context["lanes"]]
    answer = fragment(visit.request, "console/experiment_state.html", context, seen)
    shown = clean(visit.request.GET.get("shown"))
    is_current = context["is_live"] and shown in ("", experiment.status)
    answer["X-Live"] = "running" if is_current else "ended"
    return answer


@page(Action.RUNS_READ)
def executions_page(visit: Visit, run_id: str) -> HttpResponseBase:
    """Every execution of the target: status, attempts, next attempt, error."""
    experiment = get_experiment(visit.caller, run_id)
    progress = progress_of(experiment)
    tab = clean(visit.request.GET.get("tab"))
    tab = tab if tab in TABS else TABS[0]
    start = clean(visit.request.GET.get("from"))
    first = int(start) if start.isascii() and start.isdigit() and len(start) < 9 else 0
    rows = datapoint_runs_of(experiment)
    if tab != TABS[0]:
        rows = rows.filter(status=tab)
    if cause := clean(visit.request.GET.get("cause"), 64):
        rows = rows.filter(error_class=cause)
    shown = list(rows.filter(rank__gte=first)[: PAGE_SIZE + 1])
    written = not shown and tab == TABS[0] and not cause and not first
    return visit.render(
        "console/experiment_executions.html",
        title=f"Executions of {experiment.run}",
        experiment=experiment,
        run=experiment.run,
        tab=tab,
        tabs=[(name, progress.total if name == TABS[0] else progress.counts[name]) for name in TABS],
        cause=cause,
        lines=[
            {"row": row, "cost": formats.UNDEFINED if row.cost is None else formats.money(float(row.cost))}
            for row in shown[:PAGE_SIZE]
        ],
        is_unwritten=written,
        repeats=experiment.spec.get("repetitions", 1) > 1,
        first=first,
        later=str(shown[PAGE_SIZE].rank) if len(shown) > PAGE_SIZE else "",
    )
