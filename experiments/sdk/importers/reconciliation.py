"""After an import: what the file holds against what the server says it has, thing by thing."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from experiments.sdk.errors import NotFound
from experiments.sdk.importers.ledger import READ, REFUSED, SENT, STORED, Ledger
from experiments.sdk.importers.placing import BATCH_IDS
from experiments.sdk.importers.things import FORMAT_KEY, KINDS, BadRow, Json
from experiments.sdk.transport.client import Client, segment

ASKED_SINGLY = 1000  # events that a sweep did not show; more than that is a fault of another kind
_NOT_THERE = "sent, but the server does not show it."


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the file has and the server has not, or not so."""

    kind: str
    source_id: str
    reason: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """One kind: how many the file has, how many were sent or found there already, how many the server has of them."""

    in_file: int
    sent: int
    on_server: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The outcome of an import. In a dry run nothing was sent and the server was not asked."""

    counts: dict[str, Count]
    differences: list[Difference] = field(default_factory=list)
    is_dry: bool = False

    @property
    def is_reconciled(self) -> bool:
        """Whether the server has everything that the file has."""
        return not self.differences

    def document(self) -> Json:
        """The outcome as one JSON document."""
        return {
            "schema": 1,
            "reconciled": self.is_reconciled,
            "dry_run": self.is_dry,
            "counts": {
                kind: {"in_file": count.in_file, "sent": count.sent, "on_server": count.on_server}
                for kind, count in self.counts.items()
            },
            "differences": [
                {"kind": each.kind, "id": each.source_id, "where": each.where, "reason": each.reason}
                for each in self.differences
            ],
        }


def reconcile(
    client: Client | None, tool: str, ledger: Ledger, *, bad: Iterable[BadRow], span: tuple[float, float] | None
) -> Reconciliation:
    """Ask the server for everything that was sent. Without a client: only what the file holds, and what is wrong there.

    `span` are the first and last start of events in epoch milliseconds; it spares the server a search of all time.
    """
    bad = list(bad)
    if client is not None:
        _read_datasets(client, ledger)
        _read_datapoints(client, ledger)
        _read_runs(client, ledger)
        if span is not None:
            _read_events(client, tool, ledger, span)
        _read_single_events(client, ledger)
    counts = {kind: _count(ledger, kind, sum(row.kind == kind for row in bad)) for kind in KINDS}
    found = [Difference(row.kind or "rows", row.source_id, row.reason, row.where) for row in bad]
    for kind in KINDS:
        for state in (REFUSED, SENT) if client is not None else ():
            found += [
                Difference(kind, source_id, reason or _NOT_THERE)
                for _, source_id, reason, _ in ledger.things(kind, state)
            ]
    return Reconciliation(counts, found, is_dry=client is None)


def _count(ledger: Ledger, kind: str, bad: int) -> Count:
    return Count(ledger.count(kind) + bad, ledger.count(kind, SENT, STORED), ledger.count(kind, STORED))


def _read_datasets(client: Client, ledger: Ledger) -> None:
    if ledger.count("datasets"):
        there = {each["id"] for each in client.datasets()}
        found = [key for key, _, _, server_id in ledger.things("datasets", SENT) if server_id in there]
        ledger.mark("datasets", found, STORED)


def _read_datapoints(client: Client, ledger: Ledger) -> None:
    batch: dict[str, str] = {}

    def ask() -> None:
        there = client.datapoints(ids=list(batch)) if batch else []
        ledger.mark("datapoints", [batch[each["id"]] for each in there], STORED)
        batch.clear()

    for key, _, _, server_id in ledger.things("datapoints", SENT):
        batch[str(server_id)] = key
        if len(batch) == BATCH_IDS:
            ask()
    ask()


def _read_runs(client: Client, ledger: Ledger) -> None:
    for run_id, _, _, _ in ledger.things("runs", SENT):
        try:
            status = client.get_run(run_id).status
        except NotFound:
            continue
        wanted = ledger.expected("runs", run_id)
        if status == wanted:
            ledger.mark("runs", [run_id], STORED)
        else:
            ledger.mark("runs", [run_id], SENT, f"the server has status {status!r}, the file {wanted!r}.")


def _read_events(client: Client, tool: str, ledger: Ledger, span: tuple[float, float]) -> None:
    filters = [{"field": f"metadata.{FORMAT_KEY}", "operator": "is", "value": tool, "type": "string"}]
    for operator, bound in (("greater than", span[0] - 1), ("less than", span[1] + 1)):
        if math.isfinite(bound):
            filters.append({"field": "start_time", "operator": operator, "value": str(bound), "type": "number"})
    for event in client.events(filters, projections=["event_id", "session_id", "metrics"]):
        _tick(ledger, event)


def _read_single_events(client: Client, ledger: Ledger) -> None:
    """Ask one by one for what a sweep by mark and time did not show: events that were here before, with other times."""
    asked = 0
    for kind in ("sessions", "events"):
        for event_id, _, _, _ in ledger.things(kind, SENT):
            asked += 1
            if asked > ASKED_SINGLY:
                return
            try:
                answer: Any = client.request("GET", f"/v1/events/{segment(event_id)}")
            except NotFound:
                continue
            _tick(ledger, answer["event"])


def _tick(ledger: Ledger, event: Json) -> None:
    """Note that the server has this event, and which of its scores are as in the file."""
    event_id = str(event["event_id"])
    kind = "sessions" if event_id == event["session_id"] else "events"
    if ledger.state_of(kind, event_id) not in (SENT, STORED):
        return  # of another import
    ledger.mark(kind, [event_id], STORED)
    for name, value in (event.get("metrics") or {}).items():
        key = f"{event_id}/{name}"
        if ledger.state_of("scores", key) not in (READ, SENT):
            continue
        wanted = ledger.expected("scores", key)
        if value == wanted:
            ledger.mark("scores", [key], STORED)
        else:
            ledger.mark("scores", [key], SENT, f"the server has {value!r} for {name!r}, the file {wanted!r}.")
