"""One batch of finished datapoints to the server, in the server's own dialect."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from experiments.sdk.errors import InvalidRequest, NotFound, Unauthorized
from experiments.sdk.transport import dialects
from experiments.sdk.transport.client import Client
from experiments.sdk.transport.records import FinishedDatapoint
from experiments.sdk.transport.retries import ONCE

# Sessions of a server that takes them one by one are sent side by side: each costs a way there and back.
SIDE_BY_SIDE = 8


def send(client: Client, batch: Sequence[FinishedDatapoint], *, max_bytes: int, timeout_seconds: float) -> None:
    """Store a batch, each request tried once; when this returns the server has all of it.

    To hhweb it is one request and one transaction. Raises InvalidRequest (413) without sending when the batch is
    larger than `max_bytes` and could be divided, and whatever the server says.
    """
    options: dict[str, Any] = {"retries": ONCE, "timeout_seconds": timeout_seconds}
    if client.is_hhweb is None:
        # Nobody has heard of this server yet: any good answer tells what it is, a refusal of hhweb's does, too.
        with contextlib.suppress(Unauthorized, NotFound, InvalidRequest):
            client.request("GET", "/v1/runs", params={"limit": 1}, **options)
    if client.is_hhweb:
        _send_spans(client, dialects.spans_for_hhweb(batch), batch, max_bytes, options)
        return

    # As the official client: the session, its spans, then what the function and the evaluators made of it.
    def start(finished: FinishedDatapoint) -> None:
        client.start_session(dialects.session_start(finished), **options)

    def update(finished: FinishedDatapoint) -> None:
        if body := dialects.session_update(finished):
            client.update_event(finished.session_id, body, **options)

    _each(start, batch)
    if spans := dialects.spans_for_others(batch):
        _send_spans(client, spans, batch, max_bytes, options)
    _each(update, batch)


def _send_spans(
    client: Client,
    spans: Sequence[dict[str, Any]],
    batch: Sequence[FinishedDatapoint],
    max_bytes: int,
    options: dict[str, Any],
) -> None:
    raw = dialects.traces_body(spans)
    if len(raw) > max_bytes and len(batch) > 1:
        raise InvalidRequest(f"{len(raw)} bytes are more than one request is to have.", status=413)
    client.send_traces(raw, source=str(batch[0].session.get("source") or "evaluation"), **options)


def _each(act: Callable[[FinishedDatapoint], None], batch: Sequence[FinishedDatapoint]) -> None:
    if len(batch) == 1:
        act(batch[0])
        return
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    with ThreadPoolExecutor(min(len(batch), SIDE_BY_SIDE), "hhweb-delivery") as pool:
        sent = [pool.submit(act, finished) for finished in batch]
        done, _ = wait(sent, return_when=FIRST_EXCEPTION)
        # After a failure the rest is not worth a try, least of all at a server that hangs.
        pool.shutdown(wait=False, cancel_futures=True)
        for each in done:
            each.result()
