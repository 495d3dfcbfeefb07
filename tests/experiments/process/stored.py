"""What the database holds of an experiment, and what must be true of it however often its workers died."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.experiments.process.cluster import Client, Cluster
from tests.experiments.process.target import Record

# Runs in Django's shell of the installation. ARGUMENTS: the ids of the runs.
READ = """
import datetime as dt, json, os
from django.db.models import Count, Q, Sum
from experiments.models import DatapointRun, Event, Experiment, Lane, Measurement, Run, RunRevision
from governance.models import AuditEntry, IngestionCount, Quota, QuotaBlock
from governance.services.quota_reconciliation import reconcile_all

found = {"runs": {}}
for run_key in json.loads(os.environ["ARGUMENTS"]):
    run = Run.objects.get(run_key=run_key)
    experiment = Experiment.objects.get(run=run)
    names = ("datapoint_key", "repetition", "rank", "status", "attempts", "failures", "lost_attempts", "error_class",
             "attempt_errors", "lease_holder", "snapshot__inputs")
    rows = [
        {**row, "session": str(session)}
        for row, session in zip(
            experiment.datapoint_runs.order_by("rank").values(*names),
            experiment.datapoint_runs.order_by("rank").values_list("session_key", flat=True),
        )
    ]
    events = Event.objects.filter(project=run.project, run_key=run_key)
    found["runs"][run_key] = {
        "status": experiment.status, "run_status": run.status, "has_finish": run.finished_at is not None,
        "function": experiment.spec["function"], "dataset": run.dataset.public_id, "rows": rows,
        "lanes": [[lane.status, lane.lease_holder] for lane in experiment.lanes.all()],
        "events": [
            {"session": str(e.session_key), "event": str(e.event_key), "type": e.event_type, "name": e.event_name,
             "parent": str(e.parent_key) if e.parent_key else None, "metadata": e.metadata, "source": e.source,
             "metrics": e.metrics, "error": e.error, "outputs": e.outputs, "is_stub": e.is_stub}
            for e in events.iterator()
        ],
        "measurements": Measurement.objects.filter(project=run.project, run_key=run_key).count(),
        "revision": RunRevision.objects.filter(project=run.project, run_key=run_key).aggregate(n=Sum("revision"))["n"],
        "audit": sorted(AuditEntry.objects.filter(target_id__in=[run_key, run.public_id, experiment.public_id])
                        .values_list("action", flat=True)),
    }
