"""What every view of this dialect shares: authentication, parsing, error shape, exactly 200 on success."""

import ast
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
import structlog
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel

from experiments.domain.event_row import storable
from governance.domain.actions import Action, KeyKind
from governance.domain.caller import Caller
from governance.domain.errors import DomainError, Forbidden, InvalidInput, PayloadTooLarge
from governance.domain.json_bodies import decode_json, parsed
from governance.services import api_keys
from governance.telemetry import count_refusal

log = structlog.get_logger(__name__)
Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request: who calls, and the decoded body."""

    request: HttpRequest
    caller: Caller
    body: Any = field(default=None)

    @property
    def query(self) -> QueryDict:
        return self.request.GET

    def parse(self, shape: type[Shape], value: Any = ...) -> Shape:
        """The body (or `value`) as a pydantic shape; `InvalidInput` names the first wrong field."""
        return parsed(shape, self.body if value is ... else value)

    def texts(self, name: str) -> list[str]:
        """A list parameter: `name[]=a&name[]=b`, `name=a`, or both."""
        return [*self.query.getlist(f"{name}[]"), *self.query.getlist(name)]

    def whole_number(self, name: str, default: int, maximum: int) -> int:
        """A query parameter from 1 to `maximum`, `default` when absent; `InvalidInput` names anything else."""
        text = self.query.get(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 12 and 1 <= int(text) <= maximum):
            raise InvalidInput(
                f"Field {name!r}: {text[:200]!r} is not a whole number from 1 to {maximum}.",
                field=name,
                value=text[:200],
            )
        return int(text)


Handler = Callable[..., Any]


def address_of(request: HttpRequest) -> str:
    """The peer's address, for audit entries."""
    return str(request.META.get("REMOTE_ADDR", ""))


def request_id_of(request: HttpRequest) -> str:
    """The id that stands in every log line of this request."""
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def bearer_token(request: HttpRequest) -> str:
    """The token of `Authorization: Bearer …`, or nothing."""
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def refuse_nul(request: HttpRequest) -> None:
    """No id and no parameter holds U+0000, and PostgreSQL cannot even be asked for one."""
    if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
        raise InvalidInput("The address contains a NUL character (%00); remove it.", field="url")


def read_body(request: HttpRequest) -> bytes:
    """The whole body as sent, or a 4xx error."""
    try:
        return request.body
    except RequestDataTooBig:
        raise PayloadTooLarge("The request body is larger than this server accepts; send smaller batches.") from None
    except UnreadablePostError:
        raise InvalidInput("The request body ended early; send it again.", field="body") from None


def dump(body: Any) -> bytes:
    """JSON of an answer."""
    try:
        return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        # PostgreSQL's jsonb gives 1e22 back as an integer beyond 64 bits, which orjson refuses.
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def reply(body: Any, status: int = 200) -> HttpResponse:
    """A JSON answer."""
    return HttpResponse(dump(body), status=status, content_type="application/json")


def error_reply(error: DomainError) -> HttpResponse:
    """The protocol's error shape, with our details beside it."""
    count_refusal(error.code, error.status)
    body: dict[str, Any] = {"message": error.message, "errorCode": error.code}
    if error.details:
        body["details"] = error.details
    if request_id := structlog.contextvars.get_contextvars().get("request_id"):
        body["requestId"] = request_id
    return reply(body, error.status)


def authenticate(request: HttpRequest, action: Action) -> Caller:
    """The caller of a request, refused when the key's kind or scopes do not fit the action or the path."""
    caller = api_keys.authenticate(
        token=bearer_token(request), request_id=request_id_of(request), address=address_of(request)
    )
    own_paths = f"/v1/projects/{caller.project_public_id}/"
    if caller.key_kind == KeyKind.DATA_PLANE and not request.path.startswith(own_paths):
        raise Forbidden(f"This data plane key is valid on {own_paths}… only.", key_kind=caller.key_kind)
    caller.require(action)
    return caller


def endpoint(action: Action, *, json_body: bool = True) -> Callable[[Handler], Handler]:
    """Make a handler of `call` and path parameters out of a function; it returns JSON or a response."""

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def view(request: HttpRequest, **path: Any) -> HttpResponseBase:
            try:
                refuse_nul(request)
                caller = authenticate(request, action)
                body = decode_json(read_body(request)) if json_body and request.method != "GET" else None
                answer = handler(Call(request=request, caller=caller, body=body), **path)
            except DomainError as error:
                return error_reply(error)
            return answer if isinstance(answer, HttpResponseBase) else reply(answer)

        return view

    return decorate


def resource(**handlers: Handler) -> Callable[..., HttpResponseBase]:
    """One path, one handler per method: `resource(GET=list_runs, POST=create_run)`."""

    @csrf_exempt
    def view(request: HttpRequest, **path: Any) -> HttpResponseBase:
        handler = handlers.get(request.method or "")
        if handler is None:
            allowed = ", ".join(sorted(handlers))
            response = reply(
                {
                    "message": f"{request.method} is not supported here; use {allowed}.",
                    "errorCode": "method_not_allowed",
                },
                405,
            )
            response["Allow"] = allowed
            return response
        answer: HttpResponseBase = handler(request, **path)
        return answer

    return view


def loose_value(text: str) -> Any:
    """A dict-valued query parameter: JSON, else the Python literal that the client's repr makes, else None.

    Both notations can spell U+0000 and lone surrogates, which no database text holds: they are replaced.
    """
    for read in (json.loads, ast.literal_eval):
        try:
            return storable(read(text))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None
