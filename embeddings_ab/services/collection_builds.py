"""Builds a collection: cuts, embeds what no cache has, writes the files. Every batch is a checkpoint.

Batches are cut by content order, never by arrival. A worker that dies loses the batches that were in the air and
nothing else; one that runs for long hands on to the next, so that others get their turn.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from embeddings_ab import dispatch, telemetry
from embeddings_ab.domain.batches import cut_batches, latency_sample
from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.statuses import CollectionStatus
from embeddings_ab.models import AbTest, Collection, CollectionKind, CollectionUse, EmbeddingSpace
from embeddings_ab.services import artifact_files, collections, embedding_cache, endings, provider_access
from embeddings_ab.services.arm_preparation import holder
from embeddings_ab.services.costs import cost_now
from embeddings_ab.services.provider_access import Access
from governance.models import Resource
from governance.models.clock import from_now
from governance.models.leased_work import LeaseLost
from governance.services import quotas
from governance.services.heartbeats import Heartbeat, lease

if TYPE_CHECKING:
    from embeddings_ab.adapters.embedding_providers.protocol import EmbeddedBatch

SLICE_SECONDS = 120.0
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Text:
    """One distinct text to embed. `alone`: in a call of its own, timed."""

    key: str
    text: str
    tokens: int
    alone: bool = False


@dataclass(slots=True)
class Answered:
    """A batch that came back."""

    texts: list[Text]
    batch: "EmbeddedBatch"
    seconds: float


@dataclass(slots=True)
class Turn:
    """One worker's share of a build."""

    work: Collection
    beat: Heartbeat
    started: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        """Whether the share is used up."""
        return time.monotonic() - self.started > SLICE_SECONDS


def build_collection(*, collection_id: int) -> None:
    """pending → building → ready | failed | pending. A second message finds nothing to claim."""
    try:
        work = Collection.claim(
            collection_id,
            waiting=[CollectionStatus.PENDING],
            running=CollectionStatus.BUILDING,
            holder=holder(),
            lease=lease(),
        )
    except IntegrityError:  # another build of the same space: afterwards this one finds its texts in the cache
        Collection.objects.filter(pk=collection_id, status=CollectionStatus.PENDING).update(
            next_attempt_at=from_now(dt.timedelta(seconds=1)), dispatched_at=None
        )
        return
    if work is None:
        return
    telemetry.count_build("started")
    log.info("collection_building", collection=work.public_id, kind=work.kind, attempt=work.attempts)
    began = time.monotonic()
    try:
        with endings.of_collection(work):
            endings.require_hope(work)
            _build(work)
            telemetry.count_build("finished", seconds=time.monotonic() - began)
    except endings.OutOfTurn:
        _hand_on(work, time.monotonic() - began)
    except LeaseLost:
        log.info("collection_lost", collection=work.public_id)
    _tell(work)


def _tell(work: Collection) -> None:
    """Whoever waited for this one, as holder or for its space, looks again."""
    held_by = CollectionUse.objects.filter(collection=work).values_list("test_id", flat=True)
    dispatch.send_advance(list(AbTest.objects.filter(pk__in=held_by).values_list("pk", flat=True)))
    if work.space_id is not None:
        waiting = Collection.objects.filter(space_id=work.space_id, status=CollectionStatus.PENDING)
        due = waiting.filter(next_attempt_at__isnull=False, error_code="", next_attempt_at__lte=from_now(_SOON))
        pks = list(due.values_list("pk", flat=True))
        Collection.objects.filter(pk__in=pks).update(next_attempt_at=None)
        dispatch.send_builds(pks)


_SOON = dt.timedelta(seconds=5)


def _hand_on(work: Collection, seconds: float) -> None:
    try:
        with transaction.atomic():
            work.leave(
                CollectionStatus.PENDING,
                attempts=0,
                next_attempt_at=None,
                build_seconds=F("build_seconds") + seconds,
            )
            dispatch.send_builds([work.pk])
        log.info("collection_handed_on", collection=work.public_id, seconds=round(seconds, 1))
    except LeaseLost:
        log.info("collection_lost", collection=work.public_id)


