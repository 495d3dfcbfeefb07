"""Reads of dataset versions, always inside the caller's project. A version outlives its dataset, so does its list."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

from django.db.models import QuerySet

from experiments.domain.dataset_versions import CONTENT_FIELDS, changed_fields, fewest_moves
from experiments.models import DatapointSnapshot, DatasetVersion, DatasetVersionItem
from experiments.selectors.datasets import dataset_not_found, datasets
from governance.domain.caller import Caller
from governance.domain.errors import NotFound

ChangeKind = Literal["added", "removed", "changed"]
KINDS: tuple[ChangeKind, ...] = ("removed", "added", "changed")


@dataclass(frozen=True, slots=True)
class Side:
    """A datapoint in one version: its place (from 0) and its content by `CONTENT_FIELDS`."""

    position: int
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One datapoint that two versions hold differently. `changed_fields` is empty unless it is in both."""

    datapoint_id: str
    kind: ChangeKind
    changed_fields: list[str]
    old: Side | None
    new: Side | None


@dataclass(frozen=True, slots=True)
class _Place:
    """What of an item is needed to pair it up: contents are read for one page only."""

    key: str
    position: int
    snapshot_pk: int


class VersionDiff(Sequence[Change]):
    """What differs from version `old` to version `new`; contents are read only of the changes one looks at.

    The sequence goes by place: changed and added ones by their place in `new`, removed ones by that in `old`, each
    kind after the other (removed, added, changed). Counts are of whole versions, whatever is shown.
    """

    def __init__(self, old: DatasetVersion, new: DatasetVersion, kind: ChangeKind | None = None) -> None:
        self.old, self.new = old, new
        places_of_old, places_of_new = _places(old), _places(new)
        gone = _by_key(places_of_old, places_of_new.keys())
        came = _by_key(places_of_new, places_of_old.keys())
        pairs: dict[ChangeKind, list[tuple[_Place | None, _Place | None]]] = {
            "removed": [(place, None) for key, place in gone.items() if key not in came],
            "added": [(None, place) for key, place in came.items() if key not in gone],
            "changed": [(gone[key], place) for key, place in came.items() if key in gone],
        }
        self.removed, self.added, self.changed = (len(pairs[each]) for each in KINDS)
        self.unchanged = old.datapoint_count - self.removed - self.changed
        common = [(place, places_of_new[pk]) for pk, place in places_of_old.items() if pk in places_of_new]
        common += [(gone[key].position, place.position) for key, place in came.items() if key in gone]
        self.moved = fewest_moves(place for _, place in sorted(common))
        self._pairs = [pair for each in KINDS if kind in (None, each) for pair in pairs[each]]

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int) -> Change: ...

    @overload
    def __getitem__(self, index: slice) -> list[Change]: ...

    def __getitem__(self, index: int | slice) -> Change | list[Change]:
        """One change, or a slice of them as a list: one query for all its contents."""
        if not isinstance(index, slice):
            return self._changes([self._pairs[index]])[0]
        return self._changes(self._pairs[index])

    def _changes(self, pairs: list[tuple[_Place | None, _Place | None]]) -> list[Change]:
        pks = {place.snapshot_pk for pair in pairs for place in pair if place is not None}
        contents = {row.pop("pk"): row for row in _contents(pks)}
        return [_change(old, new, contents) for old, new in pairs]


def all_versions(caller: Caller, dataset_id: str) -> QuerySet[DatasetVersion]:
    """The versions of a dataset, newest first; none when there is no such dataset."""
    return DatasetVersion.objects.filter(project_id=caller.project_id, dataset_key=dataset_id).order_by("-number")


def versions_of(caller: Caller, dataset_id: str) -> QuerySet[DatasetVersion]:
    """The versions of a dataset, newest first, also of one that was deleted; `NotFound` when nobody knows it."""
    versions = all_versions(caller, dataset_id)
    if not datasets(caller).filter(public_id=dataset_id).exists() and not versions.exists():
        raise dataset_not_found(dataset_id)
    return versions


def find_version(caller: Caller, dataset_id: str, number: int | str) -> DatasetVersion:
    """One version by its number, or `NotFound` naming `dataset_id` or `dataset_version`."""
    text = str(number)
    # Not every digit is one of ours ("²"), and no version has a number of ten.
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
    version = all_versions(caller, dataset_id).filter(number=wanted).first()
    if version is not None:
        return version
    versions_of(caller, dataset_id)
    raise NotFound(
        f"Field 'dataset_version': dataset {dataset_id[:80]!r} has no version {text[:40]!r}. "
        f"GET /api/v1/datasets/{dataset_id[:80]}/versions lists them; POST there pins the present content.",
        field="dataset_version",
        value=text[:200],
    )


def items_of(version: DatasetVersion) -> QuerySet[DatasetVersionItem]:
    """The places of a version with the contents they hold, in order of evaluation."""
    return DatasetVersionItem.objects.filter(version=version).select_related("snapshot").order_by("position")


def diff_versions(
    caller: Caller, *, dataset_id: str, old: int | str, new: int | str, kind: ChangeKind | None = None
) -> VersionDiff:
    """What differs from version `old` to version `new` of a dataset; with `kind`, only such changes are listed.

    Memory grows by two numbers a datapoint; contents are read a page at a time.
    """
    return VersionDiff(find_version(caller, dataset_id, old), find_version(caller, dataset_id, new), kind)


def _places(version: DatasetVersion) -> dict[int, int]:
    """Place by primary key of the snapshot, in order. Compared in memory: a version made a moment ago is not in the
    database's statistics yet, and a plan that takes it for empty compares every place with every other."""
    rows = DatasetVersionItem.objects.filter(version=version).order_by("position")
    return dict(rows.values_list("snapshot_id", "position").iterator(chunk_size=5000))


def _by_key(places: Mapping[int, int], elsewhere: Collection[int]) -> dict[str, _Place]:
    """Those whose very content the other version does not hold, by public id of the datapoint, in order."""
    pks = [pk for pk in places if pk not in elsewhere]
    keys: dict[int, str] = {}
    for start in range(0, len(pks), 5000):
        rows = DatapointSnapshot.objects.filter(pk__in=pks[start : start + 5000]).order_by()
        keys.update(rows.values_list("pk", "datapoint_key"))
    return {keys[pk]: _Place(keys[pk], places[pk], pk) for pk in pks}


def _contents(snapshot_pks: set[int]) -> list[dict[str, Any]]:
    rows = DatapointSnapshot.objects.filter(pk__in=snapshot_pks).order_by()
    return [dict(row) for row in rows.values("pk", "datapoint_key", *CONTENT_FIELDS)]


def _change(old: _Place | None, new: _Place | None, contents: Mapping[int, Mapping[str, Any]]) -> Change:
    before = Side(old.position, contents[old.snapshot_pk]) if old else None
    after = Side(new.position, contents[new.snapshot_pk]) if new else None
    if before is not None and after is not None:
        kind: ChangeKind = "changed"
        fields = changed_fields(before.content, after.content)
    else:
        kind, fields = ("removed" if after is None else "added"), []
    place = new or old
    return Change(place.key if place else "", kind, fields, before, after)
