"""Console pages of dataset versions: what a dataset held when, which runs used it, and what changed in between."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Count
from django.http import HttpResponseBase

from experiments.domain.dataset_versions import CONTENT_FIELDS
from experiments.domain.text_diff import difference, shown
from experiments.models import Dataset, Experiment
from experiments.selectors import dataset_versions as reads
from experiments.selectors.dataset_versions import KINDS, Change, ChangeKind
from experiments.selectors.datasets import datasets
from experiments.selectors.experiments import experiments_of
from experiments.services.dataset_versions import pin_version
from governance.admin.pages import PAGE_SIZE, Visit, back, clean, page, page_of
from governance.domain import formats
from governance.domain.actions import Action

CHANGES_SHOWN = 25
RUNS_SHOWN = 20
SHORT = 10  # versions on the dataset's own page


def _integer(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def version_lines(visit: Visit, found: list[Any]) -> list[dict[str, Any]]:
    """Versions with the number of runs that used each. One query."""
    used = Experiment.objects.filter(project_id=visit.caller.project_id, dataset_version__in=[v.pk for v in found])
    counts = dict(used.order_by().values_list("dataset_version").annotate(n=Count("pk")))
    return [{"version": version, "runs": counts.get(version.pk, 0)} for version in found]


def versions_part(visit: Visit, dataset: Dataset) -> dict[str, Any]:
    """What the dataset's page says of its versions. Two queries."""
    found = list(reads.versions_of(visit.caller, dataset.public_id)[: SHORT + 1])
    newest = found[0] if found else None
    return {
        "versions": version_lines(visit, found[:SHORT]),
        "has_more_versions": len(found) > SHORT,
        "is_pinned": newest is not None and any(v.seen_revision == dataset.revision for v in found),
    }


@page(Action.DATASETS_READ)
def versions_page(visit: Visit, dataset_id: str) -> HttpResponseBase:
    """All versions, newest first, also of a dataset that was deleted."""
    found = page_of(reads.versions_of(visit.caller, dataset_id), visit.request, key="number")
    dataset = datasets(visit.caller).filter(public_id=dataset_id).first()
    name = dataset.name if dataset else found.rows[0].dataset_name if found.rows else dataset_id
    return visit.render(
        "console/dataset_versions.html",
        title=f"Versions of {name}",
        dataset=dataset,
        dataset_id=dataset_id,
        page=found,
        versions=version_lines(visit, found.rows),
    )


@page(Action.DATASETS_WRITE, methods=("POST",))
def pin_page(visit: Visit, dataset_id: str) -> HttpResponseBase:
    """Make a version of what the dataset holds now; nothing when there is one already."""
    version, is_new = pin_version(caller=visit.caller, dataset_id=dataset_id)
    held = formats.plural(version.datapoint_count, "datapoint")
    visit.tell(f"Version pinned: {version}, {held}." if is_new else f"Nothing changed since {version}: it is kept.")
    return back("console_dataset", dataset_id=dataset_id)


@page(Action.DATASETS_READ)
def version_page(visit: Visit, dataset_id: str, number: int) -> HttpResponseBase:
    """One version: its datapoints in order, and the runs over it."""
    version = reads.find_version(visit.caller, dataset_id, number)
    first = _integer(clean(visit.request.GET.get("from")))
    items = list(reads.items_of(version).filter(position__gte=first)[: PAGE_SIZE + 1])
    runs = []
    if visit.caller.may(Action.RUNS_READ):
        runs = list(experiments_of(visit.caller).filter(dataset_version=version)[: RUNS_SHOWN + 1])
    return visit.render(
        "console/dataset_version.html",
        title=str(version),
        version=version,
        is_deleted=version.dataset_id is None,
        items=items[:PAGE_SIZE],
        first=first,
        later=str(items[PAGE_SIZE].position) if len(items) > PAGE_SIZE else "",
        previous=version.number - 1,
        runs=[experiment.run for experiment in runs[:RUNS_SHOWN]],
        has_more_runs=len(runs) > RUNS_SHOWN,
    )


@page(Action.DATASETS_READ)
def diff_page(visit: Visit, dataset_id: str) -> HttpResponseBase:
    """What differs between two versions: added, removed, changed word by word, moved."""
    query = visit.request.GET
    numbers = list(reads.versions_of(visit.caller, dataset_id).values_list("number", flat=True)[:200])
    newest = numbers[0] if numbers else 0
    new = clean(query.get("new"), 20) or str(newest)
    old = clean(query.get("old"), 20) or str(max(1, _integer(new) - 1))
    asked = clean(query.get("kind"))
    kind: ChangeKind | None = next((each for each in KINDS if each == asked), None)
    diff = reads.diff_versions(visit.caller, dataset_id=dataset_id, old=old, new=new, kind=kind)
    first = _integer(clean(query.get("from")))
    counts = {"removed": diff.removed, "added": diff.added, "changed": diff.changed}
    return visit.render(
        "console/dataset_diff.html",
        title=f"Versions {diff.old.number} and {diff.new.number} of {diff.new.dataset_name}",
        dataset_id=dataset_id,
        diff=diff,
        sentence=sentence_of(diff),
        numbers=numbers,
        kind=kind or "all",
        tabs=[("all", sum(counts.values())), *counts.items()],
        changes=[change_line(each) for each in diff[first : first + CHANGES_SHOWN]],
        first=first,
        later=str(first + CHANGES_SHOWN) if first + CHANGES_SHOWN < len(diff) else "",
    )


def sentence_of(diff: reads.VersionDiff) -> str:
    """What differs, in words."""
    if diff.old.pk == diff.new.pk:
        return f"This is one and the same version: {diff.new}."
    parts = [
        f"{formats.exact(number)} {word}"
        for number, word in (
            (diff.added, "added"),
            (diff.removed, "removed"),
            (diff.changed, "changed"),
            (diff.moved, "moved to another place"),
        )
        if number
    ]
    kept = f"{formats.plural(diff.unchanged, 'datapoint')} {'is' if diff.unchanged == 1 else 'are'} the same"
    if not parts:
        return f"Nothing differs; {kept}."
    return f"From {diff.old} to {diff.new}: {', '.join(parts)}; {kept}."


def change_line(change: Change) -> dict[str, Any]:
    """One change for the page: of changed ones only the fields that differ, of others all that hold something."""
    side = change.new or change.old
    content: Mapping[str, Any] = side.content if side else {}
    names = change.changed_fields or [name for name in CONTENT_FIELDS if content[name] not in (None, {}, [])]
    fields = []
    for name in names:
        before = change.old.content[name] if change.old else None
        after = change.new.content[name] if change.new else None
        differs = difference(before, after) if change.kind == "changed" else None
        fields.append({"name": name.replace("_", " "), "text": shown(content[name]), "difference": differs})
    return {
        "change": change,
        "place": side.position + 1 if side else 0,
        "fields": fields,
    }
