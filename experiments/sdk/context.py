"""ExperimentContext: the ids that one run's tracers share, as the specification names them."""

from typing import TYPE_CHECKING, Any

from experiments.sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from experiments.sdk.models import CreateRunRequest


class ExperimentContext:
    """Ids of one run.

    Takes `(run_id, dataset_id)` as the official client does, and `(run_id, project, dataset_id)` as the specification
    does; each may also be given by name.
    """

    def __init__(
        self,
        run_id: str,
        *ids: str | None,
        project: str | None = None,
        dataset_id: str | None = None,
        run_name: str | None = None,
        source: str = "evaluation",
        metadata: dict[str, Any] | None = None,
        use_honeyhive_dataset: bool = False,
    ) -> None:
        if len(ids) == 1:
            dataset_id = ids[0] if dataset_id is None else dataset_id
            project = ids[0] if dataset_id is not ids[0] else project
        elif len(ids) == 2:
            project, dataset_id = ids
        elif ids:
            raise TypeError("ExperimentContext takes (run_id, dataset_id) or (run_id, project, dataset_id).")
        if not dataset_id:
            raise ConfigurationError("ExperimentContext needs a dataset_id; create_external_dataset() makes one.")
        self.run_id = run_id
        self.project = project
        self.dataset_id = dataset_id
        self.run_name = run_name
        self.source = source
        self.metadata = dict(metadata or {})
        self.use_honeyhive_dataset = use_honeyhive_dataset

    def to_tracer_config(self, datapoint_id: str) -> dict[str, Any]:
        """Keywords of `Tracer(...)` for one datapoint; the key and the address are the caller's to add."""
        config: dict[str, Any] = {
            "project": self.project,
            "source": self.source,
            "is_evaluation": True,
            "run_id": self.run_id,
            "dataset_id": self.dataset_id,
            "datapoint_id": datapoint_id,
        }
        if self.metadata:
            config["metadata"] = dict(self.metadata)
        return config

    def to_run_request(self, name: str, status: str = "running") -> "CreateRunRequest":
        """The request that creates the run; an external dataset id moves to `metadata.offline_dataset_id`."""
        from experiments.sdk.ids import prepare_run_request_data
        from experiments.sdk.models import CreateRunRequest

        body = prepare_run_request_data(
            self.run_id, name, dataset_id=self.dataset_id, metadata=self.metadata, status=status
        )
        return CreateRunRequest(project=self.project, **body)
