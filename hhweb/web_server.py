"""Gunicorn's configuration, for `hhweb up` and (through deploy/gunicorn.conf.py) for production.

Threads wait for the database while others compute; more than one process because of the interpreter's lock.
The application is loaded once and forked: the processes share its memory.
"""

import gc
from pathlib import Path
from typing import Any

from gunicorn import glogging

from hhweb import structured_logs
from hhweb.settings.environment import environment

_env = environment()
wsgi_app = "hhweb.wsgi:application"
worker_class = "gthread"
workers = _env.web_processes
threads = _env.web_threads
preload_app = True
bind = "127.0.0.1:8000"
backlog = 1024
keepalive = 75  # seconds; exporters send every few seconds over one connection
timeout = 60  # seconds without a heartbeat of the process; a slow request does not stop the heartbeat
graceful_timeout = 20
limit_request_line = 8190  # bytes; the official client asks for a hundred datapoints by id in one line
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - heartbeat files, never on a disk
control_socket_disable = True
forwarded_allow_ips = "127.0.0.1,::1"
accesslog = None  # our own request log has the request id
logger_class = "hhweb.web_server.Logger"


class Logger(glogging.Logger):  # type: ignore[misc]  # the package has no types
    """Gunicorn's own lines, in the form of all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        structured_logs.configure(structured_logs.settings(form=_env.log_format or "json", level=_env.log_level))
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def forget_database_connections() -> None:
    """After a fork: drop what was inherited without closing it, the parent may still use it."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.connection = None
        type(connection)._connection_pools = {}  # type: ignore[attr-defined]  # PostgreSQL's pools, by alias


def when_ready(server: Any) -> None:
    """Before the first fork: what is loaded by now stays shared, the collector does not touch it."""
    gc.collect()
    gc.freeze()


def post_fork(server: Any, worker: Any) -> None:
    """Each process opens connections of its own."""
    forget_database_connections()
