"""Where the server is and who calls: arguments first, then the environment, then what `hhweb login` stored."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from experiments.sdk.errors import ConfigurationError

URL_NAMES = ("HH_API_URL", "HHWEB_URL", "HONEYHIVE_SERVER_URL", "HH_SERVER_URL")
KEY_NAMES = ("HH_API_KEY", "HHWEB_API_KEY", "HONEYHIVE_API_KEY")
INGESTION_KEY_NAMES = ("HH_INGESTION_API_KEY",)
PROJECT_NAMES = ("HH_PROJECT",)
DATA_FOLDERS = (Path("data"), Path("var/hhweb"))


@dataclass(frozen=True, slots=True)
class Settings:
    """One server, one key. The key decides the project; `project` is only shown."""

    server_url: str
    api_key: str = field(repr=False)
    project: str | None = None
    timeout_seconds: float = 30.0
    ingestion_api_key: str | None = field(default=None, repr=False)  # sends sessions and spans where it is given


def resolve(
    *,
    server_url: str | None = None,
    api_key: str | None = None,
    project: str | None = None,
    ingestion_api_key: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from arguments, environment, `hhweb login`, or the data folder of an `hhweb up` beside us.

    Raises ConfigurationError when there is no address or no key, naming the ways to give one. A stored key is used
    for its own server only, and a key that was given never goes to an address that only a folder beside us names.
    """
    env = os.environ if environment is None else environment
    url = server_url or _first(env, URL_NAMES)
    key = api_key or _first(env, KEY_NAMES)
    shown = project or _first(env, PROJECT_NAMES)
    if not (url and key):
        for found in _stored(env):
            if url and url.rstrip("/") != found["url"].rstrip("/"):
                continue
            # A folder that one happens to stand in may be anybody's: it must not say where one's own key goes.
            if key and found["is_folder"] and key.strip() != found["api_key"]:
                continue
            url, key = url or found["url"], key or found["api_key"]
            shown = shown or found["project"] or None
            break
    if not key:
        raise ConfigurationError(
            "No API key: give api_key=…, set HH_API_KEY, or type `hhweb login`. "
            "A server started with `hhweb up` prints its key and keeps it in credentials.json of its data folder."
        )
    if not url:
        raise ConfigurationError(
            "No server address: give server_url=…, set HH_API_URL (like http://127.0.0.1:8000), or type `hhweb login`."
        )
    sender = ingestion_api_key or _first(env, INGESTION_KEY_NAMES)
    return Settings(checked_url(url), key.strip(), shown, ingestion_api_key=sender.strip() if sender else None)


def checked_url(url: str) -> str:
    """The address without a slash at its end; ConfigurationError when it is none."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"The server address {url!r} is none; give one like http://127.0.0.1:8000.")
    return url.strip().rstrip("/")


def config_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where `hhweb login` stores (HHWEB_CONFIG_DIR, else XDG_CONFIG_HOME/hhweb, else ~/.config/hhweb)."""
    env = os.environ if environment is None else environment
    if own := env.get("HHWEB_CONFIG_DIR"):
        return Path(own)
    return Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "hhweb"


def spool_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where undelivered runs wait (HH_SPOOL_DIR, else XDG_STATE_HOME/hhweb/spool, else ~/.local/state/hhweb/spool)."""
    env = os.environ if environment is None else environment
    if own := env.get("HH_SPOOL_DIR"):
        return Path(own)
    return Path(env.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "hhweb" / "spool"


def cache_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where outputs of functions are cached (HH_CACHE_DIR, else XDG_CACHE_HOME/hhweb, else ~/.cache/hhweb)."""
    env = os.environ if environment is None else environment
    if own := env.get("HH_CACHE_DIR"):
        return Path(own)
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hhweb"


def _first(env: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := env.get(name, "").strip())), None)


def _stored(env: Mapping[str, str]) -> list[dict[str, str]]:
    """What `hhweb login` stored, then data folders of `hhweb up` beside us; unreadable ones are passed over.

    `is_folder` is "" for the former.
    """
    files = [(config_folder(env), ""), *((folder, "yes") for folder in DATA_FOLDERS)]
    found = []
    for folder, is_folder in files:
        try:
            content = json.loads((folder / "credentials.json").read_text(encoding="utf-8"))
            credentials = {name: str(content[name]) for name in ("url", "api_key")}
            found.append({**credentials, "project": str(content.get("project") or ""), "is_folder": is_folder})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found
