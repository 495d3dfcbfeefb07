"""Console pages of experiments; `hhweb.console` wraps each into the admin site."""

from collections.abc import Callable
from typing import Any

from django.urls import register_converter
from django.urls.converters import StringConverter

from experiments.admin import (
    comparison,
    datasets,
    events,
    exports,
    run_metrics,
    run_page,
    runs,
    side_by_side,
    trends,
)
from experiments.admin.execution_urls import PAGES as EXECUTION_PAGES


class AnyText(StringConverter):
    """A run id as events name it: any text, line breaks included."""

    regex = r"[\s\S]+"


register_converter(AnyText, "text")

PAGES: list[tuple[str, Callable[..., Any], str]] = [
    ("runs/", runs.runs_page, "console_runs"),
    ("runs/compare/", comparison.compare_page, "console_compare"),
    ("runs/compare/datapoint/", side_by_side.side_by_side_page, "console_side_by_side"),
    ("runs/trends/", trends.trends_page, "console_trends"),
    *EXECUTION_PAGES,
    ("runs/<text:run_id>/delete/", runs.delete_page, "console_run_delete"),
    ("runs/<text:run_id>/export/", exports.run_download, "console_run_export"),
    ("runs/<text:run_id>/metrics/", run_metrics.metrics_part, "console_run_metrics"),
    ("runs/<text:run_id>/", run_page.run_page, "console_run"),
    ("datasets/", datasets.datasets_page, "console_datasets"),
    ("datasets/<str:dataset_id>/export/", exports.dataset_download, "console_dataset_export"),
    ("datasets/<str:dataset_id>/", datasets.dataset_page, "console_dataset"),
    ("datapoints/<str:datapoint_id>/", datasets.datapoint_page, "console_datapoint"),
    ("events/", events.events_page, "console_events"),
    ("traces/<str:session_id>/", events.trace_page, "console_trace"),
]
