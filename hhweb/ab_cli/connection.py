"""How the commands reach a server: where it is, who calls, and what its refusals mean. The only user of httpx here."""

import contextlib
import functools
import gzip
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import click
import httpx

DATA_FOLDERS = (Path("data"), Path("var/hhweb"))
GZIP_FROM_BYTES = 256 * 1024
TIMEOUT_SECONDS = 120.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")

Command = TypeVar("Command", bound=Callable[..., Any])


class Refused(click.ClickException):
    """The server said no; the message is its sentence."""

    exit_code = 2

    def __init__(self, message: str, *, status: int, code: str = "", field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


class Unreachable(click.ClickException):
    """No answer: wrong address, server down, connection lost. Worth another try while watching."""

    exit_code = 2


class Api:
    """The native API below one address, with one key."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.UsageError(f"The server's address is {url!r}; give one like http://127.0.0.1:8000.")
        self._client = httpx.Client(
            base_url=f"{self.url}/api/v1/ab",
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=10.0),
            # Reading all certificates of the system takes a noticeable time; plain HTTP needs none.
            verify=parts.scheme == "https",
            # A proxy of the environment cannot reach this machine's own loopback.
            trust_env=parts.hostname not in LOOPBACK,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, **parameters: Any) -> Any:
        """The decoded answer of a GET; parameters that are None are left out."""
        return self._decoded(self._send("GET", path, params=_given(parameters)))

    def post(self, path: str, body: Any = None, *, once: bool = False) -> Any:
        """The decoded answer of a POST. `once`: a repeat after a lost connection creates nothing twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if once else {}
        if body is None:
            return self._decoded(self._send("POST", path, headers=headers))
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        headers["Content-Type"] = "application/json"
        if len(raw) >= GZIP_FROM_BYTES:
            packed = {**headers, "Content-Encoding": "gzip"}
            try:
                return self._decoded(self._send("POST", path, content=gzip.compress(raw, 6, mtime=0), headers=packed))
            except Refused as error:
                if error.status != 415 and error.field != "Content-Encoding":  # a proxy that takes no packed bodies
                    raise
        return self._decoded(self._send("POST", path, content=raw, headers=headers))

    def delete(self, path: str) -> None:
        """Delete what is at the path."""
        self._send("DELETE", path)

    @contextlib.contextmanager
    def download(self, path: str, **parameters: Any) -> Iterator[Iterator[bytes]]:
        """The bytes of a file, piece by piece; a connection that ends early raises Unreachable."""
        with (
            self._translated(),
            self._client.stream("GET", path, params=_given(parameters), headers={"Accept": "*/*"}) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise refusal(answer)
            yield answer.iter_bytes()

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._translated():
            answer = self._client.request(method, path, **options)
        if answer.is_success:
            return answer
        raise refusal(answer)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Unreachable(f"No answer from {self.url}: {reason}. Does the server run there?") from None

    def _decoded(self, answer: httpx.Response) -> Any:
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise Unreachable(f"{self.url} answered, but not with JSON: is it hhweb?") from None


def refusal(answer: httpx.Response) -> Refused:
    """An error answer as one sentence, with the field it speaks of and, for faults of the server, the request id."""
    error: Any = None
    with contextlib.suppress(ValueError):
        error = answer.json().get("error") if isinstance(answer.json(), dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return Refused(f"The server answered {answer.status_code} without a reason.", status=answer.status_code)
    details: dict[str, Any] = error["details"] if isinstance(error.get("details"), dict) else {}
    message = error["message"]
    for name in ("field", "remedy"):
        told = details.get(name)
        if isinstance(told, str) and told and told not in message:
            message += f" ({name}: {told})"
    if answer.status_code >= 500 and details.get("request_id"):
        message += f" (request {details['request_id']})"
    field = details.get("field")
    return Refused(message, status=answer.status_code, code=str(error.get("code", "")), field=str(field or ""))


def segment(name: str) -> str:
    """An id as part of a path."""
    return quote(name, safe="")


def find_server(url: str | None, api_key: str | None, data: Path | None) -> tuple[str, str]:
    """Address and key: of `data` when given, else as said, else of the first data folder that is there."""
    if data is not None:
        found = _credentials(data / "credentials.json")
        return url or found["url"], api_key or found["api_key"]
    if not (url and api_key):
        for folder in DATA_FOLDERS:
            if (folder / "credentials.json").is_file():
                found = _credentials(folder / "credentials.json")
                # A key of this folder is good for its own server only, and one of elsewhere is none of its business.
                is_its_own = api_key is None or api_key == found["api_key"]
                if is_its_own and (not url or url.rstrip("/") == found["url"].rstrip("/")):
                    return url or found["url"], api_key or found["api_key"]
    if not url:
        raise click.UsageError("Which server? Give --url, set HH_API_URL, or point --data at a folder of `hhweb up`.")
    if not api_key:
        raise click.UsageError("Which key? Give --api-key, set HH_API_KEY, or point --data at a folder of `hhweb up`.")
    return url, api_key


def _credentials(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"url": str(found["url"]), "api_key": str(found["api_key"])}
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}. Was `hhweb up` started there?") from None
    except (ValueError, KeyError, TypeError):
        raise click.UsageError(f"{path} holds no url and api_key; give --url and --api-key instead.") from None


def with_api(command: Command) -> Command:
    """Give a command the options that find the server, and an open `Api` as its first argument."""

    @click.option("--url", envvar=["HHWEB_URL", "HH_API_URL"], help="Address of the server (or HH_API_URL).")
    @click.option("--api-key", envvar=["HHWEB_API_KEY", "HH_API_KEY"], help="Project key (or HH_API_KEY).")
    @click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data folder of a running `hhweb up`, whose credentials.json is used.",
    )
    @functools.wraps(command)
    def wrapped(url: str | None, api_key: str | None, data: Path | None, **options: Any) -> Any:
        if data is not None:
            # Said on the line, so it wins over what an environment happens to hold.
            context = click.get_current_context()
            said = click.core.ParameterSource.COMMANDLINE
            url = url if context.get_parameter_source("url") is said else None
            api_key = api_key if context.get_parameter_source("api_key") is said else None
        api = Api(*find_server(url, api_key, data))
        try:
            return command(api, **options)
        finally:
            api.close()

    return wrapped  # type: ignore[return-value]


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}
