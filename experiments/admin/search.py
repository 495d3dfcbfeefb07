"""What the palette finds: ids by prefix, names by prefix, within the caller's project."""

from typing import TypedDict

from django.urls import reverse

from experiments.models import Dataset, Event, ExperimentSchedule
from experiments.selectors.configurations import configurations
from experiments.selectors.events import as_uuid
from experiments.selectors.runs import runs_of
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.formats import short_id

EACH_KIND = 8


class Found(TypedDict):
    """One line of the palette."""

    title: str
    description: str
    link: str
    icon: str


def matches(*, caller: Caller, term: str) -> list[Found]:
    """Up to 8 runs, datasets, schedules and configurations each, and the session with exactly this id."""
    term = term.strip().replace("\x00", "")[:200]
    found: list[Found] = []
    if not term:
        return found
    if caller.may(Action.RUNS_READ):
        runs = runs_of(caller)
        hits = [*runs.filter(name__istartswith=term)[:EACH_KIND], *runs.filter(run_key__startswith=term)[:EACH_KIND]]
        for run in list({run.pk: run for run in hits}.values())[:EACH_KIND]:
            link = reverse("admin:console_run", args=[run.public_id])
            found.append(
                {"title": str(run), "description": f"Run {short_id(run.run_key)}", "link": link, "icon": "science"}
            )
    if caller.may(Action.DATASETS_READ):
        for dataset in Dataset.objects.filter(project_id=caller.project_id, name__istartswith=term)[:EACH_KIND]:
            link = reverse("admin:console_dataset", args=[dataset.public_id])
            found.append({"title": dataset.name, "description": "Dataset", "link": link, "icon": "dataset"})
    if caller.may(Action.RUNS_READ):
        for schedule in ExperimentSchedule.objects.filter(project_id=caller.project_id, name__istartswith=term)[
            :EACH_KIND
        ]:
            link = reverse("admin:console_schedule", args=[schedule.public_id])
            found.append({"title": schedule.name, "description": "Schedule", "link": link, "icon": "schedule"})
    if caller.may(Action.METRICS_READ):
        for each in configurations(caller).filter(name__istartswith=term)[:EACH_KIND]:
            link = reverse("admin:console_configuration", args=[each.public_id])
            found.append({"title": each.name, "description": "Configuration", "link": link, "icon": "chat"})
    if (key := as_uuid(term)) is not None and caller.may(Action.EVENTS_READ):
        event = (
            Event.objects.filter(project_id=caller.project_id, event_key=key).only("session_key", "event_name").first()
        )
        if event is not None:
            link = reverse("admin:console_trace", args=[event.session_key])
            found.append({"title": event.event_name, "description": "Event", "link": link, "icon": "account_tree"})
    return found
