"""`/api/v1/comparisons`: one baseline against several runs, and all pairs of them."""

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from experiments.api.comparisons import MANY_PARAMETERS
from experiments.api.kept_answers import answered
from experiments.api.many_runs_shapes import RunComparisonsOut
from experiments.domain.comparison_options import (
    MOST_CANDIDATES,
    PARAMETERS,
    is_asked,
    names_from,
    options_from,
    refuse_unknown,
    short_text,
)
from experiments.services.comparison_answers import many_question
from governance.api.authentication import caller_of
from governance.api.requests import ProjectView
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput

_OF_TWO_RUNS = ("aggregate_function", "correction", "slice_by", "slice_metric")
_KNOWN = ("baseline", "run", "all_pairs", *(name for name in PARAMETERS if name not in _OF_TWO_RUNS))


class RunComparisons(ProjectView):
    """Several runs."""

    actions = {"GET": Action.RUNS_READ}

    @extend_schema(
        operation_id="compare_many_runs",
        summary="Compare several runs with one baseline, and with each other",
        parameters=[
            OpenApiParameter("baseline", str, required=True, description="Run id that the others are held against."),
            OpenApiParameter("run", str, many=True, required=True, description=f"Run ids, at most {MOST_CANDIDATES}."),
            OpenApiParameter("all_pairs", OpenApiTypes.BOOL, default=False, description="Every pair of runs as well."),
            *MANY_PARAMETERS,
        ],
        responses=RunComparisonsOut,
    )
    def get(self, request: Request) -> HttpResponse:
        query = request.query_params
        refuse_unknown(list(query), _KNOWN)
        baseline = short_text(query, "baseline")
        if not baseline:
            raise InvalidInput(
                "Query parameter 'baseline' is missing; give the id of the run that the others are held against.",
                field="baseline",
            )
        runs = names_from(query, "run", MOST_CANDIDATES)
        if not runs or baseline in runs:
            raise InvalidInput(
                f"Query parameter 'run' names {'the baseline itself' if runs else 'no run'}; give 1 to "
                f"{MOST_CANDIDATES} other run ids.",
                field="run",
                value=baseline if runs else "",
            )
        question = many_question(
            caller=caller_of(request),
            baseline=baseline,
            runs=runs,
            options=options_from(query),
            all_pairs=is_asked(query, "all_pairs"),
        )
        return answered(request, question)
