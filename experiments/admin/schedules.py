"""Console pages of schedules: what starts by the clock, when next, and how the last run went."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.db.models import Max
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from experiments.admin.experiment_fields import Choice, Offer, text
from experiments.admin.experiment_form import Draft, draft_of
from experiments.admin.new_experiment import offer_of
from experiments.domain.crontab import in_words
from experiments.models import Experiment, ExperimentSchedule
from experiments.selectors import schedules as reads
from experiments.selectors.experiments import experiments_of
from experiments.services import schedules as services
from governance.admin.pages import Visit, back, clean, page, page_of
from governance.domain import formats
from governance.domain.actions import Action
from governance.domain.errors import DomainError

RUNS_SHOWN = 20
PREFIX = "s"
TARGET = ("url", "configuration", "name")  # what a target of some kind is called
BASELINES = (
    ("none", "No baseline"),
    ("previous", "The run before it"),
    ("latest_with_tag", "The newest completed run with a tag"),
    ("run", "One run, always the same"),
)


class ScheduleFields(forms.Form):
    """When it starts and what its runs are compared with; all text, judged by the service."""

    use_required_attribute = False

    def __init__(self, offer: Offer, **arguments: Any) -> None:
        super().__init__(**arguments, auto_id="n-%s", label_suffix="", prefix=PREFIX)
        self.fields |= {
            "name": text("Name", hint="for example: nightly against the last release"),
            "crontab": text(
                "Rhythm",
                "Minute, hour, day of month, month, weekday as in crontab: 0 2 * * * is every night at two.",
                hint="0 2 * * *",
            ),
            "timezone": text("Time zone", "A name such as Europe/Vienna; the clock of UTC never jumps.", hint="UTC"),
            "baseline_kind": forms.ChoiceField(
                label="Baseline", choices=BASELINES, widget=forms.RadioSelect, required=False
            ),
            "baseline_tag": text("Tag", hint="release"),
            "baseline_run": Choice("Run", offer.runs),
        }
        run = self.fields["baseline_run"]
        if isinstance(run, Choice):
            run.keep(str(self["baseline_run"].value() or ""))

    def typed(self, name: str) -> str:
        """What stands in a field."""
        return clean(str(self[name].value() or ""), 1_000)

    def baseline(self) -> dict[str, str]:
        """The chosen baseline as a schedule stores it."""
        kind = self.typed("baseline_kind") or "none"
        if kind == "run":
            return {"kind": kind, "run_id": self.typed("baseline_run")}
        if kind == "latest_with_tag":
            return {"kind": kind, "tag": self.typed("baseline_tag")}
        return {"kind": kind}


def baseline_words(baseline: Mapping[str, Any]) -> str:
    """What runs are compared with, in words."""
    kind = baseline.get("kind", "none")
    if kind == "latest_with_tag":
        return f"the newest completed run tagged {baseline.get('tag')}"
    if kind == "run":
        return f"run {formats.short_id(baseline.get('run_id'))}"
    return {"previous": "the run before it"}.get(str(kind), "nothing")


def last_experiments(visit: Visit, found: Sequence[ExperimentSchedule]) -> dict[int, Experiment]:
    """The newest experiment of each schedule, by the schedule's key. Two queries."""
    mine = experiments_of(visit.caller).filter(schedule__in=[schedule.pk for schedule in found])
    newest = dict(mine.order_by().values_list("schedule").annotate(newest=Max("pk")))
    rows = experiments_of(visit.caller).filter(pk__in=list(newest.values()))
    return {each.schedule_id: each for each in rows if each.schedule_id is not None}


def schedule_line(schedule: ExperimentSchedule, last: Experiment | None) -> dict[str, Any]:
    """One schedule for lists and its own page. Operators can switch it off in beat's own table, too."""
    is_on = schedule.is_enabled and not schedule.is_switched_off  # type: ignore[attr-defined] # annotated by `schedules`
    return {
        "schedule": schedule,
        "words": in_words(schedule.crontab, schedule.timezone),
        "baseline": baseline_words(schedule.baseline),
        "last": last,
        "is_on": is_on,
        "is_late": is_on
        and schedule.next_due_at is not None
        and (timezone.now() - schedule.next_due_at).total_seconds() > 120,
    }


@page(Action.RUNS_READ)
def schedules_page(visit: Visit) -> HttpResponseBase:
    """All schedules of the project."""
    found = page_of(reads.schedules(visit.caller), visit.request)
    last = last_experiments(visit, found.rows)
    lines = [schedule_line(schedule, last.get(schedule.pk)) for schedule in found.rows]
    return visit.render("console/schedules.html", title="Schedules", page=found, lines=lines)


@page(Action.RUNS_READ)
def schedule_page(visit: Visit, schedule_id: str) -> HttpResponseBase:
    """One schedule: when it starts, what it starts, and its runs."""
    schedule = reads.find_schedule(visit.caller, schedule_id)
    runs = list(experiments_of(visit.caller).filter(schedule=schedule)[:RUNS_SHOWN])
    return visit.render(
        "console/schedule.html",
        title=schedule.name,
        line=schedule_line(schedule, runs[0] if runs else None),
        schedule=schedule,
        experiments=runs,
        spec=schedule.spec,
        target=next((schedule.spec["target"][name] for name in TARGET if name in schedule.spec["target"]), ""),
    )


