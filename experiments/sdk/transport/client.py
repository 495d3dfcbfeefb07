"""The SDK's view of a server: one method per thing that can be asked of it, on one pool of connections."""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from experiments.sdk.configuration import Settings, resolve
from experiments.sdk.errors import Conflict, InvalidRequest, ServerError
from experiments.sdk.transport import answers, dialects, json_text
from experiments.sdk.transport.answers import ExperimentVersionWarning as ExperimentVersionWarning
from experiments.sdk.transport.connection import Connection, decoded
from experiments.sdk.transport.retries import RetryPolicy as RetryPolicy

if TYPE_CHECKING:
    from experiments.sdk.models import CreateRunResponse, ExperimentRun

Json = dict[str, Any]
GZIP_FROM_BYTES = 256 * 1024
EVENTS_PER_PAGE = 1000
IDS_PER_REQUEST = 50  # an address of 100 ids is longer than some servers and proxies take


class Client:
    """One server, one key, one pool of connections; thread-safe. Close it, or use it as a context manager.

    Every method raises a `ServerError` of experiments.sdk.errors when the server refuses or does not answer.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        server_url: str | None = None,
        api_key: str | None = None,
        project: str | None = None,
        retries: RetryPolicy | None = None,
        timeout_seconds: float | None = None,
    ) -> None:
        if settings is None:
            settings = resolve(server_url=server_url, api_key=api_key, project=project)
        self.settings = settings
        self.retries = RetryPolicy() if retries is None else retries
        self.timeout_seconds = settings.timeout_seconds if timeout_seconds is None else timeout_seconds
        self._lock = threading.Lock()
        self._open: Connection | None = None
        self._takes_gzip = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; waiting retries end. The client cannot be used afterwards."""
        with self._lock:
            if self._open is not None:
                self._open.close()

    def interrupt(self) -> None:
        """Cut all connections: requests that other threads wait for fail at once, as if the server had."""
        if self._open is not None:
            self._open.interrupt()

    @property
    def server_version(self) -> str | None:
        """The version of the hhweb that answered last; None before, and for other servers."""
        return self._open.server_version if self._open is not None else None

    @property
    def is_hhweb(self) -> bool | None:
        """Whether the server is hhweb; None before the first answer."""
        return self._open.is_hhweb if self._open is not None else None

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        retries: RetryPolicy | None = None,
        idempotent: bool = True,
        timeout_seconds: float | None = None,
        earlier: list[ServerError] | None = None,
    ) -> Any:
        """The decoded answer (None for an empty one); repeated while the server is away, as the policy says.

        `idempotent=False`: repeated only when the server surely did nothing. `earlier` collects overcome failures.
        """
        if json is not None:
            content = json_text.dumps(json)
        raw = self._connection.send(
            method,
            path,
            params=params,
            content=content,
            headers=headers,
            retries=retries,
            is_idempotent=idempotent,
            timeout_seconds=timeout_seconds,
            earlier=earlier,
        )
        return decoded(raw, self.settings.server_url)

    @contextlib.contextmanager
    def download(self, path: str, **params: Any) -> Iterator[Iterator[bytes]]:
        """The bytes of a GET, piece by piece; Unavailable when they end early."""
        with self._connection.stream(path, params) as pieces:
            yield pieces

    # --- runs

    def create_run(self, body: Mapping[str, Any], *, retries: RetryPolicy | None = None) -> "CreateRunResponse":
        """Create a run. When an answer was lost and the run is there, it is the one we made, and is returned."""
        from experiments.sdk.models import CreateRunResponse

        earlier: list[ServerError] = []
        # With an id of ours a second creation is a conflict, never a second run.
        is_safe = bool(body.get("run_id"))
        try:
            answer = self.request("POST", "/v1/runs", json=body, retries=retries, idempotent=is_safe, earlier=earlier)
        except Conflict:
            if not earlier:
                raise
            run = self.get_run(str(body["run_id"]))
            if run.name != (body.get("name") or run.name):
                raise
            return CreateRunResponse(run_id=run.run_id, evaluation=run)
        return self._shaped(CreateRunResponse, answer)

    def update_run(
        self, run_id: str, body: Mapping[str, Any], *, retries: RetryPolicy | None = None
    ) -> "ExperimentRun":
        """Merge `body` into a run; the run after it."""
        return self._run(self._object("PUT", f"/v1/runs/{segment(run_id)}", json=body, retries=retries))

    def get_run(self, run_id: str) -> "ExperimentRun":
        """One run; NotFound when the key's project has none of that id."""
        return self._run(self._object("GET", f"/v1/runs/{segment(run_id)}"))

    def delete_run(self, run_id: str) -> Any:
        """Delete a run; its events stay."""
        return self.request("DELETE", f"/v1/runs/{segment(run_id)}")

    def list_runs(self, *, page: int = 1, limit: int = 100, **filters: Any) -> "tuple[list[ExperimentRun], Json]":
        """One page of runs (newest first) and the pagination object.

        Filters: name (part of it), status, dataset_id, run_ids (list), sort_by, sort_order, dateRange (dict).
        """
        from experiments.sdk.models import ExperimentRun

        params: Json = {"page": page, "limit": limit}
        for name, value in filters.items():
            if isinstance(value, list | tuple):
                params[f"{name}[]"] = list(value)
            else:
                params[name] = json_text.dumps(value).decode() if isinstance(value, dict) else value
        answer = self._object("GET", "/v1/runs", params=params)
        runs = [self._shaped(ExperimentRun, run) for run in self._objects(answer, "evaluations")]
        return runs, answer.get("pagination") or {}

    def result(self, run_id: str, aggregate_function: str = "average") -> Json:
        """The result of a run as the server computes it."""
        return self._object(
            "GET", f"/v1/runs/{segment(run_id)}/result", params={"aggregate_function": aggregate_function}
        )

    def metrics(self, run_id: str) -> Json:
        """Raw metrics of a run, event by event."""
        return self._object("GET", f"/v1/runs/{segment(run_id)}/metrics")

    def compare(self, new: str, old: str, aggregate_function: str = "average") -> Json:
        """The comparison of two runs as the server computes it."""
        path = f"/v1/runs/{segment(new)}/compare-with/{segment(old)}"
        return self._object("GET", path, params={"aggregate_function": aggregate_function})

    # --- sessions, events, spans

    def start_session(self, session: Mapping[str, Any], **options: Any) -> Json:
        """Create the session, or add to the one of that id. `options` as of `request`."""
        return self._object("POST", "/session/start", json={"session": session}, **options)

    def update_event(self, event_id: str, body: Mapping[str, Any], **options: Any) -> Any:
        """Merge `body` into an event or session. `options` as of `request`."""
        return self.request("PUT", "/events", json={"event_id": event_id, **body}, **options)

    def send_spans(self, spans: Sequence[Json], *, source: str = "evaluation", **options: Any) -> None:
        """Store OTLP JSON spans; a key `scope` of a span names its instrumentation scope. `options` as of `request`.

        Raises InvalidRequest also when the server stored some of them only.
        """
        self.send_traces(dialects.traces_body(spans), source=source, **options)

    def send_traces(self, raw: bytes, *, source: str = "evaluation", **options: Any) -> None:
        """Store an encoded ExportTraceServiceRequest, packed when that pays; else as `send_spans`."""
        headers = {"X-Source": source}
        is_far = not self._connection.is_loopback
        if is_far and self.is_hhweb and self._takes_gzip and len(raw) >= GZIP_FROM_BYTES:
            import gzip

            packed = {**headers, "Content-Encoding": "gzip"}
            try:
                content = gzip.compress(raw, 1, mtime=0)
                answer = self.request("POST", dialects.TRACES_PATH, content=content, headers=packed, **options)
                return dialects.require_all_stored(answer)
            except InvalidRequest as error:
                if error.status != 415:  # a proxy that takes no packed bodies
                    raise
                self._takes_gzip = False
        answer = self.request("POST", dialects.TRACES_PATH, content=raw, headers=headers, **options)
        return dialects.require_all_stored(answer)

    def events(self, filters: Iterable[Json], *, projections: Sequence[str] | None = None) -> Iterator[Json]:
        """All events that match every filter ({field, operator, value, type}), page by page."""
        body: Json = {"filters": list(filters), "limit": EVENTS_PER_PAGE}
        if projections:
            body["projections"] = list(projections)
        seen = 0
        for page in range(1, 1_000_000):
            answer = self._object("POST", "/v1/events/export", json={**body, "page": page})
            found = self._objects(answer, "events")
            yield from found
            seen += len(found)
            if not found or seen >= (answer.get("totalEvents") or answer.get("count") or 0):
                return

    # --- datasets

    def datasets(self, *, dataset_id: str | None = None, name: str | None = None) -> list[Json]:
        """Datasets of the project, or those of one id or exact name; an unknown one gives an empty list."""
        answer = self._object("GET", "/v1/datasets", params={"dataset_id": dataset_id, "name": name})
        return self._objects(answer, "datasets")

    def create_dataset(self, body: Mapping[str, Any]) -> str:
        """Create a dataset from name, description, datapoints; its id."""
        answer = self._object("POST", "/v1/datasets", json=body, idempotent=False)
        try:
            return str(answer["result"]["insertedId"])
        except (KeyError, TypeError):
            raise answers.stranger(self.settings.server_url) from None

    def add_datapoints(self, dataset_id: str, rows: Sequence[Json], mapping: Mapping[str, Sequence[str]]) -> list[str]:
        """Append rows; `mapping` says which keys are inputs, history, ground_truth. Their ids, in the order given."""
        body = {"data": list(rows), "mapping": {name: list(keys) for name, keys in mapping.items()}}
        answer = self._object("POST", f"/v1/datasets/{segment(dataset_id)}/datapoints", json=body, idempotent=False)
        if not isinstance(answer.get("datapoint_ids"), list):
            raise answers.stranger(self.settings.server_url)
        return list(answer["datapoint_ids"])

    def datapoints(self, *, dataset_name: str | None = None, ids: Sequence[str] | None = None) -> list[Json]:
        """Datapoints of a dataset, or those of the ids (in their order; unknown ones are missing)."""
        if ids is None:
            answer = self._object("GET", "/v1/datapoints", params={"dataset_name": dataset_name})
            return self._objects(answer, "datapoints")
        found: dict[str, Json] = {}
        for start in range(0, len(ids), IDS_PER_REQUEST):
            params = {"datapoint_ids[]": list(ids[start : start + IDS_PER_REQUEST]), "dataset_name": dataset_name}
            for each in self._objects(self._object("GET", "/v1/datapoints", params=params), "datapoints"):
                found[str(each.get("id"))] = each
        return [found[each] for each in ids if each in found]

    def delete_dataset(self, dataset_id: str) -> Any:
        """Delete a dataset."""
        return self.request("DELETE", "/v1/datasets", params={"dataset_id": dataset_id})

    # --- inner

    @property
    def _connection(self) -> Connection:
        """The pool, made at the first use: httpx takes a noticeable time to load."""
        with self._lock:
            if self._open is None:
                self._open = Connection(self.settings, retries=self.retries, timeout_seconds=self.timeout_seconds)
            return self._open

    def _object(self, method: str, path: str, **options: Any) -> Json:
        answer = self.request(method, path, **options)
        if not isinstance(answer, dict):
            raise answers.stranger(self.settings.server_url)
        return answer

    def _objects(self, answer: Json, name: str) -> list[Json]:
        return answers.objects(answer, name, self.settings.server_url)

    def _shaped(self, shape: type[answers.Shape], value: Any) -> answers.Shape:
        return answers.shaped(shape, value, self.settings.server_url)

    def _run(self, answer: Json) -> "ExperimentRun":
        from experiments.sdk.models import ExperimentRun

        return self._shaped(ExperimentRun, answer.get("evaluation"))


def segment(name: str) -> str:
    """An id as part of a path."""
    return quote(name, safe="")
