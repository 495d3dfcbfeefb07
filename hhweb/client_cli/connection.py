"""How client commands reach a server: options that find it, and what its refusals mean on a command line."""

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from experiments.sdk import configuration, errors

if TYPE_CHECKING:
    from experiments.sdk.transport.client import Client

EXIT_DONE, EXIT_NOT_PASSED, EXIT_REFUSED, EXIT_WAITING, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

Command = TypeVar("Command", bound=Callable[..., Any])

# Messages of the SDK speak of its arguments; here these are options.
_OPTIONS = {"api_key=…": "--api-key", "server_url=…": "--url"}


class Refused(click.ClickException):
    """The server or the SDK said no; the message is its sentence. Exit code 2, as for wrong usage."""

    exit_code = EXIT_REFUSED


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Errors of the SDK as one sentence with exit code 2, Ctrl-C as exit code 130."""
    try:
        yield
    except errors.ExperimentError as error:
        raise Refused(in_options(str(error))) from None
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


def in_options(message: str) -> str:
    """A message of the SDK with options in the place of its arguments."""
    for argument, option in _OPTIONS.items():
        message = message.replace(argument, option)
    return message


def find_settings(url: str | None, api_key: str | None, data: Path | None) -> configuration.Settings:
    """Address and key: as said, else of `data` when given, else of environment, `hhweb login` or a data folder."""
    if data is None:
        return configuration.resolve(server_url=url, api_key=api_key)
    found = credentials(data / "credentials.json")
    return configuration.resolve(
        server_url=url or found["url"], api_key=api_key or found["api_key"], project=found.get("project")
    )


def credentials(path: Path) -> dict[str, str]:
    """`url`, `api_key` and, when it is there, `project` of a credentials.json; Refused when it has none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kept = {name: str(found[name]) for name in ("url", "api_key")}
        return kept | ({"project": str(found["project"])} if found.get("project") else {})
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}. Was `hhweb up` started there?") from None
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{path} holds no url and api_key; give --url and --api-key instead.") from None


def server_options(command: Command) -> Command:
    """Give a command the options that find a server: url, api_key, data."""
    for option in (
        click.option(
            "--data",
            type=click.Path(file_okay=False, path_type=Path),
            help="Data folder of a running `hhweb up`, whose credentials.json is used.",
        ),
        click.option("--api-key", help="Project key (or HH_API_KEY)."),
        click.option("--url", help="Address of the server (or HH_API_URL)."),
    ):
        command = option(command)
    return command


def with_settings(command: Command) -> Command:
    """Give a command the options that find the server, and the `Settings` found as its first argument."""

    @server_options
    @functools.wraps(command)
    def wrapped(*arguments: Any, url: str | None, api_key: str | None, data: Path | None, **options: Any) -> Any:
        with translated():
            return command(find_settings(url, api_key, data), *arguments, **options)

    return cast(Command, wrapped)


def with_client(command: Command) -> Command:
    """Give a command the options that find the server, and an open `Client` as its first argument."""

    @functools.wraps(command)
    def wrapped(settings: configuration.Settings, *arguments: Any, **options: Any) -> Any:
        with open_client(settings) as client:
            return command(client, *arguments, **options)

    return cast(Command, with_settings(wrapped))


def open_client(settings: configuration.Settings) -> "Client":
    """A client for these settings; closes itself as a context manager."""
    from experiments.sdk.transport.client import Client, RetryPolicy

    # Somebody waits for the answer: a wrong address is told within two seconds.
    return Client(settings, retries=RetryPolicy(attempts=4))
