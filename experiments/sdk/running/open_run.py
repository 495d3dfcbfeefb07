"""A run that is under way: created on the server (or waiting in the spool), fed datapoint by datapoint, then finished.

evaluate() and the pytest plugin stand on it. Whatever happens to the server meanwhile, a finished datapoint is either
acknowledged or in the spool.
"""

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from experiments.sdk.configuration import Settings
from experiments.sdk.context import ExperimentContext
from experiments.sdk.errors import Conflict, NotFound, ServerError, SpoolError, Unavailable
from experiments.sdk.ids import prepare_run_request_data, session_id_of
from experiments.sdk.models import DatapointOutcome, ExperimentResultSummary, ExperimentRunStatus
from experiments.sdk.running.datapoint_run import DatapointRun
from experiments.sdk.transport.client import Client, segment
from experiments.sdk.transport.delivery import Delivery, DeliveryReport
from experiments.sdk.transport.records import FinishedDatapoint
from experiments.sdk.transport.retries import ONCE, RetryPolicy
from experiments.sdk.transport.spool import RunSpool, Spool

if TYPE_CHECKING:
    pass

log = logging.getLogger("hhweb.experiments")
CLOSE_SECONDS = 15.0
HURRIED_SECONDS = 1.0
NAMED_LOSSES = 10
WITHDRAWAL_SECONDS = 2.0  # a request of these
WITHDRAWAL_PAUSES = (0.0, 0.1, 0.3, 0.6)
# A server that is away must not hold up the start for long: the spool takes over.
START = RetryPolicy(attempts=4, give_up_after_seconds=6.0)


