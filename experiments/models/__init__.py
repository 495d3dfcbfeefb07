"""Storage of experiments: one noun a file, gathered here for Django."""

from experiments.models.configuration import Configuration, ConfigurationVersion
from experiments.models.datapoint import Datapoint, DatasetMembership
from experiments.models.dataset import Dataset
from experiments.models.dataset_version import DatapointSnapshot, DatasetVersion, DatasetVersionItem
from experiments.models.event import EVENT_TYPES, Event, Measurement
from experiments.models.experiment import DatapointRun, Experiment, Lane
from experiments.models.metric import Direction, Metric, MetricType, MetricVersion, ReturnType
from experiments.models.run import Run, RunRevision
from experiments.models.schedule import ExperimentSchedule

__all__ = [
    "EVENT_TYPES",
    "Configuration",
    "ConfigurationVersion",
    "Datapoint",
    "DatapointRun",
    "DatapointSnapshot",
    "Dataset",
    "DatasetMembership",
    "DatasetVersion",
    "DatasetVersionItem",
    "Direction",
    "Event",
    "Experiment",
    "ExperimentSchedule",
    "Lane",
    "Measurement",
    "Metric",
    "MetricType",
    "MetricVersion",
    "ReturnType",
    "Run",
    "RunRevision",
]
