"""Entry of the process of `hhweb up` that looks after the others: beat, and the worker of short periodic tasks, in one.

`celery -A hhweb.sweeper worker --queues sweeps --pool solo`. Sweeps find what died with a worker, so they must not
stand behind its jobs; a process for each of the two would cost the memory of an interpreter more. In production they
are two, started as `hhweb.jobs`.
"""

import os
import signal
import threading
from typing import Any

import structlog
from celery import beat, signals

from hhweb.jobs import app

__all__ = ["app"]
log = structlog.get_logger(__name__)


class BeatThread(threading.Thread):
    """Beat beside the worker. Should it ever end by itself, the process ends with it and is started again."""

    def __init__(self) -> None:
        super().__init__(name="beat", daemon=True)
        self.service = beat.Service(app, scheduler_cls=app.conf.beat_scheduler)
        self._is_wanted = True

    def run(self) -> None:
        """Send what is due until `stop`."""
        try:
            self.service.start()
        except Exception:
            log.exception("beat_ended")
        if self._is_wanted:
            os.kill(os.getpid(), signal.SIGTERM)  # a warm shutdown of the worker

    def stop(self) -> None:
        """End without waiting: the next look at its event may be seconds away, and it holds nothing."""
        self._is_wanted = False
        self.service.stop(wait=False)


_threads: list[BeatThread] = []


@signals.worker_ready.connect
def start_beat(**_: Any) -> None:
    """Once the worker takes tasks."""
    thread = BeatThread()
    _threads.append(thread)
    thread.start()


@signals.worker_shutting_down.connect
def stop_beat(**_: Any) -> None:
    """With the worker."""
    while _threads:
        _threads.pop().stop()