QuotaBlock.objects.update(leased_until=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
reconcile_all()
quotas = dict(Quota.objects.values_list("resource", "used"))
found["quotas"] = {
    "events_used": quotas["events"], "events_stored": Event.objects.count(),
    "events_counted": IngestionCount.objects.aggregate(n=Sum("events"))["n"],
    "runs_used": quotas["runs"], "runs_stored": Run.objects.count(), "experiments_stored": Experiment.objects.count(),
}
print(json.dumps(found))
"""


@dataclass
class Stored:
    """One run as the database has it."""

    run: str
    found: dict[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.found["rows"]
        return rows

    def total(self, name: str) -> int:
        return sum(row[name] for row in self.rows)

    def statuses(self) -> Counter[str]:
        return Counter(row["status"] for row in self.rows)


def stored(cluster: Cluster, *runs: str) -> tuple[dict[str, Stored], dict[str, int]]:
    """The runs by id, and the quotas. Reconciles the quota of events first: call it when nothing writes any more."""
    found = cluster.manage(READ, *runs)
    return {run: Stored(run, found["runs"][run]) for run in runs}, found["quotas"]


def check_every_row_has_one_result(run: Stored, *, datapoints: int, repetitions: int) -> None:
    """Each datapoint and repetition ended, with one session and one main event under it, and nothing besides."""
    rows, events = run.rows, run.found["events"]
    assert len(rows) == datapoints * repetitions
    assert {(row["datapoint_key"], row["repetition"]) for row in rows} == {
        (row["datapoint_key"], repetition) for row in rows for repetition in range(repetitions)
    }
    assert sorted(row["rank"] for row in rows) == list(range(len(rows)))
    assert set(run.statuses()) <= {"completed", "failed"}, run.statuses()
    by_session = {row["session"]: row for row in rows}
    assert len(by_session) == len(rows), "two rows share a session"
    sessions = {e["session"] for e in events if e["type"] == "session"}
    assert sessions == set(by_session), "sessions differ from rows"
    mains = Counter(e["session"] for e in events if e["parent"] == e["session"])
    assert mains == Counter(dict.fromkeys(by_session, 1)), "not exactly one main event to a session"
    main_keys = {e["event"]: e["session"] for e in events if e["parent"] == e["session"]}
    below = Counter(e["session"] for e in events if e["parent"] is not None and e["parent"] != e["session"])
    assert set(below.values()) <= {1}, "more than one call below a main event"
    for event in events:
        row = by_session[event["session"]]
        assert event["is_stub"] is False
        assert event["metadata"]["run_id"] == run.run
        assert event["metadata"]["dataset_id"] == run.found["dataset"]
        assert event["metadata"]["datapoint_id"] == row["datapoint_key"]
        assert event["metadata"]["source"] == "evaluation"
        assert event["source"] == "evaluation"
        if event["type"] == "session":
            assert event["parent"] is None
        elif event["parent"] == event["session"]:
            assert event["name"] == run.found["function"]
            assert bool(event["error"]) == (row["status"] == "failed"), (row, event["error"])
            if row["status"] == "completed":
                number = row["snapshot__inputs"]["number"]
                assert event["outputs"] == {"result": {"text": f"answer {number}", "number": number}}
        else:
            assert main_keys[event["parent"]] == event["session"]


def check_attempts_are_accounted_for(run: Stored, calls: Record, *, max_attempts: int) -> None:
    """Every call was written down before it was made; what the retry policy did not allow was a lost attempt."""
    seen = calls.by_number()
    attempts: Counter[int] = Counter()
    for row in run.rows:
        completed = row["status"] == "completed"
        assert row["attempts"] == row["failures"] + row["lost_attempts"] + completed, row
        assert len(row["attempt_errors"]) == row["failures"], row
        assert row["failures"] <= max_attempts - completed, row
        assert row["lease_holder"] == "", row
        attempts[row["snapshot__inputs"]["number"]] += row["attempts"]
    unrecorded = {number: (count, attempts[number]) for number, count in seen.items() if count > attempts[number]}
    assert unrecorded == {}, "calls beyond the recorded attempts"
    assert {number for number, count in attempts.items() if count and not seen[number]} == set()
    # Seen less often than recorded: an attempt that its worker could not begin, or whose call did not get through.
    unseen = sum(attempts.values()) - sum(seen.values())
    assert 0 <= unseen <= run.total("lost_attempts"), unseen


def check_faults_ended_as_planned(run: Stored, *, max_attempts: int) -> None:
    """What heals was healed, what cannot heal was tried once, what never heals used up its attempts."""
    for row in run.rows:
        faults = row["snapshot__inputs"]["faults"]
        if faults[-2:] == ["400", "always"]:
            assert (row["status"], row["error_class"]) == ("failed", "client_error"), row
            assert 1 <= row["failures"] <= len(faults) - 1, row
        elif faults[-1:] == ["always"]:
            assert (row["status"], row["failures"]) == ("failed", max_attempts), row
        else:
            assert row["status"] == "completed", row
            assert row["failures"] <= len(faults), row


def check_counters_agree(client: Client, run: Stored, quotas: dict[str, int]) -> None:
    """Progress, rows, result, quotas and the audit trail tell the same story."""
    statuses = run.statuses()
    assert run.found["status"] == "completed"
    assert run.found["run_status"] == "completed"
    assert run.found["has_finish"]
    assert {holder for _, holder in run.found["lanes"]} <= {""}
    progress = client.experiment(run.run)["progress"]
    assert progress["total"] == progress["finished"] == len(run.rows)
    assert {name: count for name, count in progress["counts"].items() if count} == dict(statuses)
    for name in ("attempts", "failures", "lost_attempts"):
        assert progress[name] == run.total(name), name
    first = client.ask("GET", f"/v1/runs/{run.run}/result")
    result = first.json()
    keys = {row["datapoint_key"] for row in run.rows}
    assert {row["datapoint_id"] for row in result["datapoints"]} == keys
    assert sorted(row["session_id"] for row in result["datapoints"]) == sorted(row["session"] for row in run.rows)
    again = client.http.get(f"/v1/runs/{run.run}/result", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert run.found["audit"].count("experiment.create") == 1, run.found["audit"]
    assert quotas["events_used"] == quotas["events_counted"] == quotas["events_stored"], quotas
    assert quotas["runs_used"] == quotas["runs_stored"] == quotas["experiments_stored"], quotas