def _build(work: Collection) -> None:
    began = time.monotonic()
    if work.kind == CollectionKind.LEXICAL:
        with Heartbeat(work) as beat:
            turn = Turn(work, beat)
            chunk_count = artifact_files.count_chunks(work)
            _reserve_chunks(work, chunk_count)
            size = artifact_files.materialise(work)
            turn.beat.check()
    else:
        size = _build_vectors(work)
    with transaction.atomic():
        work.leave(
            CollectionStatus.READY,
            ready_at=Now(),
            chunks_done=F("chunk_count"),
            byte_count=size,
            build_seconds=F("build_seconds") + (time.monotonic() - began),
            error_code="",
            error_message="",
        )
        collections.give_back_reservations(work.pk)
    log.info("collection_ready", collection=work.public_id, kind=work.kind)


def _reserve_chunks(work: Collection, count: int) -> None:
    with transaction.atomic():
        row = Collection.objects.select_for_update().get(pk=work.pk)
        work.renew(lease(), chunk_count=count, reserved_chunks=count)
        quotas.reserve(project_id=work.project_id, resource=Resource.CHUNKS, amount=count - row.reserved_chunks)


def _build_vectors(work: Collection) -> int:
    space = work.space
    assert space is not None  # vectors have a space, by construction of the recipes
    EmbeddingSpace.objects.filter(pk=space.pk).update(last_used_at=Now())
    settings = artifact_files.provider_settings(space)
    with (
        provider_access.opened(project_id=work.project_id, settings=settings) as access,
        Heartbeat(work, on_lost=access.close) as beat,
    ):
        turn = Turn(work, beat)
        texts, chunk_count = _distinct_texts(work)
        cached = embedding_cache.present(space, list(texts))
        missing = [key for key in texts if key not in cached]
        counts = access.provider.count_tokens([texts[key] for key in missing]) if missing else []
        rows = [Text(key, texts[key], tokens) for key, tokens in zip(missing, counts, strict=True)]
        _reserve(work, space, rows, chunk_count, len(cached))
        turn.started = time.monotonic()  # cutting and looking come again with each turn, and are not its share
        if work.kind == CollectionKind.QUERIES:
            sample = latency_sample(list(texts))
            for row in rows:
                row.alone = row.key in sample
        _embed(work, space, access, turn, rows)
        size = artifact_files.materialise(work)
        beat.check()
    return size


def _distinct_texts(work: Collection) -> tuple[dict[str, str], int]:
    """Distinct texts by hash in content order, and how many units (chunks or queries) they make."""
    units = artifact_files.texts_of(work)
    return {embedding_cache.text_hash(text): text for text in units}, len(units)


def _reserve(work: Collection, space: EmbeddingSpace, rows: Sequence[Text], chunk_count: int, cached: int) -> None:
    """Take what the rest of the build needs from the quotas; what an earlier attempt took counts."""
    tokens = sum(row.tokens for row in rows)
    size = len(rows) * space.dimensions * 4
    chunks = chunk_count if work.kind == CollectionKind.DOCUMENTS else 0
    with transaction.atomic():
        row = Collection.objects.select_for_update().get(pk=work.pk)
        first = row.chunk_count is None
        work.renew(
            lease(),
            chunk_count=chunk_count,
            reserved_chunks=chunks,
            reserved_tokens=tokens,
            reserved_bytes=size,
            **({"cache_hits": cached} if first else {}),
        )
        wanted = {
            Resource.CHUNKS: chunks - row.reserved_chunks,
            Resource.EMBEDDING_TOKENS: tokens - row.reserved_tokens,
            Resource.VECTOR_BYTES: size - row.reserved_bytes,
        }
        for resource, amount in sorted(wanted.items()):
            if amount > 0:
                month = quotas.reserve(project_id=work.project_id, resource=resource, amount=amount)
                if month is not None:
                    work.held().update(reserved_month=month)
            else:
                month = row.reserved_month if resource == Resource.EMBEDDING_TOKENS else None
                quotas.give_back(project_id=work.project_id, resource=resource, amount=-amount, month=month)
    if first and cached:
        telemetry.count_embedded(space.provider, texts=0, cache_hits=cached)


