"""Entry of worker and beat: `celery -A hhweb.jobs worker` and `celery -A hhweb.jobs beat`.

Says what the process is before settings are read, so that neither console nor APIs are loaded, and skips
Django's system checks, which would import both through the URLs.
"""

import gc
import os
from typing import Any

os.environ["HHWEB_PROCESS"] = "jobs"
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

from celery import signals

from hhweb.celery import app

__all__ = ["app"]


@signals.worker_before_create_process.connect
def share_memory(**_: Any) -> None:
    """Move everything imported so far out of the collector's sight, so that forks keep sharing its pages."""
    gc.collect()
    gc.freeze()


@signals.worker_process_init.connect
def forget_connections(**_: Any) -> None:
    """A forked child must not use its parent's database connections."""
    from hhweb.web_server import forget_database_connections

    forget_database_connections()