def _drafts(visit: Visit, offer: Offer, schedule: ExperimentSchedule | None) -> tuple[ScheduleFields, Draft]:
    post = visit.request.POST
    if visit.request.method == "POST":
        fields = ScheduleFields(offer, data=post)
        return fields, draft_of(offer, data=post, is_scheduled=True, more_rows=post.get("do") == "row")
    if schedule is None:
        first = {"timezone": "UTC", "crontab": "0 2 * * *", "baseline_kind": "none"}
        return ScheduleFields(offer, initial=first), draft_of(offer, is_scheduled=True)
    initial = {
        "name": schedule.name,
        "crontab": schedule.crontab,
        "timezone": schedule.timezone,
        "baseline_kind": schedule.baseline.get("kind", "none"),
        "baseline_tag": schedule.baseline.get("tag", ""),
        "baseline_run": schedule.baseline.get("run_id", ""),
    }
    return ScheduleFields(offer, initial=initial), draft_of(offer, spec=schedule.spec, is_scheduled=True)


def refuse(fields: ScheduleFields, draft: Draft, error: DomainError) -> None:
    """Put a refusal beside the field it is about: one of the schedule, or of what it starts."""
    path = str(error.details.get("field", ""))
    if path.startswith("spec."):
        draft.blame(path.removeprefix("spec."), error.message)
        return
    names = {"baseline": "baseline_kind", "baseline.tag": "baseline_tag", "baseline.run_id": "baseline_run"}
    name = names.get(path, path)
    draft.complain(fields, name if name in fields.fields else "", error.message)


def _form(visit: Visit, schedule: ExperimentSchedule | None) -> HttpResponseBase:
    offer = offer_of(visit)
    fields, draft = _drafts(visit, offer, schedule)
    status = 200
    if visit.request.method == "POST" and visit.request.POST.get("do") != "row":
        spec = draft.spec()
        status = 400
        if spec is not None:
            given: dict[str, Any] = {
                "name": fields.typed("name"),
                "spec": spec,
                "crontab": fields.typed("crontab"),
                "timezone": fields.typed("timezone") or "UTC",
                "baseline": fields.baseline(),
            }
            try:
                if schedule is None:
                    saved = services.create_schedule(caller=visit.caller, **given)
                else:
                    saved = services.update_schedule(caller=visit.caller, schedule_id=schedule.public_id, **given)
            except DomainError as error:
                refuse(fields, draft, error)
                status = error.status
            else:
                visit.tell(f"Schedule {'created' if schedule is None else 'changed'}: {saved.name}.")
                return back("console_schedule", schedule_id=saved.public_id)
    return visit.render(
        "console/schedule_form.html",
        title="New schedule" if schedule is None else f"Change schedule {schedule.name}",
        fields=fields,
        draft=draft,
        schedule=schedule,
        status=status,
    )


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def new_schedule_page(visit: Visit) -> HttpResponseBase:
    """Describe rhythm and experiment; the schedule is on from the start."""
    return _form(visit, None)


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def change_page(visit: Visit, schedule_id: str) -> HttpResponseBase:
    """Change anything of it; runs that started are not touched."""
    return _form(visit, reads.find_schedule(visit.caller, schedule_id))


@page(Action.RUNS_WRITE, methods=("POST",))
def switch_page(visit: Visit, schedule_id: str) -> HttpResponseBase:
    """On or off, as the button says: `to` is what it shall be, so that two clicks do not undo each other."""
    schedule = reads.find_schedule(visit.caller, schedule_id)
    if visit.request.POST.get("to") == "on":
        services.enable_schedule(caller=visit.caller, schedule_id=schedule.public_id)
        visit.tell(f"Schedule switched on: {schedule.name}.")
    else:
        services.disable_schedule(caller=visit.caller, schedule_id=schedule.public_id)
        visit.tell(f"Schedule switched off: {schedule.name}. Runs under way go on.")
    return back("console_schedules")


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def start_page(visit: Visit, schedule_id: str) -> HttpResponseBase:
    """Confirm, then start one run now, beside the rhythm."""
    schedule = reads.find_schedule(visit.caller, schedule_id)
    if visit.request.method == "POST":
        experiment = services.start_now(caller=visit.caller, schedule_id=schedule.public_id)
        visit.tell(f"Run started: {experiment.run}.")
        return back("console_run", run_id=experiment.run.public_id)
    times, attempts = int(schedule.spec["repetitions"]), int(schedule.spec["retry"]["max_attempts"])
    return visit.render(
        "console/confirm.html",
        title=f"Start {schedule.name} now?",
        what=f"One run starts, compared with {baseline_words(schedule.baseline)}: each datapoint is called "
        f"{formats.plural(times, 'time')}, with up to {formats.plural(attempts, 'attempt')} each.",
        stays="The rhythm stays: the next start by the clock is not moved.",
        undo="Cancel the run.",
        button="Start run",
        way_out=(reverse("admin:console_schedule", args=[schedule.public_id]), "Back to the schedule"),
        is_harmless=True,
    )


@page(Action.RUNS_WRITE, methods=("GET", "POST"))
def delete_page(visit: Visit, schedule_id: str) -> HttpResponseBase:
    """Confirm, then delete; its runs stay."""
    schedule = reads.find_schedule(visit.caller, schedule_id)
    if visit.request.method == "POST":
        services.delete_schedule(caller=visit.caller, schedule_id=schedule.public_id)
        visit.tell(f"Schedule deleted: {schedule.name}. Its runs are kept.")
        return back("console_schedules")
    runs = experiments_of(visit.caller).filter(schedule=schedule).count()
    return visit.render(
        "console/confirm.html",
        title=f"Delete schedule {schedule.name}?",
        what="Nothing starts by it any more.",
        stays=f"Its {formats.plural(runs, 'run')} stay with their results; those under way go on.",
        undo="This cannot be undone. Switching it off can.",
        button="Delete schedule",
        way_out=(reverse("admin:console_schedule", args=[schedule.public_id]), "Keep schedule"),
    )