class OpenRun:
    """One run, from its creation to its result. Make it with `start` or `attach`; end it with `finish` or `cancel`."""

    def __init__(
        self,
        settings: Settings,
        *,
        run_id: str,
        name: str,
        dataset_id: str,
        aggregate_function: str,
        create: dict[str, Any] | None,
        spool: Spool | None,
        say: Callable[[str], None] | None,
        client: Client | None,
    ) -> None:
        self.run_id, self.name, self.dataset_id = run_id, name, dataset_id
        self.aggregate_function = aggregate_function
        self.server_url = settings.server_url
        self.client = client or Client(settings)
        self.notices: list[str] = []
        self.known_sessions: list[str] = []
        self._owns_client = client is None
        self._create = create
        self._has_tried = False
        self._has_ended = False  # and the server knows
        self._say = say
        self._spool = self._opened_spool(spool or Spool(), create)
        self._sender = self.client  # or a client of its own, with the key that may only send
        if settings.ingestion_api_key:
            self._sender = Client(replace(settings, api_key=settings.ingestion_api_key))
        self._delivery = Delivery(self._sender, self._spool, on_notice=self.notice)

    # --- beginnings

    @classmethod
    def start(
        cls,
        settings: Settings,
        *,
        name: str,
        dataset_id: str,
        datapoint_ids: Sequence[str],
        configuration: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        passing_ranges: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        aggregate_function: str = "average",
        description: str | None = None,
        spool: Spool | None = None,
        say: Callable[[str], None] | None = None,
        client: Client | None = None,
    ) -> Self:
        """Create the run; with the server away, go on without it and say so.

        Raises Unauthorized, InvalidRequest and the like when the server answers and refuses.
        """
        run_id = run_id or str(uuid.uuid4())
        body = prepare_run_request_data(
            run_id,
            name,
            dataset_id=dataset_id,
            datapoint_ids=list(datapoint_ids),
            configuration=dict(configuration or {}),
            metadata=dict(metadata or {}),
            description=description,
            status=ExperimentRunStatus.RUNNING.value,
        )
        if passing_ranges:
            body["passing_ranges"] = dict(passing_ranges)
        run = cls(
            settings,
            run_id=run_id,
            name=name,
            dataset_id=dataset_id,
            aggregate_function=aggregate_function,
            create=body,
            spool=spool,
            say=say,
            client=client,
        )
        run._begin(START)
        return run

    @classmethod
    def attach(
        cls,
        settings: Settings,
        *,
        run_id: str,
        name: str,
        dataset_id: str,
        aggregate_function: str = "average",
        spool: Spool | None = None,
        say: Callable[[str], None] | None = None,
        client: Client | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Go on with a run that exists already: a resumed one, or one that another process created.

        `changes` are merged into it first (fields of PUT /v1/runs/{run_id}). Raises ServerError when they cannot be.
        """
        run = cls(
            settings,
            run_id=run_id,
            name=name,
            dataset_id=dataset_id,
            aggregate_function=aggregate_function,
            create=None,
            spool=spool,
            say=say,
            client=client,
        )
        try:
            if changes:
                run.client.update_run(run_id, changes)
        except BaseException:
            if run._spool is not None:
                run._spool.close(delete=True)
            run._close_client()
            raise
        run._delivery.start()
        return run

    def _opened_spool(self, spool: Spool, create: dict[str, Any] | None) -> RunSpool | None:
        header = {
            "server_url": self.server_url,
            "name": self.name,
            "create": create,
            "aggregate_function": self.aggregate_function,
        }
        try:
            return spool.open_run(self.run_id, header)
        except (SpoolError, OSError) as error:
            self.notice(
                f"{error} Finished datapoints are kept in memory only; if the server stays away, they are lost."
            )
            return None

    def _begin(self, retries: RetryPolicy) -> None:
        try:
            try:
                self._create_now(retries)
            except Unavailable as error:
                self._has_tried = True
                log.info("%s does not answer yet: %s", self.server_url, error)  # Delivery tells when it stays so
            self._delivery.start()
        except BaseException as error:
            try:
                if isinstance(error, KeyboardInterrupt):
                    self._withdraw()
            finally:  # whoever does not even wait for that leaves no lock behind
                self._delivery.abandon()
                if self._spool is not None:
                    self._spool.close(delete=True)
                self._close_client()
            raise

    def _withdraw(self) -> None:
        """Somebody changed their mind while the run was being created: if it is there, it is not to stay running.

        The server may still be at it, so that a 404 is not its last word. A run of this id that looks otherwise was
        there before and is left alone.
        """
        path = f"/v1/runs/{segment(self.run_id)}"
        options: dict[str, Any] = {"retries": ONCE, "timeout_seconds": WITHDRAWAL_SECONDS}
        running, cancelled = ExperimentRunStatus.RUNNING.value, ExperimentRunStatus.CANCELLED.value
        for pause in WITHDRAWAL_PAUSES:
            time.sleep(pause)
            try:
                stored = self.client.request("GET", path, **options)["evaluation"]
                is_ours = stored["status"] == running and stored["name"] == self.name and not stored["event_ids"]
                if is_ours:
                    self.client.request("PUT", path, json={"status": cancelled}, **options)
                return
            except NotFound:
                continue
            except (ServerError, LookupError, TypeError):  # away, or not like a server of this protocol
                return

    def _create_now(self, retries: RetryPolicy | None = None) -> None:
        if self._create is None:
            return
        try:
            self.client.create_run(self._create, retries=retries)
        except Conflict:
            if not self._has_tried:
                raise
            # Our own first try got through and only its answer was lost.
        self._create = None

    # --- datapoints

    def begin(
        self,
        *,
        datapoint_id: str,
        inputs: Any,
        ground_truth: Any,
        repetition: int = 0,
        occurrence: int = 0,
        function_name: str = "function",
        metadata: dict[str, Any] | None = None,
    ) -> DatapointRun:
        """A fresh tracer and record for one execution; `close()` of it delivers."""
        return DatapointRun(
            context=ExperimentContext(self.run_id, dataset_id=self.dataset_id),
            datapoint_id=datapoint_id,
            session_id=session_id_of(self.run_id, datapoint_id, repetition, occurrence),
            function_name=function_name,
            inputs=inputs,
            ground_truth=ground_truth,
            repetition=repetition,
            deliver=self._delivery.put,
            metadata=metadata,
        )

    def deliver(self, finished: FinishedDatapoint) -> None:
        """Deliver a datapoint that was executed elsewhere under this run's id."""
        self._delivery.put(finished)

    # --- ends

    def finish(
        self,
        status: str = "completed",
        *,
        outcomes: Iterable[DatapointOutcome] = (),
        timeout_seconds: float | None = None,
    ) -> ExperimentResultSummary:
        """Deliver what is left, end the run, and fetch its result.

        When not everything could be delivered, the summary has status `pending_upload`, no metrics, and the spool's
        path. Ctrl-C meanwhile leaves it a second more, another one nothing: what is not delivered then waits in the
        spool, with the end of the run.
        """
        return self._end(status, list(outcomes), timeout_seconds, retries=None, is_hurried=False)

    def cancel(self, *, outcomes: Iterable[DatapointOutcome] = (), timeout_seconds: float | None = None) -> None:
        """Store what has finished and end the run as cancelled; with the server away the spool keeps both.

        Ctrl-C meanwhile leaves at once.
        """
        status = ExperimentRunStatus.CANCELLED.value
        self._end(status, list(outcomes), timeout_seconds, retries=START, is_hurried=True)

    def _end(
        self,
        status: str,
        done: list[DatapointOutcome],
        timeout_seconds: float | None,
        *,
        retries: RetryPolicy | None,
        is_hurried: bool,
    ) -> ExperimentResultSummary:
        body = {
            "status": status,
            "name": self.name,
            "event_ids": [*self.known_sessions, *(outcome.session_id for outcome in done if not outcome.is_resumed)],
        }
        patience = CLOSE_SECONDS if timeout_seconds is None else timeout_seconds
        try:
            if self._delivery.is_offline:
                self._tell(f"Waiting up to {patience:g} s for {self.server_url} to answer again; Ctrl-C does not wait.")
            report = self._delivery.close(patience)
            for outcome in done:
                if outcome.delivered is None:
                    outcome.delivered = outcome.session_id in report.delivered
            for session_id, reason in list(report.refused.items())[:3]:
                self.notice(f"The server refused session {session_id}: {reason}")
            summary = self._ended(body, report, done, retries)
        except KeyboardInterrupt:
            if is_hurried or self._has_ended:
                self._leave(body)
            else:
                self._end(status, done, HURRIED_SECONDS, retries=ONCE, is_hurried=True)
            raise
        finally:
            self._close_client()
        summary.outcomes = done
        summary.notices = self.notices
        return summary

    def _ended(
        self,
        body: dict[str, Any],
        report: DeliveryReport,
        done: Sequence[DatapointOutcome],
        retries: RetryPolicy | None,
    ) -> ExperimentResultSummary:
        # Written before the end is sent: whoever replays after a crash in between knows that the run had ended.
        self._journal_end(body)
        if report.pending:
            return self._left_waiting(report, done)
        try:
            self._create_now(retries)
            self.client.update_run(self.run_id, body, retries=retries)
        except ServerError as error:
            return self._left_waiting(report, done, error)
        self._has_ended = True
        status = body["status"]
        if status == ExperimentRunStatus.CANCELLED.value:
            summary = ExperimentResultSummary(run_id=self.run_id, name=self.name, status=status)
        else:
            summary = self._result(status)
        if self._spool is not None and not self._spool.close(delete=True):
            summary.spool_path = str(self._spool.path)
        return summary

    def _leave(self, body: dict[str, Any]) -> None:
        """Somebody does not want to wait for the end: keep it in the spool, and the spool for whoever comes next."""
        report = self._delivery.abandon()
        if self._spool is None:
            if report.pending:
                self.notice(f"{len(report.pending)} finished datapoints are stored nowhere, as there is no spool.")
            return
        if self._has_ended and self._spool.close(delete=True):
            return
        self._journal_end(body)
        self._spool.close(delete=False)
        self.notice(
            f"{len(report.pending)} finished datapoints and the end of the run wait in {self._spool.path}; "
            f"deliver them with `hhweb spool replay {self.run_id}`."
        )

    def detach(self, *, timeout_seconds: float | None = None) -> DeliveryReport:
        """Deliver what is left without ending the run: another process does that."""
        report = self._delivery.close(CLOSE_SECONDS if timeout_seconds is None else timeout_seconds)
        if self._spool is not None:
            self._spool.close(delete=not report.pending and not report.refused)
        self._close_client()
        return report

    def _journal_end(self, body: dict[str, Any]) -> None:
        if self._spool is not None:
            try:
                self._spool.finish(body)
            except SpoolError as error:
                self.notice(str(error))

    def _left_waiting(
        self, report: DeliveryReport, done: Sequence[DatapointOutcome], error: ServerError | None = None
    ) -> ExperimentResultSummary:
        reason = error or report.error or "it did not answer in time"
        lost = report.unsaved if self._spool is not None else report.pending
        path = None
        if self._spool is not None:
            self._spool.close(delete=False)
            path = str(self._spool.path)
            count = len(report.pending - lost)
            waiting = f"{count} finished datapoints" if count else "the end of the run"
            self.notice(
                f"{self.server_url} could not take {waiting} ({reason}). It waits in {path}; "
                f"deliver it with `hhweb spool replay {self.run_id}`."
            )
        if lost or path is None:
            names = [outcome.datapoint_id for outcome in done if outcome.session_id in lost]
            named = f": {', '.join(names[:NAMED_LOSSES])}{' …' if len(names) > NAMED_LOSSES else ''}" if names else ""
            self.notice(
                f"{len(lost)} finished datapoints are stored nowhere, neither on {self.server_url} ({reason}) nor on "
                f"disk ({report.spool_error or 'there is no spool'}); they end with this process{named}."
            )
        return ExperimentResultSummary(
            run_id=self.run_id,
            name=self.name,
            status=ExperimentRunStatus.PENDING_UPLOAD.value,
            error=str(reason),
            server_url=self.server_url,
            spool_path=path,
        )

    def _result(self, status: str) -> ExperimentResultSummary:
        from experiments.sdk.results import result_from_wire

        try:
            body = self.client.result(self.run_id, self.aggregate_function)
        except ServerError as error:
            self.notice(f"Everything is stored, but the result could not be read ({error}).")
            body = {"status": status, "error": str(error)}
        summary = result_from_wire(body, run_id=self.run_id, server_url=self.server_url)
        summary.name = self.name
        return summary

    def _close_client(self) -> None:
        if self._sender is not self.client:
            self._sender.close()
        if self._owns_client:
            self.client.close()

    def notice(self, text: str) -> None:
        """Keep a sentence for the summary and say it where the user looks."""
        self.notices.append(text)
        self._tell(text)

    def _tell(self, text: str) -> None:
        if self._say is None:
            log.warning("%s", text)
            return
        with contextlib.suppress(Exception):  # a closed standard error must not end the thread that delivers
            self._say(text)
