"""`/api/v1/ab/tests/{id}/export` and `/report.html`: what leaves the house as files."""

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request

from embeddings_ab.api.parameters import ExportParametersIn, read_parameters
from embeddings_ab.services import exports
from governance.api.authentication import caller_of
from governance.api.requests import FILE_ANSWERS, FormatIsAParameter, ProjectView
from governance.domain.actions import Action


class TestExport(ProjectView):
    """A test's results as a file."""

    actions = {"GET": Action.EXPORTS_READ}
    content_negotiation_class = FormatIsAParameter

    @extend_schema(
        operation_id="export_ab_test",
        summary="Download an A/B test's results as CSV or JSON, one arm as a TREC run, or the judgments as qrels",
        parameters=[ExportParametersIn],
        responses={
            **FILE_ANSWERS,
            (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, description="TREC run or qrels; docs/exports.md."),
        },
    )
    def get(self, request: Request, test_id: str) -> StreamingHttpResponse:
        given = read_parameters(request, ExportParametersIn)
        made = exports.export_results(
            caller=caller_of(request), test_id=test_id, format=given["format"], arm=given.get("arm", "")
        )
        return StreamingHttpResponse(made.pieces, headers=made.headers)


class TestReport(ProjectView):
    """The report as one self-contained document."""

    actions = {"GET": Action.EXPORTS_READ}
    content_negotiation_class = FormatIsAParameter

    @extend_schema(
        operation_id="get_ab_test_report",
        summary="Download the report of a finished A/B test as one HTML file that needs no network",
        responses={(200, "text/html"): OpenApiResponse(OpenApiTypes.STR, description="The report.")},
    )
    def get(self, request: Request, test_id: str) -> HttpResponse:
        from embeddings_ab.domain.html_report import content_security_policy

        text = exports.export_report(caller=caller_of(request), test_id=test_id)
        return HttpResponse(
            text,
            content_type="text/html; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="hhweb-ab-report-{test_id}.html"',
                "Content-Security-Policy": content_security_policy(),
                "Cache-Control": "no-store",
            },
        )
