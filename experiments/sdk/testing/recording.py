"""Runs of a pytest session: fed with the records of its tests, ended with it, held against what is asked of them."""

from typing import Any

from experiments.sdk.configuration import Settings, resolve
from experiments.sdk.errors import ExperimentError
from experiments.sdk.models import DatapointOutcome, ExperimentResultSummary, ExperimentRunStatus
from experiments.sdk.running.git import git_context
from experiments.sdk.running.open_run import OpenRun
from experiments.sdk.transport import json_text
from experiments.sdk.transport.client import Client, segment
from experiments.sdk.transport.records import FinishedDatapoint

Json = dict[str, Any]
Line = tuple[str, dict[str, bool]]
_STATUSES = {2: ExperimentRunStatus.CANCELLED.value, 3: ExperimentRunStatus.FAILED.value}  # of pytest's exit codes
CLOSE_SECONDS = 5.0  # that the end of a session waits for a server; then the spool keeps what is left
_ALL = 10**9  # crashed tests fail by themselves, and tests of one run may measure different things


class Recorder:
    """The runs of one session, by id. Nothing that goes wrong here fails a test."""

    def __init__(self, *, server_url: str | None, project: str | None) -> None:
        self._server_url, self._project = server_url, project
        self._runs: dict[str, RecordedRun] = {}

    def receive(self, record: str) -> None:
        """Take the record of one test."""
        found: Json = json_text.loads(record.encode())
        run = self._runs.get(found["run_id"])
        if run is None:
            run = self._runs[found["run_id"]] = RecordedRun(found["run_id"], found["name"], found["header"] or {})
            run.open(self._server_url, self._project)
        run.take(found)

    def finish(self, exitstatus: int) -> bool:
        """End all runs; whether they reached what is asked of them."""
        status = _STATUSES.get(int(exitstatus), ExperimentRunStatus.COMPLETED.value)
        reached = [run.finish(status) for run in self._runs.values()]
        return all(reached)

    def lines(self) -> list[Line]:
        """What is said at the end of the session."""
        return [line for run in self._runs.values() for line in run.lines()]


class RecordedRun:
    """One run: its outcomes, its way to the server, its verdict."""

    def __init__(self, run_id: str, name: str, header: Json) -> None:
        self.run_id, self.name, self.header = run_id, name, header
        self.notices: list[str] = []
        self.missed: list[str] = []
        self._settings: Settings | None = None
        self._open: OpenRun | None = None
        self._outcomes: list[DatapointOutcome] = []
        self._passed: list[bool] = []
        self._summary: ExperimentResultSummary | None = None
        self._link = ""

    def open(self, server_url: str | None, project: str | None) -> None:
        """Create the run. With the server away it goes on into the spool; refused, tests are only judged here."""
        metadata = {**(self.header.get("metadata") or {}), "runner": "pytest"}
        if git := git_context():
            metadata.setdefault("git", git)
        if self.header.get("composites"):
            metadata["composites"] = self.header["composites"]
        try:
            self._settings = resolve(server_url=server_url, project=project)
            self._open = OpenRun.start(
                self._settings,
                name=self.name,
                run_id=self.run_id,
                dataset_id=self.header["dataset_id"],
                datapoint_ids=self.header["datapoint_ids"],
                configuration={
                    "function": self.header["function"],
                    "evaluators": self.header["evaluators"],
                    "aggregate_function": "average",
                },
                metadata=metadata,
                passing_ranges=self.header["passing_ranges"],
                say=self.notices.append,
            )
        except ExperimentError as error:
            self.notices.append(f"Not recorded: {error}")

    def take(self, record: Json) -> None:
        """Add one test."""
        self._outcomes.append(DatapointOutcome.model_validate(record["outcome"]))
        self._passed.append(record["passed"])
        if self._open is not None:
            for each in record["finished"]:
                self._open.deliver(FinishedDatapoint(each["session_id"], each["session"], each["spans"]))

    def finish(self, status: str) -> bool:
        """End the run and judge it; whether it reached what is asked of it."""
        if self._open is not None:
            earlier = len(self.notices)
            self._summary = self._open.finish(status, outcomes=self._outcomes, timeout_seconds=CLOSE_SECONDS)
            if self._is_waiting:
                del self.notices[:earlier]  # the last word says where it waits
            if self._open.client.is_hhweb:
                self._link = f"{self._open.server_url}/console/runs/{segment(self.run_id)}/"
        if status == ExperimentRunStatus.COMPLETED.value:
            if self._is_stored:
                self._judge_there()
            else:
                self._judge_here()
        return not self.missed

    @property
    def _is_waiting(self) -> bool:
        return self._summary is not None and self._summary.status == ExperimentRunStatus.PENDING_UPLOAD.value

    @property
    def _is_stored(self) -> bool:
        """Whether the server has the run, so that its figures count."""
        return self._summary is not None and not self._is_waiting and self._summary.error is None

    def _judge_there(self) -> None:
        rate, regressions = self.header.get("min_pass_rate"), self.header.get("max_regression") or {}
        if rate is None and not regressions:
            return
        from experiments.sdk.gate.deciding import Rules, check

        rules = Rules(pass_rate=rate, max_regressions=regressions, max_crashed=_ALL, max_missing=_ALL)
        try:
            with Client(self._settings) as client:
                report = check(client, self.run_id, self.header.get("baseline"), rules)
        except ExperimentError as error:
            self.missed.append(f"The run could not be judged: {error}")
            return
        self.missed += [f"{each.rule}: {each.message}" for each in report.checks if report.stops(each)]

    def _judge_here(self) -> None:
        rate, total = self.header.get("min_pass_rate"), len(self._passed)
        if rate is not None and sum(self._passed) < rate * total - 1e-9:
            share = sum(self._passed) / total
            self.missed.append(
                f"pass rate of at least {rate:.4g}: {sum(self._passed)} of {total} tests passed: {share:.4g}."
            )
        if self.header.get("max_regression"):
            self.notices.append("Regressions are not judged: the server's figures are not there.")

    # --- words

    def lines(self) -> list[Line]:
        """Name, verdicts and metrics; the address; what was missed; what else there is to know."""
        colour = "red" if self.missed or not all(self._passed) else "green"
        found: list[Line] = [(f"{self.name}: {self._counted()}{self._measured()}", {colour: True})]
        if self._link and self._is_stored:
            found.append((f"  {self._link}", {}))
        found += [(f"  not reached: {each}", {"red": True, "bold": True}) for each in self.missed]
        found += [(f"  {each}", {"yellow": True}) for each in dict.fromkeys(self.notices)]
        return found

    def _counted(self) -> str:
        if self._is_stored and self._summary is not None:
            return f"{len(self._summary.passed)} passed, {len(self._summary.failed)} failed"
        return f"{sum(self._passed)} passed, {len(self._passed) - sum(self._passed)} failed (judged here)"

    def _measured(self) -> str:
        details = self._summary.metrics.details if self._summary is not None else []
        shown = [f"{each.metric_name} {each.aggregate:.4g}" for each in details if each.aggregate is not None]
        return "; " + ", ".join(dict.fromkeys(shown)) if shown else ""
