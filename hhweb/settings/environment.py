"""The only reader of `os.environ`: typed, frozen, validated as a whole before Django starts."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from django.core.exceptions import ImproperlyConfigured
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Environment(BaseSettings):
    """Everything an operator can set, as `HHWEB_<NAME>`. Defaults are safe; production checks its own needs."""

    model_config = SettingsConfigDict(env_prefix="HHWEB_", frozen=True, extra="ignore")

    data_dir: Path = Field(default=Path("data"), description="folder of everything the embedded default stores")
    secret_key: SecretStr = Field(default=SecretStr(""), description="signing key; required in production")
    old_secret_keys: SecretStr = Field(
        default=SecretStr(""), description="comma separated earlier signing keys, by which stored secrets still open"
    )
    key_pepper: SecretStr = Field(default=SecretStr(""), description="pepper of API key hashes; required in production")
    database_url: str = Field(default="", description="postgresql://… or sqlite:///…; empty means SQLite in data_dir")
    redis_url: str = Field(default="", description="redis://… or unix://…; the broker, cache and limits")
    allowed_hosts: str = Field(default="", description="comma separated host names; required in production")
    csrf_trusted_origins: str = Field(default="", description="comma separated origins, with scheme")
    behind_tls_proxy: bool = Field(default=False, description="trust X-Forwarded-Proto of one proxy in front")
    web_processes: int = Field(default=2, ge=1, le=64, description="processes of the web server")
    web_threads: int = Field(default=4, ge=1, le=64, description="threads of each web process")
    worker_processes: int = Field(default=1, ge=1, le=64, description="processes of one worker")
    process: Literal["web", "jobs"] = Field(
        default="web", description="what the process is; 'jobs' (set by hhweb.jobs itself) loads no console and no API"
    )
    log_format: Literal["json", "console"] | None = Field(
        default=None, description="json or console; not set means json in production, console otherwise"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="least level logged")
    telemetry_token: SecretStr = Field(
        default=SecretStr(""), description="bearer token of /internal/prometheus; required in production"
    )
    telemetry_dir: Path | None = Field(
        default=None, description="folder in which all processes keep their counters; required in production"
    )
    static_root: Path | None = Field(default=None, description="folder of collected static files")
    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, description="largest request body as sent")
    max_inflated_bytes: int = Field(default=256 * 1024 * 1024, ge=1024, description="largest body after inflation")
    events_per_month: int = Field(default=50_000_000, ge=0, description="default quota of a new project")
    outbound_allowed_hosts: str = Field(
        default="", description="comma separated host or host:port of the own network that providers may be called on"
    )
    parallel_requests: int = Field(default=4, ge=1, le=64, description="calls at once to one provider of one project")
    calls_per_project: int = Field(
        default=64, ge=1, le=10_000, description="calls at once of all experiments of one project"
    )
    callables: str = Field(
        default="",
        description="comma separated Python callables that experiments may run: name=module:attribute, or the name of "
        "an entry point in the group hhweb.callables",
    )
    lease_seconds: int = Field(
        default=60, ge=5, le=3600, description="how long the work of a worker that died stays untouched"
    )
    ingestion_block: int = Field(default=10_000, ge=1, description="events reserved from the quota at once")

    @field_validator("callables")
    @classmethod
    def _readable_callables(cls, text: str) -> str:
        from experiments.domain.callables import registered

        try:
            registered(item.strip() for item in text.split(",") if item.strip())
        except ValueError as error:
            raise ValueError(str(error).removeprefix("HHWEB_CALLABLES: ")) from None
        return text


def variable(field: str) -> str:
    """The environment variable of a field."""
    return f"HHWEB_{field.upper()}"


def readable_faults(error: ValidationError) -> list[str]:
    """One sentence for each value that has the wrong type or range. Values are not shown: some are secrets."""
    return [
        f"{variable(str(fault['loc'][0]))}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
        for fault in error.errors(include_url=False, include_input=False)
    ]


def refusal(faults: Sequence[str]) -> str:
    """The one message that lists all faults."""
    lines = "".join(f"\n  - {fault}" for fault in faults)
    return f"hhweb cannot start, {len(faults)} setting(s) are wrong or missing:{lines}\nSee docs/operations.md."


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The environment of this process, read once."""
    try:
        return Environment()
    except ValidationError as error:
        raise ImproperlyConfigured(refusal(readable_faults(error))) from None
