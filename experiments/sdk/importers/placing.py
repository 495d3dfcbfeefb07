"""Datasets of an import on the server. It gives them ids of its own; which is whose is told by marks that it keeps:
a line at the end of a dataset's description, two keys in a datapoint's metadata.
"""

from experiments.sdk.errors import Conflict, InvalidRequest
from experiments.sdk.importers.ledger import REFUSED, SENT, Ledger
from experiments.sdk.importers.things import FORMAT_KEY, ID_KEY, Datapoint, Dataset, Json, marks
from experiments.sdk.jsonable import jsonable
from experiments.sdk.transport.client import Client

BATCH_ROWS = 200
BATCH_IDS = 50  # they stand in an address, and servers take 4 KB of that
EXTERNAL = "EXT-"
HISTORY = "history"
LONGEST_NAME = 255


class Datasets:
    """Creates datasets once, fills in the datapoints that they lack, and knows what the server calls them."""

    def __init__(self, client: Client, tool: str, ledger: Ledger) -> None:
        self._client = client
        self._tool = tool
        self._ledger = ledger
        self._stored: dict[str, Json] | None = None  # mark -> dataset, of everything imported before
        self._looked_at: set[str] = set()
        self._batch: list[tuple[str, Datapoint]] = []
        self._roles: dict[str, str] = {}  # key of the rows in the batch -> inputs, ground_truth or metadata

    def open(self, dataset: Dataset) -> None:
        """Find or create a dataset."""
        self.flush()
        mark = self._mark(dataset.source_id)
        known = self._imported().get(mark)
        if known is None:
            description = f"{dataset.description}\n\n{mark}" if dataset.description else mark
            server_id = self._create(dataset.name[:LONGEST_NAME] or dataset.source_id, description)
            known = self._imported()[mark] = {"id": server_id, "datapoints": []}
        self._ledger.place("datasets", dataset.source_id, known["id"])
        self._ledger.mark("datasets", [dataset.source_id], SENT)

    def server_id(self, dataset: str) -> str | None:
        """What the server calls a dataset of the file, or one imported earlier; external ids stay; None if unknown."""
        if dataset.startswith(EXTERNAL):
            return dataset
        placed = self._ledger.place_of("datasets", dataset)
        if placed is None and (known := self._imported().get(self._mark(dataset))) is not None:
            placed = str(known["id"])
            self._ledger.place("datasets", dataset, placed)
        return placed

    def ids(self, dataset: str | None, datapoint: str | None) -> Json:
        """`dataset_id` and `datapoint_id` for an event; what the server does not know keeps its foreign id."""
        found: Json = {}
        if dataset:
            found["dataset_id"] = self.server_id(dataset) or dataset
        if datapoint:
            self.flush()
            found["datapoint_id"] = (self._place(dataset, datapoint) if dataset else None) or datapoint
        return found

    def add(self, key: str, datapoint: Datapoint) -> None:
        """Queue a datapoint, unless the server has it. `key` is its key in the ledger."""
        if placed := self._place(datapoint.dataset, datapoint.source_id):
            self._ledger.place("datapoints", key, placed)
            self._ledger.mark("datapoints", [key], SENT)
            return
        roles = _roles(datapoint)
        if roles is None:
            self.flush()
            self._add_one(key, datapoint)
            return
        is_other = self._batch and self._batch[0][1].dataset != datapoint.dataset
        if is_other or len(self._batch) >= BATCH_ROWS or any(self._roles.get(n, r) != r for n, r in roles.items()):
            self.flush()
        self._batch.append((key, datapoint))
        self._roles |= roles

    def flush(self) -> None:
        """Send what is queued."""
        batch, roles = self._batch, self._roles
        self._batch, self._roles = [], {}
        if batch:
            self._deliver(batch, roles)

    # --- inner

    def _mark(self, source_id: str) -> str:
        return f"Imported from {self._tool}: {source_id}"

    def _imported(self) -> dict[str, Json]:
        if self._stored is None:
            self._stored = {}
            for each in self._client.datasets():
                lines = str(each.get("description") or "").splitlines()
                if lines and lines[-1].startswith("Imported from "):
                    self._stored[lines[-1]] = each
        return self._stored

    def _create(self, name: str, description: str) -> str:
        """Create a dataset; a name that another one has gets a number."""
        number, tried = 1, name
        while True:
            try:
                return self._client.create_dataset({"name": tried, "description": description})
            except Conflict:
                number += 1
                tried = f"{name[: LONGEST_NAME - 12]} ({number})"

    def _place(self, dataset: str, source_id: str) -> str | None:
        """The server's id of a datapoint; what it has of the dataset is read the first time it is asked for."""
        if dataset not in self._looked_at:
            self._looked_at.add(dataset)
            known = self._imported().get(self._mark(dataset))
            if known is not None and known["datapoints"]:
                self._read_members(dataset, known["datapoints"])
        key = f"{dataset}/{source_id}"
        return self._ledger.place_of("datapoints", key) or self._ledger.place_of("members", key)

    def _read_members(self, dataset: str, members: list[str]) -> None:
        for start in range(0, len(members), BATCH_IDS):
            for each in self._client.datapoints(ids=members[start : start + BATCH_IDS]):
                metadata = each.get("metadata") or {}
                if metadata.get(FORMAT_KEY) == self._tool:
                    key = f"{dataset}/{metadata.get(ID_KEY)}"
                    self._ledger.add("members", key, "")
                    self._ledger.place("members", key, each["id"])

    def _deliver(self, batch: list[tuple[str, Datapoint]], roles: dict[str, str]) -> None:
        """Send rows of one dataset; a refused batch is halved until the rows at fault are found."""
        dataset = self.server_id(batch[0][1].dataset)
        assert dataset is not None, "a dataset is opened before its datapoints"
        mapping: dict[str, list[str]] = {"inputs": [], "ground_truth": [], "history": []}
        for name, role in roles.items():
            if role in mapping:
                mapping[role].append(name)
        rows = [_row(datapoint, self._tool) for _, datapoint in batch]
        try:
            placed = self._client.add_datapoints(dataset, rows, mapping)
        except InvalidRequest as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._deliver(batch[:half], roles)
                self._deliver(batch[half:], roles)
            else:
                self._ledger.mark("datapoints", [batch[0][0]], REFUSED, str(error))
            return
        for (key, _), server_id in zip(batch, placed, strict=True):
            self._ledger.place("datapoints", key, server_id)
            self._ledger.mark("datapoints", [key], SENT)

    def _add_one(self, key: str, datapoint: Datapoint) -> None:
        body = {
            "inputs": jsonable(datapoint.inputs),
            "ground_truth": jsonable(datapoint.ground_truth),
            "history": jsonable(datapoint.history),
            "metadata": {**jsonable(datapoint.metadata), **marks(self._tool, datapoint.source_id)},
            "linked_datasets": [self.server_id(datapoint.dataset)],
        }
        try:
            answer = self._client.request("POST", "/v1/datapoints", json=body, idempotent=False)
        except InvalidRequest as error:
            self._ledger.mark("datapoints", [key], REFUSED, str(error))
            return
        self._ledger.place("datapoints", key, answer["result"]["insertedIds"][0])
        self._ledger.mark("datapoints", [key], SENT)


def _roles(datapoint: Datapoint) -> dict[str, str] | None:
    """Which part each key of a flat row belongs to; None when one key is in two parts and no flat row can say so."""
    parts = {
        "inputs": datapoint.inputs,
        "ground_truth": datapoint.ground_truth or {},
        "metadata": {**datapoint.metadata, FORMAT_KEY: "", ID_KEY: ""},
        "history": {HISTORY: datapoint.history} if datapoint.history else {},
    }
    roles: dict[str, str] = {}
    for role, values in parts.items():
        for name in values:
            if name in roles:
                return None
            roles[str(name)] = role
    return roles


def _row(datapoint: Datapoint, tool: str) -> Json:
    row = {
        **datapoint.inputs,
        **(datapoint.ground_truth or {}),
        **datapoint.metadata,
        **marks(tool, datapoint.source_id),
    }
    if datapoint.history:
        row[HISTORY] = datapoint.history
    found: Json = jsonable(row)
    return found
