"""Storage of experiments: one noun a file, gathered here for Django."""

from experiments.models.datapoint import Datapoint, DatasetMembership
from experiments.models.dataset import Dataset
from experiments.models.event import EVENT_TYPES, Event, Measurement
from experiments.models.metric import Direction, Metric, MetricType, MetricVersion, ReturnType
from experiments.models.run import Run, RunRevision

__all__ = [
    "EVENT_TYPES",
    "Datapoint",
    "Dataset",
    "DatasetMembership",
    "Direction",
    "Event",
    "Measurement",
    "Metric",
    "MetricType",
    "MetricVersion",
    "ReturnType",
    "Run",
    "RunRevision",
]
