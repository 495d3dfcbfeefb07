"""From things to the server, in batches. Everything may be sent twice: the server stores it once."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from experiments.sdk.errors import Conflict, InvalidRequest
from experiments.sdk.importers.ledger import REFUSED, SENT, Ledger
from experiments.sdk.importers.placing import Datasets
from experiments.sdk.importers.things import (
    FORMAT_KEY,
    ID_KEY,
    BadRow,
    Datapoint,
    Dataset,
    Event,
    Json,
    Run,
    Score,
    Thing,
    marks,
)
from experiments.sdk.jsonable import jsonable
from experiments.sdk.transport import json_text
from experiments.sdk.transport.client import Client

BATCH_EVENTS = 200
BATCH_BYTES = 2 * 1024 * 1024
EXPLANATION = "_explanation"


class Sender:
    """Takes the things of one export in their order, sends them, and writes down what became of each.

    Without a client nothing is sent: the things are only counted. `bad` lists what the file holds and the server
    cannot; `span` are the earliest and latest start of the events in epoch milliseconds, infinite where one has none.
    """

    def __init__(self, client: Client | None, tool: str, ledger: Ledger) -> None:
        self._client = client
        self._tool = tool
        self._ledger = ledger
        self._datasets = Datasets(client, tool, ledger) if client is not None else None
        self._batch: dict[str, tuple[Json, list[tuple[str, str]]]] = {}  # event id -> (body, what it carries)
        self._batch_bytes = 0
        self._final: list[tuple[Run, str]] = []
        self.bad: list[BadRow] = []
        self.span: tuple[float, float] | None = None
        self.sent = 0

    def send(self, things: Iterable[Thing], on_progress: Callable[[int], None] | None = None) -> None:
        """Send everything, runs last of all getting their final status. Raises ServerError when the server goes away;
        then the same import can simply be repeated.
        """
        for thing in things:
            self._take(thing)
            if on_progress is not None:
                on_progress(self.sent)
        self._flush()
        if self._datasets is not None:
            self._datasets.flush()
        for run, status in self._final:
            self._finish(run, status)

    def _take(self, thing: Thing) -> None:
        if isinstance(thing, Event):
            self._event(thing)
        elif isinstance(thing, Score):
            self._score(thing)
        elif isinstance(thing, Datapoint):
            self._datapoint(thing)
        elif isinstance(thing, Dataset):
            if self._ledger.add("datasets", thing.source_id, thing.source_id) and self._datasets is not None:
                self._datasets.open(thing)
        elif isinstance(thing, Run):
            if self._ledger.add("runs", thing.run_id, thing.source_id, expected=thing.status) and self._datasets:
                self._run(thing, self._datasets)
        else:
            self.bad.append(thing)

    def _datapoint(self, thing: Datapoint) -> None:
        key = f"{thing.dataset}/{thing.source_id}"
        if self._ledger.add("datapoints", key, thing.source_id) and self._datasets is not None:
            self._datasets.add(key, thing)

    # --- runs

    def _run(self, run: Run, datasets: Datasets) -> None:
        datasets.flush()
        assert self._client is not None
        dataset = datasets.server_id(run.dataset) if run.dataset else None
        body: Json = {
            "run_id": run.run_id,
            "name": run.name[:255],
            "description": run.description,
            # It ends when its events are there: an import that is interrupted leaves no run that looks complete.
            "status": "pending" if run.status == "pending" else "running",
            "configuration": jsonable(run.configuration),
            "metadata": {**jsonable(run.metadata), **marks(self._tool, run.source_id)},
            "results": jsonable(run.results),
            "event_ids": run.event_ids,
            "dataset_id": dataset,
        }
        if run.dataset and dataset is None:  # a dataset that is not here: only its name is kept
            body["metadata"]["import_dataset_id"] = run.dataset
        try:
            try:
                self._client.create_run(body)
            except Conflict:  # imported before
                self._check_ours(run)
        except InvalidRequest as error:
            self._ledger.mark("runs", [run.run_id], REFUSED, str(error))
            return
        self._ledger.mark("runs", [run.run_id], SENT)
        if run.status != "pending":
            self._final.append((run, run.status))

    def _check_ours(self, run: Run) -> None:
        assert self._client is not None
        stored = self._client.get_run(run.run_id)
        if (stored.metadata.get(FORMAT_KEY), stored.metadata.get(ID_KEY)) != (self._tool, run.source_id):
            raise InvalidRequest(
                f"Run {run.run_id!r} exists already and was not imported from {self._tool}; delete one of the two."
            )

    def _finish(self, run: Run, status: str) -> None:
        assert self._client is not None
        self._client.update_run(run.run_id, {"status": status})

    # --- events and scores

    def _event(self, event: Event) -> None:
        metrics: Json = event.body.get("metrics") or {}
        scores = [name for name in metrics if not _explains(name, metrics)]
        for name in scores:
            self._ledger.add(
                "scores", f"{event.event_id}/{name}", f"{event.source_id}/{name}", expected=jsonable(metrics[name])
            )
        if not self._ledger.add(event.kind, event.event_id, event.source_id):
            return  # the same event twice in the file
        start = event.body.get("start_time")
        low, high = (-math.inf, math.inf) if start is None else (start, start)  # the server sets a missing one
        self.span = (min(low, self.span[0]), max(high, self.span[1])) if self.span else (low, high)
        carried = [(event.kind, event.event_id), *(("scores", f"{event.event_id}/{name}") for name in scores)]
        body = jsonable(event.body)
        if self._datasets is not None:
            body["metadata"] |= self._datasets.ids(event.dataset, event.datapoint)
        self._put(event.event_id, body, carried)

    def _score(self, score: Score) -> None:
        kind = "sessions" if score.event_id == score.session_id else "events"
        state = self._ledger.state_of(kind, score.event_id)
        if state is None:
            self.bad.append(BadRow("", "the event that it judges is not in the file.", "scores", score.source_id))
            return
        name = self._free_name(score)
        if name is None:
            return  # the same score twice in the file
        if state == REFUSED:
            key = f"{score.event_id}/{name}"
            self._ledger.mark("scores", [key], REFUSED, "the event that it judges was refused.")
            return
        metrics: Json = {name: jsonable(score.value)}
        if score.explanation:
            metrics[name + EXPLANATION] = jsonable(score.explanation)
        carried = [("scores", f"{score.event_id}/{name}")]
        if score.event_id in self._batch:
            body, has = self._batch[score.event_id]
            body.setdefault("metrics", {}).update(metrics)
            has += carried
        else:  # to an event that is stored, this adds the metrics and changes nothing else
            event = {"event_id": score.event_id, "session_id": score.session_id, "inputs": {}, "metrics": metrics}
            self._put(score.event_id, event | {"event_type": "session" if kind == "sessions" else "tool"}, carried)

    def _free_name(self, score: Score) -> str | None:
        """The score's name; `name_2` and so on where another score of that name judges the same event."""
        number, name = 1, score.name
        while True:
            key = f"{score.event_id}/{name}"
            if self._ledger.add("scores", key, score.source_id, expected=jsonable(score.value)):
                return name
            if self._ledger.source_of("scores", key) == score.source_id:
                return None
            number += 1
            name = f"{score.name}_{number}"

    def _put(self, event_id: str, body: Json, carried: list[tuple[str, str]]) -> None:
        size = len(json_text.dumps(body))
        if len(self._batch) >= BATCH_EVENTS or self._batch_bytes + size > BATCH_BYTES:
            self._flush()
        self._batch[event_id] = (body, carried)
        self._batch_bytes += size

    def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = list(self._batch.values()), {}, 0
        if self._client is not None and batch:
            self._deliver(self._client, batch)
        self.sent += len(batch)

    def _deliver(self, client: Client, batch: list[tuple[Json, list[tuple[str, str]]]]) -> None:
        """Send a batch; one that is refused is halved until the events at fault are found."""
        try:
            client.request("POST", "/v1/events/batch", json={"events": [body for body, _ in batch]})
        except InvalidRequest as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._deliver(client, batch[:half])
                self._deliver(client, batch[half:])
                return
            self._mark(batch, REFUSED, str(error))
        else:
            self._mark(batch, SENT)

    def _mark(self, batch: list[tuple[Json, list[tuple[str, str]]]], state: str, reason: str = "") -> None:
        for _, carried in batch:
            for kind, key in carried:
                self._ledger.mark(kind, [key], state, reason)


def _explains(name: str, metrics: dict[str, Any]) -> bool:
    return name.endswith(EXPLANATION) and name.removesuffix(EXPLANATION) in metrics
