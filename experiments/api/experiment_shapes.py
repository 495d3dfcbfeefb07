"""Shapes of requests and answers about runs that the server executes."""

import dataclasses
from typing import Any
from urllib.parse import quote

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema_field
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers

from experiments.domain.experiment_spec import ExperimentSpec
from experiments.domain.experiment_status import DatapointRunStatus, ExperimentStatus
from experiments.models import DatapointRun, Experiment
from experiments.selectors.experiments import Progress
from governance.api.spec_schema import described

_STATUSES = [status.value for status in ExperimentStatus]
_DATAPOINT_STATUSES = [status.value for status in DatapointRunStatus]


class SpecSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """How `ExperimentSpec` is described. Goes before the library's own extension, which speaks OpenAPI 3.1."""

    target_class = ExperimentSpec
    priority = 1

    def get_name(self, auto_schema: AutoSchema, direction: Any) -> str:
        """Name of the component."""
        return "ExperimentSpec"

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        """The component."""
        return described(ExperimentSpec, auto_schema, prefix="ExperimentSpec")


class RerunBody(BaseModel):
    """What a re-run takes; nothing is needed."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=255)


class RerunIn(serializers.Serializer[Any]):
    """What a re-run takes; nothing is needed."""

    name = serializers.CharField(required=False, max_length=255, help_text="of the new run; by default that of the old")


class ExperimentErrorOut(serializers.Serializer[Any]):
    """Why an experiment failed or paused by itself."""

    code = serializers.CharField(help_text="stable, for programs")
    message = serializers.CharField()


class PinnedDatasetOut(serializers.Serializer[Any]):
    """The dataset version that a run is pinned to; it stays when the dataset changes or is deleted."""

    id = serializers.CharField(source="dataset_key")
    name = serializers.CharField(source="dataset_name")
    version = serializers.IntegerField(source="number")
    version_id = serializers.CharField(source="public_id")
    content_hash = serializers.CharField()
    datapoint_count = serializers.IntegerField()


class LinksOut(serializers.Serializer[Any]):
    """Where to go on."""

    experiment = serializers.CharField()
    progress = serializers.CharField()
    datapoints = serializers.CharField()
    run = serializers.CharField()


def address_of(experiment: Experiment) -> str:
    """Path of an experiment in the native API."""
    return f"/api/v1/experiments/{quote(experiment.run.run_key, safe='')}"


def error_of(experiment: Experiment) -> dict[str, str] | None:
    """The shape of `ExperimentErrorOut`; no code, no error."""
    code = experiment.error_code
    return {"code": code, "message": experiment.error_message} if code else None


class ExperimentOut(serializers.Serializer[Any]):
    """A run that the server executes."""

    id = serializers.CharField(source="public_id")
    run_id = serializers.CharField(source="run.run_key", help_text="of the run, as everywhere else")
    name = serializers.CharField(source="run.name")
    status = serializers.ChoiceField(choices=_STATUSES)
    dataset = PinnedDatasetOut(source="dataset_version")
    schedule_id = serializers.CharField(
        source="schedule.public_id", default=None, allow_null=True, help_text="of the schedule that started it"
    )
    baseline_run_id = serializers.SerializerMethodField()
    tags = serializers.ListField(child=serializers.CharField())
    datapoint_runs = serializers.IntegerField(source="datapoint_runs_count", help_text="datapoints times repetitions")
    error = serializers.SerializerMethodField(help_text="why it failed, or paused by itself")
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    links = serializers.SerializerMethodField()

    def get_baseline_run_id(self, experiment: Experiment) -> str | None:
        """The run to compare with."""
        return experiment.baseline_run_key or None

    @extend_schema_field(ExperimentErrorOut(allow_null=True))
    def get_error(self, experiment: Experiment) -> dict[str, str] | None:
        """Code and sentence, or null."""
        return error_of(experiment)

    @extend_schema_field(LinksOut)
    def get_links(self, experiment: Experiment) -> dict[str, str]:
        """Paths below the server's address."""
        own = address_of(experiment)
        run = f"/api/v1/runs/{quote(experiment.run.run_key, safe='')}"
        return {"experiment": own, "progress": f"{own}/progress", "datapoints": f"{own}/datapoints", "run": run}


class CountsOut(serializers.Serializer[Any]):
    """Datapoint runs by status."""

    pending = serializers.IntegerField()
    running = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()


