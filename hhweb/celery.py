"""The Celery application: what web processes send tasks with. Worker and beat start it as `hhweb.jobs`.

Tasks are found in each app's `tasks` package.
"""

import os
import time
from typing import Any

from celery import Celery, Task, signals
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hhweb.settings.production")
app = Celery("hhweb")
app.set_default()  # the current app is kept by thread; web threads fall back on the default
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(DjangoStructLogInitStep)  # binds task and request ids to the lines of a task
_began: dict[str, float] = {}


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Celery's lines go through the same formatter as ours."""
    from django.conf import settings

    from hhweb import structured_logs

    structured_logs.configure(settings.LOGGING)


@signals.task_prerun.connect
def note_start(task_id: str, **_: Any) -> None:
    """Remember when the task began."""
    _began[task_id] = time.monotonic()


@signals.task_postrun.connect
def count_task(task_id: str, task: Task[Any, Any], state: str | None = None, **_: Any) -> None:
    """Count the task by its outcome and keep how long it ran."""
    from governance.telemetry import FINISHED_TASKS, TASK_SECONDS

    FINISHED_TASKS.labels(task.name, (state or "unknown").lower()).inc()
    began = _began.pop(task_id, None)
    if began is not None:
        TASK_SECONDS.labels(task.name).observe(time.monotonic() - began)


@signals.beat_init.connect
def write_schedules(**_: Any) -> None:
    """Bring the table of schedules up to the code before beat reads it."""
    from hhweb import schedules

    schedules.write()
