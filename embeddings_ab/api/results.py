"""`/api/v1/ab/tests/{id}/…`: results, one query, movers, aggregates, significance."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from embeddings_ab.api.ab_test_serializers import (
    AggregatesOut,
    ArmOut,
    MoverOut,
    QueryDetailOut,
    ResultPageOut,
    SignificanceOut,
    failure,
)
from embeddings_ab.api.parameters import (
    MoverParametersIn,
    ResultParametersIn,
    SignificanceParametersIn,
    read_parameters,
)
from embeddings_ab.models import AbTest, Judgment, QueryResult
from embeddings_ab.selectors import reports, result_pages
from embeddings_ab.selectors.ab_tests import arms_of, find_test, results
from embeddings_ab.selectors.movers import Mover, movers, queries_of_page
from embeddings_ab.selectors.result_pages import ResultRow, ResultSelection
from governance.api.authentication import caller_of
from governance.api.requests import ProjectView
from governance.domain.actions import Action
from governance.domain.errors import InvalidInput, NotFound


class TestResults(ProjectView):
    """Results of a test, in pages by number or by key-set."""

    actions = {"GET": Action.AB_READ}

    @extend_schema(
        operation_id="list_ab_test_results",
        summary="List what each arm found for each query",
        description="Pages by `page` and `limit`; with `after`, pages of equal speed however many results there are.",
        parameters=[ResultParametersIn],
        responses=ResultPageOut,
    )
    def get(self, request: Request, test_id: str) -> Response:
        given = read_parameters(request, ResultParametersIn)
        test = find_test(caller_of(request), test_id)
        limit, number, after = given["limit"], given.get("page", 1), given.get("after")
        selection = _selection(given, test)
        total = result_pages.total(test, selection)
        # One more than asked for tells whether there is a next page.
        if after is None and total == 0:
            rows = []  # nothing to look for among a million rows
        elif after is None:
            rows = result_pages.numbered_page(test, selection, start=(number - 1) * limit, size=limit + 1)
        elif "page" in given:
            raise InvalidInput("Query parameters 'page' and 'after' are two ways of paging; use one.", field="page")
        else:
            rows = result_pages.page_after(test, selection, after=result_pages.parse_cursor(after), size=limit + 1)
        shown, has_next = rows[:limit], len(rows) > limit
        return Response(
            {
                "results": [_result(row, given["depth"]) for row in shown],
                "pagination": {
                    "page": number if after is None else None,
                    "limit": limit,
                    "total": total,
                    "total_pages": -(-total // limit),
                    "has_next": has_next,
                    "has_prev": number > 1 if after is None else None,
                },
                "next_cursor": result_pages.cursor_after(shown[-1]) if has_next else None,
            }
        )


def _selection(given: dict[str, Any], test: AbTest) -> ResultSelection:
    query_id = given.get("query")
    query = None if query_id is None else result_pages.find_query(test, query_id)
    if query_id is not None and query is None:
        raise InvalidInput(
            f"Query parameter 'query' is {query_id[:80]!r}; query set {test.query_set} has no such query.",
            field="query",
            value=query_id[:200],
        )
    arm = result_pages.find_arm(test, given["arm"]) if "arm" in given else None
    return ResultSelection(arm=arm, query=query, failed=given["failed"])


def _result(row: ResultRow, depth: int) -> dict[str, Any]:
    return {
        "id": row.pk,
        "arm": row.arm,
        "query_id": row.query_id,
        "is_failed": row.is_failed,
        "error": failure(row.error_code, row.error_message),
        "ranked_ids": row.ranked_ids[:depth],
        "scores": row.scores[:depth],
        "metrics": row.metrics,
        "latency": row.latency,
    }


class TestQuery(ProjectView):
    """One query of a test, across its arms."""

    actions = {"GET": Action.AB_READ}

    @extend_schema(
        operation_id="get_ab_test_query",
        summary="Show what every arm found for one query, and where relevant documents were lost",
        responses=QueryDetailOut,
    )
    def get(self, request: Request, test_id: str, query_id: str) -> Response:
        test = find_test(caller_of(request), test_id)
        query = result_pages.find_query(test, query_id)
        if query is None:
            raise NotFound(
                f"Query set {test.query_set} has no query {query_id[:80]!r}.", field="query_id", value=query_id[:200]
            )
        judged = Judgment.objects.filter(query=query).order_by("-grade", "document_id")
        found = results(test).filter(query=query).order_by("arm__position")
        return Response(
            {
                "query_id": query.external_id,
                "text": query.text,
                "metadata": query.metadata,
                "judgments": dict(judged.values_list("document_id", "grade")),
                "arms": [_arm_of_query(result) for result in found],
            }
        )


def _arm_of_query(result: QueryResult) -> dict[str, Any]:
    return {
        "arm": result.arm.name,
        "is_failed": result.is_failed,
        "error": failure(result.error_code, result.error_message),
        "ranked_ids": result.ranked_ids,
        "scores": result.scores,
        "metrics": result.metrics,
        "stages": result.stages,
        "latency": result.latency,
    }


class TestMovers(GenericAPIView[Any], ProjectView):
    """Queries that an arm moved most."""

    actions = {"GET": Action.AB_READ}
    queryset = QueryResult.objects.none()
    serializer_class = MoverOut
    filter_backends = []

    @extend_schema(
        operation_id="list_ab_test_movers",
        summary="List queries by how much an arm moved them, biggest first",
        parameters=[MoverParametersIn],
        responses=MoverOut(many=True),
    )
    def get(self, request: Request, test_id: str) -> Response:
        given = read_parameters(request, MoverParametersIn, also=("page", "limit"))
        test = find_test(caller_of(request), test_id)
        arm = result_pages.find_arm(test, given["arm"])
        against = result_pages.find_arm(test, given.get("against", test.control), field="against")
        if arm.pk == against.pk:
            raise InvalidInput(
                f"Query parameter 'arm' is {arm.name!r}, the very arm it would be compared with; choose two.",
                field="arm",
                value=arm.name,
            )
        metric = reports.metric_of(test, given.get("metric", ""))
        found = movers(test, arm=arm, against=against, metric=metric, only=given.get("only"))
        page: list[Mover] = self.paginate_queryset(found) or []
        queries = queries_of_page(page)
        return self.get_paginated_response(
            [
                {
                    "query_id": queries[mover.query_pk].external_id,
                    "text": queries[mover.query_pk].text,
                    "kind": mover.kind,
                    "value": mover.value,
                    "against": mover.against,
                    "difference": mover.difference,
                }
                for mover in page
            ]
        )


class TestAggregates(ProjectView):
    """What every arm reached."""

    actions = {"GET": Action.AB_READ}

    @extend_schema(
        operation_id="get_ab_test_aggregates",
        summary="Show means with intervals and bounds, latency and cost of every arm",
        responses=AggregatesOut,
    )
    def get(self, request: Request, test_id: str) -> Response:
        test = find_test(caller_of(request), test_id)
        arms = [{name: value for name, value in ArmOut(arm).data.items() if name != "spec"} for arm in arms_of(test)]
        return Response(reports.aggregates(test, arms))


class TestSignificance(ProjectView):
    """Comparisons with verdicts."""

    actions = {"GET": Action.AB_READ}

    @extend_schema(
        operation_id="get_ab_test_significance",
        summary="Show the comparisons of one measure against the control",
        parameters=[SignificanceParametersIn],
        responses=SignificanceOut,
    )
    def get(self, request: Request, test_id: str) -> Response:
        given = read_parameters(request, SignificanceParametersIn)
        test = find_test(caller_of(request), test_id)
        metric = reports.metric_of(test, given.get("metric", ""))
        arm = result_pages.find_arm(test, given["arm"]).name if "arm" in given else None
        return Response(reports.significance(test, metric=metric, arm=arm))
