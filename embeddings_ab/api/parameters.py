"""Query parameters of the reads of a test: read strictly, so that a typing error never answers something else."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from embeddings_ab.domain.export_rows import FORMATS
from embeddings_ab.selectors.movers import KINDS
from governance.domain.errors import InvalidInput

DEFAULT_LIMIT, MAX_LIMIT, MAX_PAGE = 50, 500, 1_000_000
DEFAULT_DEPTH, MAX_DEPTH = 100, 1000
_METRIC_HELP = "A measure of the test, by any of its names; the primary one when left out."


class ResultParametersIn(serializers.Serializer[Any]):
    """Which results, and which page of them."""

    page = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_PAGE, help_text="Page to show, from 1; not together with `after`."
    )
    limit = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT, help_text="Results on a page."
    )
    after = serializers.CharField(required=False, help_text="`next_cursor` of the page before.")
    depth = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_DEPTH,
        default=DEFAULT_DEPTH,
        help_text="Ranked ids and scores shown of each result.",
    )
    arm = serializers.CharField(required=False, help_text="Name of an arm.")
    query = serializers.CharField(required=False, help_text="Id of a query.")
    failed = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Only failed results, or none of them."
    )


class MoverParametersIn(serializers.Serializer[Any]):
    """Which queries, by how an arm moved them."""

    arm = serializers.CharField(help_text="Name of an arm.")
    against = serializers.CharField(required=False, help_text="Arm to compare with; the control when left out.")
    metric = serializers.CharField(required=False, help_text=_METRIC_HELP)
    only = serializers.ChoiceField(required=False, choices=[(kind, kind) for kind in KINDS])


class SignificanceParametersIn(serializers.Serializer[Any]):
    """Which comparisons."""

    metric = serializers.CharField(required=False, help_text=_METRIC_HELP)
    arm = serializers.CharField(required=False, help_text="Name of an arm.")


class ExportParametersIn(serializers.Serializer[Any]):
    """Which file."""

    format = serializers.ChoiceField(
        required=False, choices=[(name, name) for name in FORMATS], default="csv", help_text="Kind of file."
    )
    arm = serializers.CharField(required=False, help_text="Only this arm; a TREC run of several arms needs it.")


def read_parameters(
    request: Request, shape: type[serializers.Serializer[Any]], *, also: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The given parameters and the defaults of the others; empty ones count as left out, unknown ones are refused.

    `also`: names that somebody else reads.
    """
    read = shape(data={name: value for name, value in request.query_params.items() if value != ""})
    known = {*read.fields, *also, "project"}
    for name in request.query_params:
        if name not in known:
            raise InvalidInput(
                f"Query parameter {name[:80]!r} is unknown here; use one of {', '.join(sorted(known))}.",
                field=name[:200],
            )
    read.is_valid(raise_exception=True)
    return dict(read.validated_data)
