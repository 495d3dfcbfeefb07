"""Use cases on tests: create (everything is checked before anything is built), start and resume, cancel, delete."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q

from embeddings_ab import dispatch, telemetry
from embeddings_ab.adapters.database_tables import require_postgres
from embeddings_ab.adapters.embedding_providers import require_installed
from embeddings_ab.adapters.vector_indexes import check_settings as check_index
from embeddings_ab.domain.fingerprint import canonical_json_hash
from embeddings_ab.domain.measures import parse_measure
from embeddings_ab.domain.spec import LOCAL_PROVIDERS, ArmSpec, TestSpec
from embeddings_ab.domain.statuses import TEST_ENDED, ArmStatus, TestStatus
from embeddings_ab.models import AbTest, Arm, CollectionUse, Corpus, Document, Judgment, QuerySet, UploadedRun
from embeddings_ab.selectors.ab_tests import find_test
from embeddings_ab.selectors.corpora import find_corpus
from embeddings_ab.selectors.query_sets import find_query_set
from embeddings_ab.services import collections, progress
from embeddings_ab.services.corpora import require_still_there
from embeddings_ab.services.provider_access import settings_of
from governance.domain.actions import Action
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput
from governance.models import Resource
from governance.models.clock import from_now
from governance.outbound import addresses
from governance.services import audit, providers, quotas, secrets

log = structlog.get_logger(__name__)
_POSTGRES_ONLY = {"postgres_fts", "pgvector_exact", "pgvector_hnsw"}


def checked(*, caller: Caller, spec: TestSpec) -> tuple[TestSpec, Corpus, QuerySet]:
    """The specification with every name resolved and every default written out. Raises before anything is stored."""
    corpus = find_corpus(caller, spec.corpus, field="corpus")
    query_set = find_query_set(caller, spec.query_set, field="query_set")
    if query_set.corpus.name != corpus.name:
        raise InvalidInput(
            f"Field 'query_set': {query_set} was made for corpus {query_set.corpus.name!r}, not for {corpus.name!r}. "
            "Choose a query set of this corpus.",
            field="query_set",
            value=str(query_set),
        )
    _check_judged_documents(corpus, query_set)
    _check_limit(spec.limits.max_documents, corpus.document_count, "limits.max_documents", f"corpus {corpus}")
    _check_limit(spec.limits.max_queries, query_set.query_count, "limits.max_queries", f"query set {query_set}")
    metrics = tuple(str(parse_measure(name, field=f"metrics.{place}")) for place, name in enumerate(spec.metrics))
    if len(set(metrics)) != len(metrics):
        raise InvalidInput(
            f"Field 'metrics': {', '.join(metrics)} names one measure twice; leave the second out.",
            field="metrics",
            value=list(spec.metrics),
        )
    primary = str(parse_measure(spec.primary_metric, field="primary_metric")) if spec.primary_metric else metrics[0]
    if primary not in metrics:
        metrics = (primary, *metrics)
    for name, arm in spec.arms.items():
        _check_arm(caller, f"arms.{name}", arm, query_set)
    complete = spec.model_copy(
        update={
            "corpus": str(corpus),
            "query_set": str(query_set),
            "metrics": metrics,
            "primary_metric": primary,
            "control": spec.control or next(iter(spec.arms)),
        }
    )
    return complete, corpus, query_set


def _check_judged_documents(corpus: Corpus, query_set: QuerySet) -> None:
    if query_set.corpus_id == corpus.pk:
        return
    known = Document.objects.filter(corpus=corpus).values("external_id")
    gone = Judgment.objects.filter(query__query_set=query_set, grade__gt=0).exclude(document_id__in=known)
    first = gone.order_by("document_id").first()
    if first is not None:
        raise InvalidInput(
            f"Field 'corpus': {corpus} lacks {gone.values('document_id').distinct().count()} judged documents of "
            f"{query_set}, the first is {first.document_id!r}. Import them, or the query set anew with drop_dangling.",
            field="corpus",
            value=str(corpus),
        )


def _check_limit(most: int | None, there: int, field: str, what: str) -> None:
    if most is not None and there > most:
        raise InvalidInput(
            f"Field {field!r} is {most}, but {what} has {there}. Raise it or take a smaller one.",
            field=field,
            value=most,
        )


def _require_database(field: str, arm: ArmSpec) -> None:
    """Refuse what only PostgreSQL has, on an installation that runs on another database."""
    named: dict[str, str] = {f"{field}.index.kind": arm.index.kind}
    if arm.lexical is not None:
        named[f"{field}.lexical.engine"] = arm.lexical.engine
    for part, name in named.items():
        if name in _POSTGRES_ONLY:
            require_postgres(part, name)


def _check_arm(caller: Caller, field: str, arm: ArmSpec, query_set: QuerySet) -> None:
    _require_database(field, arm)
    check_index(arm.index, dimensions=arm.dimensions, field=f"{field}.index")
    if arm.provider is not None:
        with _Within(field):
            settings_of(arm)
    if arm.provider in LOCAL_PROVIDERS:
        require_installed(arm.provider, field=f"{field}.provider")
    for part, url, secret in _calls_of(field, arm):
        addresses.require_public(url, field=part)
        if secret:
            name = f"{part.rsplit('.', 1)[0]}.secret"
            secrets.require_known(project_id=caller.project_id, name=secret, field=name)
    _require_allowed(caller.project_id, field, arm)
    if arm.run:
        run = UploadedRun.objects.filter(project_id=caller.project_id, name=arm.run).select_related("query_set").first()
        if run is None or run.query_set.name != query_set.name:
            raise InvalidInput(
                f"Field '{field}.run': there is no uploaded run {arm.run!r} over query set {query_set.name!r}. "
                "Upload it first, or choose another.",
                field=f"{field}.run",
                value=arm.run,
            )


def _calls_of(field: str, arm: ArmSpec) -> list[tuple[str, str, str]]:
    """Field, address and secret of everything outside that the arm calls."""
    found: list[tuple[str, str, str]] = []
    if arm.base_url:
        found.append((f"{field}.base_url", arm.base_url, arm.secret))
    if arm.reranker is not None and arm.reranker.url:
        found.append((f"{field}.reranker.url", arm.reranker.url, arm.reranker.secret))
    if arm.external is not None:
        found.append((f"{field}.external.url", arm.external.url, arm.external.secret))
    return found


def _require_allowed(project_id: int, field: str, arm: ArmSpec) -> None:
    """Everything that the arm uses must be allowed by the project's rules at this moment."""
    used: list[tuple[str, str, str, str]] = []
    if arm.provider is not None:
        used.append((f"{field}.provider", arm.provider, settings_of(arm).model, arm.base_url))
    if arm.reranker is not None and arm.reranker.url:
        used.append((f"{field}.reranker", "reranker", arm.reranker.model, arm.reranker.url))
    if arm.external is not None:
        used.append((f"{field}.external", "external", "", arm.external.url))
    for part, provider, model, url in used:
        with _Naming(part, provider):
            providers.require_allowed(project_id=project_id, provider=provider, model=model, base_url=url)


