"""`hhweb login` and `logout`: address and key of a server, stored for this user."""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from experiments.sdk import configuration
from hhweb.client_cli.connection import Refused, credentials, find_settings, open_client, translated
from hhweb.client_cli.output import JSON, echo_json, note

DEFAULT_URL = "http://127.0.0.1:8000"


@click.command("login")
@click.option("--url", help="Address of the server (or HH_API_URL); asked for on a terminal.")
@click.option("--api-key", help="Project key (or HH_API_KEY); asked for on a terminal, without showing it.")
@click.option("--project", help="Name to show for the key's project; the key decides which it is.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder of `hhweb up`, whose credentials.json is stored.",
)
@click.option("--show", is_flag=True, help="Say which server and key commands would use, and from where.")
@JSON
def login_command(
    url: str | None, api_key: str | None, project: str | None, data: Path | None, show: bool, as_json: bool
) -> None:
    """Store address and key of a server for this user.

    The key is tried first: what is stored works. It lies in credentials.json of ~/.config/hhweb (HHWEB_CONFIG_DIR),
    readable by you alone. HH_API_URL and HH_API_KEY win over what is stored.
    """
    with translated():
        if show:
            _show(find_settings(url, api_key, data), said_url=url, said_key=api_key, data=data, as_json=as_json)
            return
        found = credentials(data / "credentials.json") if data is not None else {}
        settings = configuration.resolve(
            server_url=url or found.get("url") or _environment(configuration.URL_NAMES) or _asked("url"),
            api_key=api_key or found.get("api_key") or _environment(configuration.KEY_NAMES) or _asked("api_key"),
            project=project or found.get("project"),
        )
        with open_client(settings) as client:
            client.list_runs(page=1, limit=1)
            answer = {"server_url": settings.server_url, "project": settings.project, "hhweb": bool(client.is_hhweb)}
            answer["server_version"] = client.server_version
        path = _store(settings)
    if as_json:
        echo_json({**answer, "stored": str(path)})
        return
    kind = f"hhweb {answer['server_version']}" if answer["hhweb"] else "a server of the HoneyHive protocol"
    click.echo(f"The key works at {settings.server_url} ({kind}). Stored in {path}")
    for names, value in ((configuration.URL_NAMES, settings.server_url), (configuration.KEY_NAMES, settings.api_key)):
        name = _name_in_environment(names)
        if name is not None and os.environ[name].strip().rstrip("/") != value:
            note(f"Beware: {name} is set in this environment and wins over what was stored.")


@click.command("logout")
@JSON
def logout_command(as_json: bool) -> None:
    """Forget the stored key."""
    path = _path()
    try:
        path.unlink()
        removed = True
    except FileNotFoundError:
        removed = False
    except OSError as error:
        raise Refused(f"{path} cannot be removed: {error.strerror}.") from None
    if as_json:
        echo_json({"removed": removed, "path": str(path)})
    else:
        click.echo(f"Removed {path}" if removed else "Nothing was stored.")


def masked(key: str) -> str:
    """A key as it may be shown: its kind and its last characters."""
    return f"{key[:3]}…{key[-4:]}" if len(key) >= 16 else "…"


def _show(
    settings: configuration.Settings, *, said_url: str | None, said_key: str | None, data: Path | None, as_json: bool
) -> None:
    file = data / "credentials.json" if data is not None else _file_of(settings.server_url)
    answer: dict[str, Any] = {
        "server_url": settings.server_url,
        "server_url_from": _source(said_url, "--url", data, configuration.URL_NAMES, file),
        "api_key": masked(settings.api_key),
        "api_key_from": _source(said_key, "--api-key", data, configuration.KEY_NAMES, file),
        "project": settings.project,
    }
    if as_json:
        echo_json(answer)
        return
    click.echo(f"server  {answer['server_url']}  from {answer['server_url_from']}")
    click.echo(f"key     {answer['api_key']}  from {answer['api_key_from']}")
    if settings.project:
        click.echo(f"project {settings.project}")


def _source(said: str | None, option: str, data: Path | None, names: tuple[str, ...], file: Path | None) -> str:
    """Where one value came from, in the order in which settings are resolved."""
    if said:
        return option
    return (_name_in_environment(names) if data is None else None) or str(file)


def _file_of(url: str) -> Path | None:
    """The first credentials.json that is for this server."""
    for folder in (configuration.config_folder(), *configuration.DATA_FOLDERS):
        with contextlib.suppress(Refused):
            if credentials(folder / "credentials.json")["url"].rstrip("/") == url:
                return folder / "credentials.json"
    return None


def _name_in_environment(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if os.environ.get(name, "").strip()), None)


def _environment(names: tuple[str, ...]) -> str | None:
    name = _name_in_environment(names)
    return os.environ[name] if name else None


def _asked(what: str) -> str:
    """The value as typed on a terminal; without one there is nobody to ask."""
    option, name = ("--url", "HH_API_URL") if what == "url" else ("--api-key", "HH_API_KEY")
    if not sys.stdin.isatty():
        raise click.UsageError(f"No terminal to ask on: give {option}, set {name}, or point --data at a data folder.")
    answer: str = (
        click.prompt("Address of the server", default=DEFAULT_URL, err=True)
        if what == "url"
        else click.prompt("Project key (not shown)", hide_input=True, err=True)
    )
    return answer


def _path() -> Path:
    return configuration.config_folder() / "credentials.json"


def _store(settings: configuration.Settings) -> Path:
    """Write the file whole or not at all, readable by this user alone from its first byte."""
    path = _path()
    content = {"url": settings.server_url, "api_key": settings.api_key, "project": settings.project or ""}
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
        partial.replace(path)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror}. HHWEB_CONFIG_DIR names another folder.") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return path