class ExperimentProgressOut(serializers.Serializer[Any]):
    """How far an experiment is. The counts sum up to `total`."""

    run_id = serializers.CharField()
    status = serializers.ChoiceField(choices=_STATUSES)
    counts = CountsOut()
    total = serializers.IntegerField(help_text="datapoints times repetitions")
    finished = serializers.IntegerField(help_text="completed, failed or cancelled")
    fraction = serializers.FloatField(help_text="0 to 1")
    waiting_for_retry = serializers.IntegerField(help_text="pending ones that have failed before")
    rate_per_second = serializers.FloatField(allow_null=True, help_text="ends per second in the last minute")
    eta_seconds = serializers.FloatField(allow_null=True)
    attempts = serializers.IntegerField(help_text="calls begun")
    failures = serializers.IntegerField(help_text="attempts that ended with an error")
    lost_attempts = serializers.IntegerField(help_text="attempts whose worker died")
    prompt_tokens = serializers.IntegerField(allow_null=True)
    completion_tokens = serializers.IntegerField(allow_null=True)
    cost = serializers.DecimalField(
        max_digits=18, decimal_places=9, allow_null=True, help_text="in the currency of the price list; null: no price"
    )
    with_cost = serializers.IntegerField(help_text="datapoint runs that `cost` sums over")
    error = ExperimentErrorOut(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


def progress_json(experiment: Experiment, progress: Progress) -> dict[str, Any]:
    """The shape of `ExperimentProgressOut`."""
    shown = {
        **dataclasses.asdict(progress),
        "finished": progress.finished,
        "fraction": round(progress.fraction, 6),
        "cost": None if progress.cost is None else round(progress.cost, 9),
        "run_id": experiment.run.run_key,
        "status": experiment.status,
        "error": error_of(experiment),
        "started_at": experiment.started_at,
        "finished_at": experiment.finished_at,
    }
    return dict(ExperimentProgressOut(shown).data)


class CauseOut(serializers.Serializer[Any]):
    """What datapoint runs of one error class have in common."""

    error_class = serializers.CharField()
    failed = serializers.IntegerField(help_text="ended with it")
    retrying = serializers.IntegerField(help_text="will be tried again after it")
    example = serializers.CharField(help_text="message of the first in order of execution")
    example_datapoint_id = serializers.CharField()


class ExperimentDetailOut(ExperimentOut):
    """An experiment with all that was asked for, what that was pinned to, how far it is and what went wrong.

    The view gives `context["progress"]` and `context["causes"]`, so that they are read once.
    """

    seed = serializers.IntegerField(help_text="of the random order of datapoints")
    provider = serializers.CharField(help_text="whose limit of calls holds; empty without one")
    spec = serializers.DictField(help_text="every default written out")
    pinned = serializers.DictField(help_text="what the specification referred to when the run was made")
    progress = serializers.SerializerMethodField()
    errors_by_cause = serializers.SerializerMethodField()

    @extend_schema_field(ExperimentProgressOut)
    def get_progress(self, experiment: Experiment) -> dict[str, Any]:
        """How far it is."""
        return progress_json(experiment, self.context["progress"])

    @extend_schema_field(CauseOut(many=True))
    def get_errors_by_cause(self, experiment: Experiment) -> list[dict[str, Any]]:
        """Most frequent first."""
        return [dict(CauseOut(cause).data) for cause in self.context["causes"]]


class RetriedOut(ExperimentDetailOut):
    """An experiment whose failed datapoint runs are tried again."""

    set_back = serializers.SerializerMethodField(help_text="datapoint runs that are tried again")

    def get_set_back(self, experiment: Experiment) -> int:
        """As many as the service says."""
        return int(self.context["set_back"])


class AttemptErrorOut(serializers.Serializer[Any]):
    """A failed attempt."""

    attempt = serializers.IntegerField()
    error_class = serializers.CharField()
    message = serializers.CharField()
    latency_ms = serializers.FloatField(allow_null=True)
    at = serializers.DateTimeField()


class DatapointErrorOut(serializers.Serializer[Any]):
    """Of the last attempt."""

    error_class = serializers.CharField()
    message = serializers.CharField()


class DatapointRunOut(serializers.Serializer[Any]):
    """One execution of the target on one datapoint.

    `attempts` = `failures` + `lost_attempts` + 1 while it runs or when it has completed.
    """

    datapoint_id = serializers.CharField(source="datapoint_key")
    repetition = serializers.IntegerField(help_text="from 0")
    rank = serializers.IntegerField(help_text="place in the random order")
    status = serializers.ChoiceField(choices=_DATAPOINT_STATUSES)
    session_id = serializers.UUIDField(source="session_key", help_text="where inputs, outputs and metrics are stored")
    attempts = serializers.IntegerField(help_text="calls begun")
    failures = serializers.IntegerField(help_text="attempts that ended with an error")
    lost_attempts = serializers.IntegerField(help_text="attempts whose worker died")
    next_attempt_at = serializers.DateTimeField(allow_null=True, help_text="not before")
    leased_until = serializers.DateTimeField(allow_null=True, help_text="taken over by another worker afterwards")
    lease_holder = serializers.CharField(help_text="who executes it; empty when nobody does")
    latency_ms = serializers.FloatField(allow_null=True, help_text="of the last attempt")
    prompt_tokens = serializers.IntegerField(allow_null=True)
    completion_tokens = serializers.IntegerField(allow_null=True)
    cost = serializers.DecimalField(max_digits=18, decimal_places=9, allow_null=True)
    error = serializers.SerializerMethodField()
    attempt_errors = AttemptErrorOut(many=True, help_text="oldest first; the last 20")
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(DatapointErrorOut(allow_null=True))
    def get_error(self, row: DatapointRun) -> dict[str, str] | None:
        """Class and message, or null."""
        return {"error_class": row.error_class, "message": row.error_message} if row.error_class else None
