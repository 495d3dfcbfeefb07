"""Buttons of a run that the server executes. Each is a link to a page that says what will happen, and a POST."""

from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpResponseBase
from django.urls import reverse

from experiments.admin.experiments import RETRIED, noun
from experiments.domain.experiment_status import EXPERIMENT_ENDED, DatapointRunStatus, ExperimentStatus
from experiments.models import Experiment
from experiments.selectors.experiments import Progress, get_experiment, progress_of
from experiments.services import experiments as services
from governance.admin.pages import Visit, back, clean, page
from governance.domain import formats
from governance.domain.actions import Action
from governance.domain.errors import Conflict


@dataclass(frozen=True, slots=True)
class Words:
    """What a confirmation page says."""

    title: str
    what: str
    stays: str
    undo: str
    button: str
    way_out: str


def _asked(
    visit: Visit,
    run_id: str,
    *,
    words: Callable[[Experiment, Progress], Words],
    act: Callable[[Experiment, Progress], tuple[str, str]],
    is_harmless: bool = True,
) -> HttpResponseBase:
    """The confirmation on GET; on POST `act`, which answers what was done and the run to go to."""
    experiment = get_experiment(visit.caller, run_id)
    progress = progress_of(experiment)
    if visit.request.method == "POST":
        told, run_public_id = act(experiment, progress)
        visit.tell(told)
        return back("console_run", run_id=run_public_id)
    said = words(experiment, progress)
    return visit.render(
        "console/confirm.html",
        title=said.title,
        what=said.what,
        stays=said.stays,
        undo=said.undo,
        button=said.button,
        way_out=(reverse("admin:console_run", args=[experiment.run.public_id]), said.way_out),
        is_harmless=is_harmless,
    )


