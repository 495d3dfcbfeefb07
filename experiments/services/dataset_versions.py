"""Use cases that pin what a dataset holds. A version is made once for each content and never changed."""

from array import array

from django.db import IntegrityError, transaction
from django.db.models import Max

from experiments.domain.dataset_versions import CONTENT_FIELDS, snapshot_hash, version_hash
from experiments.models import Dataset, DatasetMembership, DatasetVersion
from experiments.selectors.dataset_versions import all_versions, find_version
from experiments.selectors.datasets import datasets
from experiments.services import dataset_version_writer
from experiments.services.datasets import locked_datasets
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict
from governance.models import AuditEntry
from governance.services import audit

READ_AT_ONCE = 500  # datapoints in memory
WRITTEN_AT_ONCE = 5_000  # hashes in one statement


@transaction.atomic
def pin_version(*, caller: Caller, dataset_id: str) -> tuple[DatasetVersion, bool]:
    """The version of what the dataset holds now, and whether it was made just now. Needs `datasets.write`."""
    caller.require(Action.DATASETS_WRITE)
    version, is_new = _present_version(caller, dataset_id)
    record_new_version(caller=caller, version=version)
    return version, is_new


@transaction.atomic
def snapshot_dataset(*, caller: Caller, dataset_id: str, number: int | None = None) -> DatasetVersion:
    """The version of what the dataset holds now, made when there is none; with `number`, that version.

    A numbered version is found also when its dataset was deleted. `NotFound` names `dataset_id` or
    `dataset_version`. Reads no datapoint when the dataset's revision is one that was seen. Call it before quota is
    reserved (it may read a hundred thousand datapoints), and `record_new_version` with the other audit entries,
    because the locks of quota and audit chain are taken last.
    """
    caller.require(Action.DATASETS_READ)
    if number is not None:
        return find_version(caller, dataset_id, number)
    return _present_version(caller, dataset_id)[0]


def record_new_version(*, caller: Caller, version: DatasetVersion) -> None:
    """The audit entry of a version's making, unless it was written before. In the transaction of `snapshot_dataset`."""
    entries = AuditEntry.objects.filter(chain=caller.project_public_id, target_kind="dataset_version")
    if entries.filter(target_id=version.public_id).exists():
        return
    audit.record(
        caller=caller,
        action="dataset_version.create",
        target_kind="dataset_version",
        target_id=version.public_id,
        target_label=str(version)[:255],
        after={
            "dataset_id": version.dataset_key,
            "number": version.number,
            "content_hash": version.content_hash,
            "datapoints": version.datapoint_count,
        },
    )


def _present_version(caller: Caller, dataset_id: str) -> tuple[DatasetVersion, bool]:
    """The version of the present content, and whether it was made just now."""
    if known := _version_of_revision(caller, datasets(caller).filter(public_id=dataset_id).first()):
        return known, False
    # Whoever changes what a dataset holds, or a datapoint in it, locks its row first: until commit this is its content.
    (dataset,) = locked_datasets(caller, [dataset_id])
    if known := _version_of_revision(caller, dataset):
        return known, False
    hashes, datapoint_pks = _read_contents(dataset)
    content_hash = version_hash(each.hex() for each in hashes)
    existing = all_versions(caller, dataset_id).filter(content_hash=content_hash).first()
    if existing is not None:
        DatasetVersion.objects.filter(pk=existing.pk).update(seen_revision=dataset.revision)
        existing.seen_revision = dataset.revision
        return existing, False
    version = _new_version(caller, dataset, content_hash, len(hashes))
    _write_contents(caller.project_id, version, hashes, datapoint_pks)
    return version, True


def _version_of_revision(caller: Caller, dataset: Dataset | None) -> DatasetVersion | None:
    """The version that was seen at the dataset's present revision: every change of content counts the revision up."""
    if dataset is None:
        return None
    return all_versions(caller, dataset.public_id).filter(seen_revision=dataset.revision).first()


def _read_contents(dataset: Dataset) -> tuple[list[bytes], "array[int]"]:
    """Hash and primary key of every datapoint in order; contents pass through memory a few hundred at a time."""
    hashes: list[bytes] = []
    pks = array("q")
    rows = DatasetMembership.objects.filter(dataset=dataset).order_by("position", "id")
    columns = ("datapoint_id", "datapoint__public_id", *(f"datapoint__{name}" for name in CONTENT_FIELDS))
    for pk, public_id, *values in rows.values_list(*columns).iterator(chunk_size=READ_AT_ONCE):
        hashes.append(bytes.fromhex(snapshot_hash(public_id, dict(zip(CONTENT_FIELDS, values, strict=True)))))
        pks.append(pk)
    return hashes, pks


def _new_version(caller: Caller, dataset: Dataset, content_hash: str, count: int) -> DatasetVersion:
    last = all_versions(caller, dataset.public_id).aggregate(last=Max("number"))["last"] or 0
    try:
        with transaction.atomic():
            return DatasetVersion.objects.create(
                project_id=caller.project_id,
                dataset=dataset,
                dataset_key=dataset.public_id,
                dataset_name=dataset.name,
                number=last + 1,
                content_hash=content_hash,
                datapoint_count=count,
                seen_revision=dataset.revision,
                created_by=caller.actor_label[:240],
            )
    except IntegrityError:  # the lock was not honoured: somebody else wrote the number or the content meanwhile
        raise Conflict(
            "Field 'dataset_id': another version of this dataset was made in this moment; send the request again.",
            field="dataset_id",
            value=dataset.public_id,
        ) from None


def _write_contents(project_id: int, version: DatasetVersion, hashes: list[bytes], pks: "array[int]") -> None:
    by_hash = sorted(range(len(hashes)), key=hashes.__getitem__)
    for start in range(0, len(by_hash), WRITTEN_AT_ONCE):
        some = by_hash[start : start + WRITTEN_AT_ONCE]
        dataset_version_writer.insert_snapshots(
            project_id=project_id, rows=[(hashes[index].hex(), pks[index]) for index in some]
        )
    stored = 0
    for start in range(0, len(hashes), WRITTEN_AT_ONCE):
        stored += dataset_version_writer.insert_items(
            project_id=project_id,
            version_pk=version.pk,
            first_position=start,
            hashes=[each.hex() for each in hashes[start : start + WRITTEN_AT_ONCE]],
        )
    if stored != len(hashes):
        raise RuntimeError(f"{stored} of {len(hashes)} datapoints of {version} were stored")
