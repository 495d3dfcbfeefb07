"""Console pages of what the server executes: runs, schedules, configurations, versions of datasets."""

from collections.abc import Callable
from typing import Any

from experiments.admin import (
    configurations,
    dataset_versions,
    experiment_actions,
    experiments,
    new_experiment,
    schedules,
)

PAGES: list[tuple[str, Callable[..., Any], str]] = [
    ("runs/new/", new_experiment.new_experiment_page, "console_experiment_new"),
    ("runs/<text:run_id>/live/", experiments.live_part, "console_experiment_live"),
    ("runs/<text:run_id>/executions/", experiments.executions_page, "console_experiment_executions"),
    ("runs/<text:run_id>/cancel/", experiment_actions.cancel_page, "console_experiment_cancel"),
    ("runs/<text:run_id>/pause/", experiment_actions.pause_page, "console_experiment_pause"),
    ("runs/<text:run_id>/resume/", experiment_actions.resume_page, "console_experiment_resume"),
    ("runs/<text:run_id>/retry/", experiment_actions.retry_page, "console_experiment_retry"),
    ("runs/<text:run_id>/rerun/", experiment_actions.rerun_page, "console_experiment_rerun"),
    ("schedules/", schedules.schedules_page, "console_schedules"),
    ("schedules/new/", schedules.new_schedule_page, "console_schedule_new"),
    ("schedules/<str:schedule_id>/", schedules.schedule_page, "console_schedule"),
    ("schedules/<str:schedule_id>/change/", schedules.change_page, "console_schedule_change"),
    ("schedules/<str:schedule_id>/switch/", schedules.switch_page, "console_schedule_switch"),
    ("schedules/<str:schedule_id>/start/", schedules.start_page, "console_schedule_start"),
    ("schedules/<str:schedule_id>/delete/", schedules.delete_page, "console_schedule_delete"),
    ("configurations/", configurations.configurations_page, "console_configurations"),
    ("configurations/new/", configurations.new_configuration_page, "console_configuration_new"),
    ("configurations/<str:configuration_id>/", configurations.configuration_page, "console_configuration"),
    ("configurations/<str:configuration_id>/change/", configurations.change_page, "console_configuration_change"),
    ("configurations/<str:configuration_id>/delete/", configurations.delete_page, "console_configuration_delete"),
    ("datasets/<str:dataset_id>/versions/", dataset_versions.versions_page, "console_dataset_versions"),
    ("datasets/<str:dataset_id>/versions/pin/", dataset_versions.pin_page, "console_dataset_pin"),
    ("datasets/<str:dataset_id>/versions/diff/", dataset_versions.diff_page, "console_dataset_diff"),
    ("datasets/<str:dataset_id>/versions/<int:number>/", dataset_versions.version_page, "console_dataset_version"),
]