def _refuse_unless(allowed: bool, experiment: Experiment, what: str) -> None:
    if not allowed:
        raise Conflict(
            f"Run {str(experiment.run)!r} is {experiment.status}: {what}.", field="status", value=experiment.status
        )


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def cancel_page(visit: Visit, run_id: str) -> HttpResponseBase:
    """Stop for good, calls under way included."""

    def words(experiment: Experiment, progress: Progress) -> Words:
        _refuse_unless(experiment.status not in EXPERIMENT_ENDED, experiment, "there is nothing to cancel")
        stops = progress.total - progress.finished
        under_way = progress.counts[DatapointRunStatus.RUNNING]
        return Words(
            title=f"Cancel run {experiment.run}?",
            what=f"{noun(experiment, stops)} will not be executed, "
            f"{formats.plural(under_way, 'call')} under way included. This takes a few seconds.",
            stays=f"{noun(experiment, progress.finished)} that ended stay with their results and events.",
            undo="A cancelled run is not continued. A re-run starts from the beginning, as a new run.",
            button="Cancel run",
            way_out="Keep running",
        )

    def act(experiment: Experiment, _: Progress) -> tuple[str, str]:
        services.cancel_experiment(caller=visit.caller, run_id=experiment.run.run_key)
        progress = progress_of(experiment)
        kept = progress.counts[DatapointRunStatus.COMPLETED] + progress.counts[DatapointRunStatus.FAILED]
        told = f"{formats.exact(kept)} of {noun(experiment, progress.total)} are kept."
        return f"Run cancelled: {experiment.run}. {told}", experiment.run.public_id

    return _asked(visit, run_id, words=words, act=act, is_harmless=False)


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def pause_page(visit: Visit, run_id: str) -> HttpResponseBase:
    """Stop for a while."""

    def words(experiment: Experiment, progress: Progress) -> Words:
        _refuse_unless(experiment.status == ExperimentStatus.RUNNING, experiment, "only a running one can be paused")
        return Words(
            title=f"Pause run {experiment.run}?",
            what="No further call is made until it is resumed. "
            f"{formats.plural(progress.counts[DatapointRunStatus.RUNNING], 'call')} under way end and are stored.",
            stays=f"{noun(experiment, progress.finished)} that ended stay with their results.",
            undo="Resume run: it goes on where it stopped.",
            button="Pause run",
            way_out="Keep running",
        )

    def act(experiment: Experiment, _: Progress) -> tuple[str, str]:
        services.pause_experiment(caller=visit.caller, run_id=experiment.run.run_key)
        return f"Run paused: {experiment.run}. Resume it at any time.", experiment.run.public_id

    return _asked(visit, run_id, words=words, act=act)


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def resume_page(visit: Visit, run_id: str) -> HttpResponseBase:
    """Go on after a pause."""

    def words(experiment: Experiment, progress: Progress) -> Words:
        _refuse_unless(experiment.status == ExperimentStatus.PAUSED, experiment, "only a paused run can be resumed")
        return Words(
            title=f"Resume run {experiment.run}?",
            what=f"{noun(experiment, progress.total - progress.finished)} are executed as soon as a worker is free.",
            stays=f"{noun(experiment, progress.finished)} that ended are not called again.",
            undo="Pause run or cancel run.",
            button="Resume run",
            way_out="Keep paused",
        )

    def act(experiment: Experiment, _: Progress) -> tuple[str, str]:
        services.resume_experiment(caller=visit.caller, run_id=experiment.run.run_key)
        return f"Run resumed: {experiment.run}.", experiment.run.public_id

    return _asked(visit, run_id, words=words, act=act)


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def retry_page(visit: Visit, run_id: str) -> HttpResponseBase:
    """Call the failed ones again, in the same run."""

    def words(experiment: Experiment, progress: Progress) -> Words:
        failed = progress.counts[DatapointRunStatus.FAILED]
        _refuse_unless(experiment.status in RETRIED, experiment, "only what was executed has failed ones to try again")
        _refuse_unless(failed > 0, experiment, "nothing failed, so there is nothing to retry")
        calls = failed * int(experiment.spec["retry"]["max_attempts"])
        price = ""
        if progress.cost is not None and progress.with_cost:
            price = f", about {formats.money(float(progress.cost) / progress.with_cost * calls)}"
        return Words(
            title=f"Retry {noun(experiment, failed)} of {experiment.run}?",
            what=f"{noun(experiment, failed)} that failed are called again: at most "
            f"{formats.plural(calls, 'call')}{price}. The run is under way again until they have ended.",
            stays=f"{noun(experiment, progress.counts[DatapointRunStatus.COMPLETED])} that were completed stay as they "
            "are. What the failed ones stored is replaced by their new results.",
            undo="Cancel run.",
            button="Retry failed",
            way_out="Keep run as it is",
        )

    def act(experiment: Experiment, _: Progress) -> tuple[str, str]:
        number = services.retry_failed(caller=visit.caller, run_id=experiment.run.run_key)
        return f"Failed ones retried: {noun(experiment, number)} of {experiment.run}.", experiment.run.public_id

    return _asked(visit, run_id, words=words, act=act)


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def rerun_page(visit: Visit, run_id: str) -> HttpResponseBase:
    """The same again, as a new run."""

    def words(experiment: Experiment, progress: Progress) -> Words:
        calls = progress.total
        most = calls * int(experiment.spec["retry"]["max_attempts"])
        return Words(
            title=f"Re-run {experiment.run}?",
            what=f"A new run over {experiment.dataset_version} starts: {formats.plural(calls, 'call')}, at most "
            f"{formats.exact(most)} with retries. Configuration and metrics are those of this run, whatever "
            "has changed since.",
            stays="This run stays as it is.",
            undo="Cancel the new run.",
            button="Re-run",
            way_out="Back to the run",
        )

    def act(experiment: Experiment, _: Progress) -> tuple[str, str]:
        name = clean(visit.request.POST.get("name"), 255)
        again = services.rerun_experiment(caller=visit.caller, run_id=experiment.run.run_key, name=name)
        return f"Run started: {again.run}, a re-run of {experiment.run}.", again.run.public_id

    return _asked(visit, run_id, words=words, act=act)