def _embed(work: Collection, space: EmbeddingSpace, access: Access, turn: Turn, rows: Sequence[Text]) -> None:
    if not rows:
        return
    provider = access.provider
    role: Literal["query", "document"] = "query" if work.kind == CollectionKind.QUERIES else "document"
    prefix = str(space.identity.get("prefix", ""))
    if any(row.alone for row in rows):
        from embeddings_ab.adapters.embedding_providers.canary import CANARY_TEXTS

        with access.slot(work.project_id):
            # Warm, so that the first timed call is like the others; no text of the collection, none is paid twice.
            provider.embed([prefix + CANARY_TEXTS[0]], role)

    def call(texts: list[Text]) -> Answered:
        with access.slot(work.project_id), telemetry.timed_call(provider.settings.provider):
            began = time.perf_counter()
            batch = provider.embed([prefix + text.text for text in texts], role)
            return Answered(texts, batch, time.perf_counter() - began)

    # Queries that are timed go first, one after another: calls beside each other would be timed with their waiting.
    for part, parallel in (
        ([row for row in rows if row.alone], 1),
        ([row for row in rows if not row.alone], provider.parallel_requests),
    ):
        batches = cut_batches(
            part,
            tokens=lambda row: row.tokens,
            alone=lambda row: row.alone,
            most_texts=provider.batch_texts,
            most_tokens=provider.batch_tokens,
        )
        for answered in _in_order(batches, call, parallel, turn):
            _store(work, space, answered)


def _in_order(
    batches: Iterator[list[Text]], call: Callable[[list[Text]], Answered], parallel: int, turn: Turn
) -> Iterator[Answered]:
    """Answers in the order of the batches, at most `parallel` calls in the air.

    When a call fails or the turn is over nothing more is sent, but what is in the air is still taken: it is paid for.
    """
    stopped: Exception | None = None
    flying: list[Future[Answered]] = []
    with ThreadPoolExecutor(max_workers=max(parallel, 1), thread_name_prefix="embed") as pool:
        while True:
            turn.beat.check()
            while stopped is None and len(flying) < max(parallel, 1):
                batch = None if turn.is_over else next(batches, None)
                if batch is None:
                    break
                flying.append(pool.submit(call, batch))
            if not flying:
                break
            try:
                answered = flying.pop(0).result()
            except Exception as error:
                stopped = stopped or error
                continue
            yield answered
    if stopped is not None:
        raise stopped
    if next(batches, None) is not None:
        raise endings.OutOfTurn


def _check_model(space: EmbeddingSpace, batch: "EmbeddedBatch") -> None:
    """Refuse vectors of another model than the one that the space was made with."""
    if not EmbeddingSpace.objects.filter(pk=space.pk, is_current=True).exists():
        raise ProviderFailed(
            f"Another model answers for {space.provider} {space.model} since this collection was begun. Start the test "
            "again to embed with the model that is there now.",
            cause="bad_answer",
        )
    found = f"revision {batch.revision!r} with {batch.vectors.shape[1]} dimensions"
    known = f"revision {space.revision!r} with {space.dimensions}"
    if (batch.revision, batch.vectors.shape[1]) == (space.revision, space.dimensions):
        return
    # The next preparation asks anew which model answers, and begins another space.
    EmbeddingSpace.objects.filter(pk=space.pk).update(canary_checked_at=from_now(-dt.timedelta(days=1)))
    raise ProviderFailed(
        f"{space.provider} changed its model during the build: it answers with {found}, this collection was begun "
        f"with {known}. Start the test again to embed with the model that is there now.",
        cause="bad_answer",
    )


def _store(work: Collection, space: EmbeddingSpace, answered: Answered) -> None:
    """The checkpoint: vectors, progress, what was spent, in one transaction that holds only while the lease does."""
    texts, batch = answered.texts, answered.batch
    _check_model(space, batch)
    provider = space.provider
    estimated = sum(text.tokens for text in texts)
    alone = answered.seconds * 1000 if texts[0].alone else None
    price = cost_now(project_id=work.project_id, provider=provider, model=space.model, tokens=batch.tokens)
    with transaction.atomic():
        row = Collection.objects.select_for_update().get(pk=work.pk)
        size = len(texts) * space.dimensions * 4
        cost = None if price is None else (row.cost or 0) + price.amount
        work.renew(
            lease(),
            attempts=0,  # this attempt made progress
            chunks_done=min(row.chunks_done + len(texts), row.chunk_count or 0),
            embedded_count=row.embedded_count + len(texts),
            token_count=row.token_count + batch.tokens,
            provider_calls=row.provider_calls + 1,
            provider_seconds=row.provider_seconds + answered.seconds,
            cost=cost if row.cost is not None or row.provider_calls == 0 else None,
            currency=price.currency if price is not None else "",
            reserved_tokens=max(row.reserved_tokens - estimated, 0),
            reserved_bytes=max(row.reserved_bytes - size, 0),
        )
        embedding_cache.store(
            space, [text.key for text in texts], batch.vectors, [text.tokens for text in texts], [alone] * len(texts)
        )
    telemetry.count_embedded(provider, texts=len(texts), tokens=batch.tokens)
