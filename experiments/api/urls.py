"""Routes of the native API of experiments, below /api/v1/."""

from django.urls import URLPattern, path

from experiments.api import comparisons, configurations, datasets, events, experiments, runs

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
    path("experiments", experiments.ExperimentList.as_view()),
    path("experiments/<str:run_id>", experiments.ExperimentDetail.as_view()),
    path("experiments/<str:run_id>/progress", experiments.ExperimentProgress.as_view()),
    path("experiments/<str:run_id>/datapoints", experiments.ExperimentDatapoints.as_view()),
    path("experiments/<str:run_id>/export", experiments.ExperimentExport.as_view()),
    path("experiments/<str:run_id>/cancel", experiments.ExperimentCancel.as_view()),
    path("experiments/<str:run_id>/pause", experiments.ExperimentPause.as_view()),
    path("experiments/<str:run_id>/resume", experiments.ExperimentResume.as_view()),
    path("experiments/<str:run_id>/retry-failed", experiments.ExperimentRetry.as_view()),
    path("experiments/<str:run_id>/rerun", experiments.ExperimentRerun.as_view()),
    path("configurations", configurations.ConfigurationList.as_view()),
    path("configurations/<str:configuration_id>", configurations.ConfigurationDetail.as_view()),
    path("configurations/<str:configuration_id>/versions", configurations.ConfigurationVersions.as_view()),
    path("events", events.EventList.as_view()),
    path("events/export", events.EventExport.as_view()),
]
