"""Rows of what the server executes, for the tables of tests/project/test_persistence.py."""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

from django.db import models

from experiments.models import (
    Configuration,
    ConfigurationVersion,
    DatapointRun,
    DatapointSnapshot,
    DatasetVersion,
    DatasetVersionItem,
    Experiment,
    ExperimentSchedule,
    Lane,
    Run,
)
from governance.models import Project

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
Factory = Callable[..., models.Model]


def _project() -> Project:
    return Project.objects.get_or_create(name="persistence")[0]


def _run() -> Run:
    return Run.objects.get_or_create(project=_project(), run_key="executed")[0]


def _snapshot() -> DatapointSnapshot:
    return DatapointSnapshot.objects.get_or_create(
        project=_project(), content_hash="a" * 64, defaults={"datapoint_key": "d1", "inputs": {"q": [1, None]}}
    )[0]


def _version() -> DatasetVersion:
    return DatasetVersion.objects.get_or_create(
        project=_project(),
        dataset_key="pinned",
        number=1,
        defaults={"dataset_name": "qa", "content_hash": "b" * 64, "datapoint_count": 1},
    )[0]


def _experiment() -> Experiment:
    return Experiment.objects.get_or_create(
        run=_run(),
        defaults={
            "project": _project(),
            "dataset_version": _version(),
            "spec": {"concurrency": 1},
            "seed": 1,
            "datapoint_runs_count": 1,
        },
    )[0]


def _configuration() -> Configuration:
    return Configuration.objects.get_or_create(project=_project(), name="prompt", defaults={"provider": "openai"})[0]


def _maker(model: type[models.Model], given: Callable[[], dict[str, Any]]) -> Factory:
    return lambda **over: model._default_manager.create(**{**given(), **over})


MAKE: dict[type[models.Model], Factory] = {
    Configuration: _maker(Configuration, lambda: {"project": _project(), "name": "p", "provider": "openai"}),
    ConfigurationVersion: _maker(
        ConfigurationVersion,
        lambda: {
            "configuration": _configuration(),
            "number": 2,
            "provider": "x",
            "parameters": {},
            "content_hash": "h",
        },
    ),
    DatapointSnapshot: _maker(
        DatapointSnapshot, lambda: {"project": _project(), "content_hash": "c" * 64, "datapoint_key": "d2"}
    ),
    DatasetVersion: _maker(
        DatasetVersion,
        lambda: {
            "project": _project(),
            "dataset_key": "another",
            "dataset_name": "qa",
            "number": 1,
            "content_hash": "d" * 64,
            "datapoint_count": 0,
        },
    ),
    DatasetVersionItem: _maker(
        DatasetVersionItem, lambda: {"version": _version(), "snapshot": _snapshot(), "position": 0}
    ),
    ExperimentSchedule: _maker(
        ExperimentSchedule,
        lambda: {"project": _project(), "name": "s", "spec": {}, "crontab": "0 3 * * *", "next_due_at": NOW},
    ),
    Experiment: _maker(
        Experiment,
        lambda: {
            "project": _project(),
            "run": Run.objects.get_or_create(project=_project(), run_key="another")[0],
            "dataset_version": _version(),
            "spec": {"concurrency": 1},
            "seed": 1,
            "datapoint_runs_count": 1,
        },
    ),
    Lane: _maker(Lane, lambda: {"experiment": _experiment(), "number": 0}),
    DatapointRun: _maker(
        DatapointRun,
        lambda: {
            "experiment": _experiment(),
            "snapshot": _snapshot(),
            "datapoint_key": "d1",
            "rank": 0,
            "session_key": uuid.UUID(int=5),
        },
    ),
}

CHANGE: dict[type[models.Model], dict[str, Any]] = {
    Configuration: {"parameters": {"model": "m"}},
    ConfigurationVersion: {"created_by": "ada"},
    DatapointSnapshot: {"metadata": {"topic": "é"}},
    DatasetVersion: {"seen_revision": 4},
    DatasetVersionItem: {"position": 3},
    ExperimentSchedule: {"last_error": "no quota"},
    Experiment: {"pinned": {"configuration": {"version": 2}}},
    Lane: {"granted": 3},
    DatapointRun: {"attempt_errors": [{"attempt": 1}]},
}

TWICE: dict[str, tuple[type[models.Model], dict[str, Any]]] = {
    "configuration_name_once_per_project": (Configuration, {}),
    "configuration_version_number_once": (ConfigurationVersion, {}),
    "datapoint_snapshot_once_per_content": (DatapointSnapshot, {}),
    "dataset_version_number_once": (DatasetVersion, {}),
    "experiment_schedule_name_once": (ExperimentSchedule, {}),
    "lane_number_once_per_experiment": (Lane, {}),
}
BROKEN: dict[str, tuple[type[models.Model], dict[str, Any]]] = {
    "configuration_name_is_not_empty": (Configuration, {"name": ""}),
    "experiment_status_is_known": (Experiment, {"status": "lost"}),
    "lane_status_is_known": (Lane, {"status": "lost"}),
    "datapoint_run_status_is_known": (DatapointRun, {"status": "lost"}),
    "experiment_schedule_knows_its_turn": (ExperimentSchedule, {"next_due_at": None}),
}
# Constraints beside another one of the same model: what differs from the row of MAKE, first and second time.
CLASHES: dict[str, tuple[type[models.Model], Callable[[], dict[str, Any]], dict[str, Any]]] = {
    "dataset_version_once_per_content": (DatasetVersion, dict, {"number": 2}),
    "dataset_version_position_once": (DatasetVersionItem, lambda: {"snapshot": MAKE[DatapointSnapshot]()}, {}),
    "dataset_version_holds_snapshot_once": (DatasetVersionItem, dict, {"position": 1}),
    "datapoint_run_rank_once": (DatapointRun, dict, {"repetition": 1}),
    "datapoint_run_once_per_repetition": (DatapointRun, dict, {"rank": 1}),
}
