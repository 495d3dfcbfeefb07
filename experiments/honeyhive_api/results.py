"""Results of runs in the HoneyHive protocol: result, raw metrics, comparison.

A result is kept as a file under the hash of what it was computed from, and that hash is its strong ETag.
"""

from collections.abc import Iterable

from django.http import HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.http import parse_etags

from experiments.adapters import result_cache
from experiments.domain.aggregation import aggregate_name
from experiments.domain.comparison_options import one_of, options_from
from experiments.domain.filters import Condition, parse_filters, parse_time_range
from experiments.honeyhive_api.door import Call, endpoint, loose_value, resource
from experiments.selectors import run_metrics
from experiments.selectors.results import Computation, result_identity
from experiments.selectors.runs import get_run
from experiments.services import comparison_answers
from experiments.telemetry import RESULT_READS
from governance.domain.actions import Action

_JSON = "application/json"


def _conditions(call: Call) -> tuple[Condition, ...]:
    """`filters` of the query string: a JSON list, or reprs of single filters; what is neither is ignored."""
    raw = [loose_value(text) for text in call.texts("filters")]
    found = [item for item in raw if isinstance(item, dict | list) and item]
    return tuple(condition for item in found for condition in parse_filters(item))


def _streamed(pieces: Iterable[bytes]) -> StreamingHttpResponse:
    return StreamingHttpResponse(pieces, content_type=_JSON)


@endpoint(Action.RUNS_READ)
def result(call: Call, run_id: str) -> HttpResponseBase:
    function = aggregate_name(call.query.get("aggregate_function"))
    conditions = _conditions(call)
    run = get_run(caller=call.caller, run_key=run_id)
    identity = result_identity(caller=call.caller, run=run, aggregate_function=function, conditions=conditions)
    etag = f'"{identity}"'
    # A client can only know the tag from an answer that bore it, so nothing needs to be computed to agree.
    if {etag, f"W/{etag}"} & set(parse_etags(call.request.headers.get("If-None-Match", ""))):
        RESULT_READS.labels("not_modified").inc()
        return _tagged(HttpResponseNotModified(), etag)
    if (file := result_cache.stored(identity)) is not None:
        RESULT_READS.labels("cache").inc()
        return _tagged(_streamed(result_cache.pieces(file)), etag)
    RESULT_READS.labels("computed").inc()
    computation = Computation(caller=call.caller, run=run, conditions=conditions)
    pieces = computation.pieces(function)
    may_keep = computation.depends_on_run_alone
    if may_keep:
        pieces = result_cache.keeping(identity, pieces)
    # What fits into memory is computed before the first byte, so that a fault can still be answered as one.
    answer: HttpResponseBase
    answer = _streamed(pieces) if computation.is_large else HttpResponse(b"".join(pieces), content_type=_JSON)
    return _tagged(answer, etag) if may_keep else answer


def _tagged(answer: HttpResponseBase, etag: str) -> HttpResponseBase:
    answer["ETag"] = etag
    answer["Cache-Control"] = "private, no-cache"
    return answer


@endpoint(Action.RUNS_READ)
def metrics(call: Call, run_id: str) -> HttpResponseBase:
    raw = loose_value(call.query.get("dateRange", ""))
    events = run_metrics.events_with_metrics(
        caller=call.caller,
        run=get_run(caller=call.caller, run_key=run_id),
        conditions=_conditions(call),
        time_range=parse_time_range(raw if isinstance(raw, dict) else None),
    )
    return _streamed(run_metrics.metrics_pieces(events))


@endpoint(Action.RUNS_READ)
def compare(call: Call, new: str, old: str) -> HttpResponseBase:
    """The protocol's keys, and after them `statistics`; `statistics=false` leaves that out."""
    asked = one_of(call.query, "statistics", ("", "true", "false"))
    question = comparison_answers.wire_question(
        caller=call.caller,
        new=new,
        old=old,
        options=options_from(call.query),
        conditions=_conditions(call),
        statistics=None if not asked else asked == "true",
    )
    etag = f'"{question.identity}"'
    if {etag, f"W/{etag}"} & set(parse_etags(call.request.headers.get("If-None-Match", ""))):
        RESULT_READS.labels("not_modified").inc()
        return _tagged(HttpResponseNotModified(), etag)
    found = question.answer()
    answer = HttpResponse(found.body, content_type=_JSON)
    return answer if found.identity is None else _tagged(answer, etag)


urlpatterns: list[URLPattern] = [
    path("v1/runs/<str:run_id>/result", resource(GET=result)),
    path("v1/runs/<str:run_id>/summary", resource(GET=result)),
    path("v1/runs/<str:run_id>/metrics", resource(GET=metrics)),
    path("v1/runs/<str:new>/compare-with/<str:old>", resource(GET=compare)),
    path("v1/runs/<str:new>/compare/<str:old>", resource(GET=compare)),
]