class _Within:
    """Puts the arm before the field that a refusal names."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        details = getattr(error, "details", None)
        if isinstance(details, dict) and "field" in details:
            details["field"] = f"{self.field}.{details['field']}"


class _Naming:
    """Adds the field to a refusal that does not know it."""

    def __init__(self, field: str, value: str) -> None:
        self.field, self.value = field, value

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        details = getattr(error, "details", None)
        if isinstance(details, dict):
            details["field"] = self.field
            details.setdefault("value", self.value)


@transaction.atomic
def create_test(*, caller: Caller, spec: TestSpec) -> AbTest:
    """Store a test. What decides is hashed now: whatever departs from it later is exploratory."""
    caller.require(Action.AB_WRITE)
    complete, corpus, query_set = checked(caller=caller, spec=spec)
    require_still_there(corpus, field="corpus", locked=True)
    require_still_there(query_set, field="query_set", locked=True)
    written = complete.model_dump(mode="json")
    quotas.reserve(project_id=caller.project_id, resource=Resource.AB_TESTS)
    test = AbTest.objects.create(
        project_id=caller.project_id,
        name=complete.name,
        corpus=corpus,
        query_set=query_set,
        spec=written,
        registration_hash=canonical_json_hash(
            {"spec": written, "corpus": corpus.content_hash, "query_set": query_set.content_hash}
        ),
        primary_metric=complete.primary_metric,
        control=complete.control,
        seed=complete.seed,
        created_by=caller.actor_label,
    )
    Arm.objects.bulk_create(
        [
            Arm(test=test, name=name, position=place, spec=arm.model_dump(mode="json"))
            for place, (name, arm) in enumerate(complete.arms.items())
        ]
    )
    _audit(caller, "ab_test.create", test, after={"registration_hash": test.registration_hash, "name": test.name})
    log.info("ab_test_created", test=test.public_id, arms=len(complete.arms))
    return test


def _audit(caller: Caller, action: str, test: AbTest, **changes: Mapping[str, Any]) -> None:
    audit.record(
        caller=caller,
        action=action,
        target_kind="ab_test",
        target_id=test.public_id,
        target_label=test.name,
        **{name: dict(change) for name, change in changes.items()},
    )


def _with_status(caller: Caller, test_id: str, change: Callable[[AbTest], bool], wanted: str) -> AbTest:
    test = find_test(caller, test_id)
    if not change(test):
        now = AbTest.objects.get(pk=test.pk)
        raise Conflict(f"Test {test_id} is {now.status}; it cannot be {wanted} now.", field="status", value=now.status)
    return AbTest.objects.get(pk=test.pk)


@transaction.atomic
def start_test(*, caller: Caller, test_id: str) -> AbTest:
    """created → queued; a failed, cancelled or incomplete one goes on: what is done stays, the rest is tried again."""
    caller.require(Action.AB_WRITE)

    def change(test: AbTest) -> bool:
        spec = TestSpec.model_validate(test.spec)
        for name, arm in spec.arms.items():  # rules may have changed since the creation
            _require_allowed(test.project_id, f"arms.{name}", arm)
        seconds = spec.limits.timeout_seconds
        if not progress.move_test(
            test.pk,
            TestStatus.QUEUED,
            error_code="",
            error_message="",
            finished_at=None,
            expires_at=None,
            attempts=0,
            dispatched_at=None,
            deadline_at=from_now(dt.timedelta(seconds=seconds)) if seconds else None,
        ):
            return False
        again = [ArmStatus.INCOMPLETE, ArmStatus.FAILED, ArmStatus.CANCELLED]
        progress.move_arms(
            Q(test_id=test.pk, status__in=again),
            ArmStatus.PENDING,
            attempts=0,
            dispatched_at=None,
            next_attempt_at=None,
            error_code="",
            error_message="",
            finished_at=None,
        )
        before = {"status": test.status}
        _audit(caller, "ab_test.start", test, before=before, after={"status": TestStatus.QUEUED.value})
        telemetry.count_test("queued")
        dispatch.send_advance([test.pk])
        return True

    return _with_status(caller, test_id, change, "started")


@transaction.atomic
def cancel_test(*, caller: Caller, test_id: str) -> AbTest:
    """Ends within seconds, calls in the air included. Starting it again goes on from what is stored."""
    caller.require(Action.AB_WRITE)

    def change(test: AbTest) -> bool:
        if not progress.end_early(
            test.pk, TestStatus.CANCELLED, code="cancelled", message=f"Cancelled by {caller.actor_label}."
        ):
            return False
        _audit(caller, "ab_test.cancel", test, before={"status": test.status}, after={"status": "cancelled"})
        return True

    return _with_status(caller, test_id, change, "cancelled")


@transaction.atomic
def delete_test(*, caller: Caller, test_id: str) -> None:
    """Delete a test that is not under way, with its results; its collections stay for others or for the clean-up."""
    caller.require(Action.AB_WRITE)
    test = find_test(caller, test_id)
    held = list(CollectionUse.objects.filter(test=test).values_list("collection_id", flat=True))
    ended = [s.value for s in (*TEST_ENDED, TestStatus.CREATED)]
    if not AbTest.objects.filter(pk=test.pk, status__in=ended).select_for_update().exists():
        raise Conflict(
            f"Test {test_id} is {test.status}; cancel it before deleting it.", field="status", value=test.status
        )
    AbTest.objects.filter(pk=test.pk).delete()
    collections.touch(held)
    quotas.give_back(project_id=caller.project_id, resource=Resource.AB_TESTS)
    _audit(caller, "ab_test.delete", test, before={"name": test.name, "status": test.status})
