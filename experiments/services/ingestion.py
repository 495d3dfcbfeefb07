"""The use case behind OTLP: a body in, events committed, and what could not be used said in one sentence."""

import time
from collections import Counter
from dataclasses import dataclass

from django.conf import settings

from experiments.domain import otlp, otlp_json
from experiments.domain.spans import Translator
from experiments.services.event_writer import store_events
from experiments.telemetry import INGEST_SECONDS, INGESTED_BYTES, INGESTED_SPANS, REFUSED_BODIES, REJECTED_SPANS
from governance.domain.caller import Caller
from governance.domain.errors import DomainError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one body; `media_type` is that of the answer, too."""

    media_type: str
    stored: int
    rejected: int
    message: str


def ingest(*, caller: Caller, raw: bytes, content_type: str, content_encoding: str, source: str) -> Outcome:
    """Store the spans of one OTLP body; when this returns they are committed and readable.

    `source` is what spans without one of their own get. Raises `InvalidInput`, `PayloadTooLarge`,
    `QuotaExceeded`; then nothing is stored. Single bad spans are left out and reported.
    """
    began = time.perf_counter()
    try:
        kind = otlp.media_type(content_type)
        body = otlp.inflate(raw, content_encoding, limit=settings.MAX_INFLATED_BYTES)
        batch = _decode(body, kind)
        rows = Translator(source=source).rows(batch.spans)
        store_events(caller=caller, rows=rows, rejected=len(batch.reasons))
    except DomainError as error:
        REFUSED_BODIES.labels(error.code).inc()
        raise
    INGEST_SECONDS.observe(time.perf_counter() - began)
    INGESTED_BYTES.inc(len(raw))
    INGESTED_SPANS.labels("json" if kind == otlp.JSON else "protobuf").inc(len(batch.spans))
    for reason, count in Counter(batch.reasons).items():
        REJECTED_SPANS.labels(reason).inc(count)
    return Outcome(kind, len(batch.spans), len(batch.reasons), _sentence(batch))


def _decode(body: bytes, kind: str) -> otlp.Batch:
    if kind == otlp.JSON:
        return otlp_json.decode(body)
    from experiments.domain import otlp_protobuf  # only who is sent protobuf pays for it

    return otlp_protobuf.decode(body)


def _sentence(batch: otlp.Batch) -> str:
    if not batch.reasons:
        return ""
    hidden = len(batch.reasons) - len(batch.messages)
    more = f" (and {hidden} more)" if hidden else ""
    return f"{len(batch.reasons)} span(s) were refused, the others are stored: {'; '.join(batch.messages)}{more}."
