"""An HTTP endpoint as a target: a template of URL and body in, JSON out."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from experiments.adapters.outbound_calls import Outlet
from experiments.domain.calls import CallAnswer, CallFailed, Case
from experiments.domain.chat import values_of
from experiments.domain.experiment_spec import HttpTarget
from experiments.domain.http_targets import split_at_path
from experiments.domain.templates import Unfilled, filled, picked, placeholders
from governance.domain.errors import DomainError
from governance.outbound.client import GuardedClient, OutboundAnswer

_IN_PATHS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class HttpEndpoint:
    """`headers` hold the secrets' values. `check_url` refuses addresses that the project's rules forbid.

    It is asked before each call whose path depends on the datapoint.
    """

    event_type = "tool"

    def __init__(
        self, target: HttpTarget, *, headers: Mapping[str, str], outlet: Outlet, check_url: Callable[[str], None]
    ) -> None:
        self._target, self._outlet, self._check_url = target, outlet, check_url
        self._headers = {name.lower(): value for name, value in headers.items()}
        self._base, self._query = split_at_path(target.url)
        self._has_own_path = any(placeholders(self._base))

    def call(self, case: Case, *, deadline_seconds: float) -> CallAnswer:
        """Call once; see `OpenTarget`."""
        target, values = self._target, values_of(case)
        try:
            base = filled(self._base, values, as_text=_in_path)
            url = base + filled(self._query, values, as_text=_in_query)
            body = None if target.method == "GET" else filled(target.body, values)
            if self._has_own_path:
                self._check_url(base)
        except (Unfilled, DomainError) as error:
            what = error.message if isinstance(error, DomainError) else f"Datapoint cannot be sent: {error}."
            kind = "refused" if isinstance(error, DomainError) else "bad_input"
            raise CallFailed(what, error_class=kind, is_transient=False, called=False) from None

        def send(client: GuardedClient, timeout: float) -> OutboundAnswer:
            if target.method == "GET":
                return client.get(url, headers=self._headers, timeout=timeout)
            return client.send_json(target.method, url, body, headers=self._headers, timeout=timeout)

        answer, latency_ms = self._outlet.call(send, deadline_seconds=deadline_seconds)
        return CallAnswer(
            outputs=self._outputs(answer, latency_ms), latency_ms=latency_ms, metadata={"http_status": answer.status}
        )

    def close(self) -> None:
        """End calls under way."""
        self._outlet.close()

    def _outputs(self, answer: OutboundAnswer, latency_ms: float) -> Any:
        try:
            return picked(_decoded(answer, is_json=bool(self._target.response_path)), self._target.response_path)
        except ValueError as error:
            raise _bad(f"The endpoint answered {answer.status} with a body that {error}.", latency_ms) from None
        except KeyError as error:
            raise _bad(
                f"The endpoint's answer has no {error.args[0][:100]!r} of the response path "
                f"{self._target.response_path[:200]!r}.",
                latency_ms,
            ) from None


def _bad(message: str, latency_ms: float) -> CallFailed:
    return CallFailed(message, error_class="bad_answer", is_transient=False, latency_ms=latency_ms)


def _decoded(answer: OutboundAnswer, *, is_json: bool) -> Any:
    """JSON, or the text of anything else unless JSON was asked for or announced. Raises ValueError."""
    announced = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        return json.loads(answer.content, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        if is_json or announced.endswith(("/json", "+json")):
            raise ValueError("is not JSON") from None
    try:
        return answer.content.decode()
    except UnicodeDecodeError:
        raise ValueError("is neither JSON nor UTF-8 text") from None


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _in_query(value: Any) -> str:
    return quote(_plain(value), safe="")


def _in_path(value: Any) -> str:
    """One segment of a path, spelled so that no server reads it as something else."""
    text = _plain(value)
    if not text or set(text) - _IN_PATHS or text in {".", ".."}:
        raise Unfilled(
            "a placeholder in the path of the URL stands for a text with other characters than letters, digits and "
            "'-._~'; put it into the query or the body"
        )
    return text


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, list | Mapping):
        raise Unfilled("a placeholder in the URL stands for something that is neither a text nor a number")
    return str(value)
