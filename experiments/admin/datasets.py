"""Console pages of datasets and datapoints: what is evaluated, and which runs used it."""

from django.db.models import Count
from django.http import HttpResponseBase

from experiments.admin.dataset_versions import versions_part
from experiments.models import Event
from experiments.selectors import datasets as reads
from experiments.selectors.runs import runs_of
from governance.admin.pages import PAGE_SIZE, Visit, clean, page, page_of
from governance.domain.actions import Action


@page(Action.DATASETS_READ)
def datasets_page(visit: Visit) -> HttpResponseBase:
    """Datasets, newest first, with their size and the number of runs."""
    name = clean(visit.request.GET.get("name"))
    rows = reads.datasets(visit.caller)
    if name:
        rows = rows.filter(name__icontains=name)
    found = page_of(rows, visit.request)
    keys = [dataset.pk for dataset in found.rows]
    sizes = dict(
        reads.datasets(visit.caller).filter(pk__in=keys).order_by().values_list("pk").annotate(n=Count("memberships"))
    )
    used = dict(
        runs_of(visit.caller).filter(dataset__in=keys).order_by().values_list("dataset").annotate(n=Count("id"))
    )
    lines = [
        {"dataset": dataset, "size": sizes.get(dataset.pk, 0), "runs": used.get(dataset.pk, 0)}
        for dataset in found.rows
    ]
    return visit.render("console/datasets.html", title="Datasets", page=found, lines=lines, name=name)


@page(Action.DATASETS_READ)
def dataset_page(visit: Visit, dataset_id: str) -> HttpResponseBase:
    """The datapoints of a dataset in order of evaluation, and its runs."""
    dataset = reads.find_dataset(visit.caller, dataset_id)
    after = clean(visit.request.GET.get("from"))
    first = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0
    members = reads.members_in_order(dataset)
    shown = list(members.filter(position__gte=first)[: PAGE_SIZE + 1])
    return visit.render(
        "console/dataset.html",
        title=dataset.name,
        dataset=dataset,
        **versions_part(visit, dataset),
        total=members.count(),
        members=shown[:PAGE_SIZE],
        first=first,
        older=str(shown[PAGE_SIZE].position) if len(shown) > PAGE_SIZE else "",
        runs=list(runs_of(visit.caller).filter(dataset=dataset).order_by("-created_at", "-id")[:10]),
    )


@page(Action.DATASETS_READ)
def datapoint_page(visit: Visit, datapoint_id: str) -> HttpResponseBase:
    """One datapoint in full, and the sessions that ran on it."""
    datapoint = reads.find_datapoint(visit.caller, datapoint_id)
    sessions = []
    if visit.caller.may(Action.EVENTS_READ):
        sessions = list(
            Event.objects.filter(
                project_id=visit.caller.project_id, datapoint_key=datapoint.public_id, event_type="session"
            )
            .only("event_name", "session_key", "run_key", "error", "duration", "created_at")
            .order_by("-start_time")[:PAGE_SIZE]
        )
    links = list(reads.datasets(visit.caller).filter(memberships__datapoint=datapoint)[:PAGE_SIZE])
    return visit.render(
        "console/datapoint.html",
        title="Datapoint",
        datapoint=datapoint,
        datasets=links,
        sessions=sessions,
        parts=[
            ("Inputs", datapoint.inputs),
            ("Ground truth", datapoint.ground_truth),
            ("History", datapoint.history),
            ("Metadata", datapoint.metadata),
        ],
    )
