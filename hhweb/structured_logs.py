"""Structured logs of every process: JSON in production, readable on a terminal. Imports no Django.

Whoever logs uses `structlog.get_logger(__name__)` and says an event name in the past tense plus fields.
"""

import logging.config
import re
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_KEY = re.compile(r"\bhh_[A-Za-z0-9_-]{24,}")
_QUIET = re.compile(r"^GET /(health|static|internal)/")
_SECRET_FIELDS = frozenset({"authorization", "password", "token", "api_key", "secret", "cookie"})


def hide_secrets(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """No API key reaches a log, wherever it slipped in: fields by name, texts by the shape of our keys."""
    for field, value in event.items():
        if field in _SECRET_FIELDS:
            event[field] = "(hidden)"
        elif isinstance(value, str) and "hh_" in value:
            event[field] = _KEY.sub(lambda found: f"{found[0][:12]}(hidden)", value)
    return event


def drop_noise(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """One line a request is enough, and none for health checks, static files and scrapes that went well."""
    if event.get("event") in {"request_started", "streaming_started"}:
        raise structlog.DropEvent
    if event.get("code") == 200 and _QUIET.match(str(event.get("request", ""))):
        raise structlog.DropEvent
    return event


def _processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.UnicodeDecoder(),
    ]


def _renderer(form: str) -> list[Processor]:
    hide = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form == "json":
        return [
            hide,
            structlog.processors.format_exc_info,
            hide_secrets,
            structlog.processors.JSONRenderer(),
        ]
    # No frames with local variables: they would show payloads.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    return [hide, hide_secrets, plain]


def settings(*, form: str, level: str) -> dict[str, Any]:
    """The dictionary for `configure`: one handler to standard error, one formatter for our lines and others'."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": _renderer(form),
                "foreign_pre_chain": _processors(),
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Our own request log says it, with the request id.
            "django.request": {"level": "CRITICAL"},
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "django.server": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "celery.app.trace": {"level": "ERROR"},
            "celery.worker.strategy": {"level": "WARNING"},
            "gunicorn.access": {"level": "WARNING"},
        },
    }


def configure(config: dict[str, Any]) -> None:
    """Set up logging of this process; Django calls it with `LOGGING`, the worker and the web server call it too."""
    logging.config.dictConfig(config)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            drop_noise,
            *_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
