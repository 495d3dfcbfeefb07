"""Routes of the native API of experiments, below /api/v1/."""

from django.urls import URLPattern, path

from experiments.api import comparisons, datasets, events, runs

urlpatterns: list[URLPattern] = [
    path("datasets", datasets.DatasetList.as_view()),
    path("datasets/<str:dataset_id>", datasets.DatasetDetail.as_view()),
    path("datasets/<str:dataset_id>/datapoints", datasets.DatasetDatapoints.as_view()),
    path("datasets/<str:dataset_id>/export", datasets.DatasetExport.as_view()),
    path("runs", runs.RunList.as_view()),
    path("runs/<str:run_id>", runs.RunDetail.as_view()),
    path("runs/<str:run_id>/export", runs.RunExport.as_view()),
    path("runs/<str:new>/compare/<str:old>", comparisons.RunComparison.as_view()),
    path("runs/<str:new>/compare/<str:old>/export", runs.ComparisonExport.as_view()),
    path("events", events.EventList.as_view()),
    path("events/export", events.EventExport.as_view()),
]
