"""What somebody asks the server to execute: a target over a dataset, judged by evaluators. Plain data, checked here.

`ExperimentSpec.model_validate(...).model_dump(mode="json")` is what an experiment stores: every default written out.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MOST_REPETITIONS = 100
MOST_CONCURRENCY = 64
MOST_ATTEMPTS = 10
MOST_EVALUATORS = 50
LONGEST_DEADLINE_SECONDS = 300.0
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretReference(_Part):
    """The value of a stored secret of the project, with text around it: `{"secret": "openai", "prefix": "Bearer "}`."""

    secret: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    prefix: Annotated[str, StringConstraints(max_length=200)] = ""


class HttpTarget(_Part):
    """An HTTP endpoint. `{{inputs.question}}` in `url` and `body` stands for values of the datapoint.

    A body value that is nothing but one placeholder keeps the type of what it stands for. `response_path` picks the
    output from the JSON answer (`choices.0.text`); empty takes the whole answer.
    """

    kind: Literal["http"] = "http"
    url: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    method: Literal["GET", "POST", "PUT", "PATCH"] = "POST"
    headers: dict[Annotated[str, StringConstraints(min_length=1, max_length=200)], str | SecretReference] = Field(
        default_factory=dict, max_length=50
    )
    body: Any = Field(default_factory=lambda: {"inputs": "{{inputs}}"})
    response_path: Annotated[str, StringConstraints(max_length=500)] = ""


class ChatTarget(_Part):
    """An OpenAI-compatible chat model, prompted by a configuration of the project.

    `configuration` is its id or name; `version` pins one, None means the newest at creation. `base_url` is the API's
    root (`https://api.openai.com/v1`); `secret` names the stored key.
    """

    kind: Literal["chat"] = "chat"
    configuration: Name
    version: Annotated[int, Field(ge=1)] | None = None
    base_url: Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
    secret: Annotated[str, StringConstraints(max_length=64)] = ""


class CallableTarget(_Part):
    """A Python callable that the operator registered under this name."""

    kind: Literal["callable"] = "callable"
    name: Name
    options: dict[str, Any] = Field(default_factory=dict)


Target = Annotated[HttpTarget | ChatTarget | CallableTarget, Field(discriminator="kind")]


class EvaluatorSpec(_Part):
    """One evaluator: `builtin` (experiments/domain/builtin_evaluators), `callable` (registered by the operator), or
    `metric` (a metric of the project: PYTHON with the name of a built-in in its criteria, or LLM).

    Its value is stored as the metric `metric_name`, by default `name`.
    """

    kind: Literal["builtin", "callable", "metric"] = "builtin"
    name: Name
    metric_name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    options: dict[str, Any] = Field(default_factory=dict)
    # Of LLM metrics alone: who judges.
    base_url: Annotated[str, StringConstraints(max_length=2_000)] = ""
    secret: Annotated[str, StringConstraints(max_length=64)] = ""

    @property
    def metric(self) -> str:
        """Under which name its value is stored."""
        return self.metric_name or self.name


class RetryPolicy(_Part):
    """How often a datapoint is tried. Only what can heal is tried again; workers that died do not count."""

    max_attempts: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)] = 3
    first_delay_seconds: Annotated[float, Field(ge=0.0, le=60.0)] = 0.5
    longest_delay_seconds: Annotated[float, Field(ge=0.0, le=600.0)] = 60.0


class ExperimentSpec(_Part):
    """The whole request. `function` names the main event of each session: metrics of two runs pair up by it."""

    name: Name
    description: Annotated[str, StringConstraints(max_length=10_000)] = ""
    dataset_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    dataset_version: Annotated[int, Field(ge=1)] | None = None
    target: Target
    evaluators: list[EvaluatorSpec] = Field(default_factory=list, max_length=MOST_EVALUATORS)
    function: Name = "target"
    repetitions: Annotated[int, Field(ge=1, le=MOST_REPETITIONS)] = 1
    concurrency: Annotated[int, Field(ge=1, le=MOST_CONCURRENCY)] = 8
    retry: RetryPolicy = Field(default_factory=RetryPolicy)
    deadline_seconds: Annotated[float, Field(ge=0.1, le=LONGEST_DEADLINE_SECONDS)] = 60.0
    tags: list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]] = Field(
        default_factory=list, max_length=50
    )
    baseline_run_id: Annotated[str, StringConstraints(max_length=255)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**53)] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    passing_ranges: dict[str, Any] = Field(default_factory=dict)
    # Declared bounds of metrics (name → [low, high]): what always-valid intervals and `missing=worst` stand on.
    bounds: dict[str, tuple[float, float]] = Field(default_factory=dict)
