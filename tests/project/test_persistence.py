"""Every model is created, read, changed and deleted, and every named constraint refuses, on both databases."""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, connection, models, transaction

from experiments.models import (
    Datapoint,
    Dataset,
    DatasetMembership,
    DatasetVersion,
    Event,
    Measurement,
    Metric,
    MetricVersion,
    Run,
    RunRevision,
)
from governance.models import (
    ApiKey,
    AuditChain,
    AuditEntry,
    AuditVerification,
    IdempotentAnswer,
    IngestionCount,
    Member,
    Price,
    Project,
    ProviderRule,
    Quota,
    QuotaBlock,
    Secret,
)
from tests.embeddings_ab import rows
from tests.experiments import rows as executed

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
Factory = Callable[..., models.Model]


def a_project(name: str = "persistence") -> Project:
    return Project.objects.get_or_create(name=name)[0]


def a_user() -> User:
    return User.objects.get_or_create(username="ada")[0]


def a_dataset() -> Dataset:
    return Dataset.objects.get_or_create(project=a_project(), name="qa")[0]


def a_datapoint() -> Datapoint:
    return Datapoint.objects.create(project=a_project(), inputs={"q": "a"})


def a_metric() -> Metric:
    return Metric.objects.get_or_create(project=a_project(), name="accuracy", type="PYTHON")[0]


def an_event(**over: Any) -> Event:
    given: dict[str, Any] = {
        "project": a_project(),
        "event_key": uuid.UUID(int=1),
        "session_key": uuid.UUID(int=1),
        "event_type": "session",
        "event_name": "s",
        "source": "evaluation",
        "start_time": 1.0,
        "end_time": 2.0,
        "duration": 1.0,
    }
    return Event.objects.create(**{**given, **over})


def a_measurement(**over: Any) -> Measurement:
    given: dict[str, Any] = {
        "project": a_project(),
        "event_key": uuid.UUID(int=1),
        "session_key": uuid.UUID(int=1),
        "name": "accuracy",
        "value": 0.5,
        "event_name": "fn",
        "event_type": "chain",
    }
    return Measurement.objects.create(**{**given, **over})


def an_entry(**over: Any) -> AuditEntry:
    given: dict[str, Any] = {
        "chain": "c",
        "sequence": 1,
        "at": NOW,
        "actor_kind": "system",
        "action": "run.create",
        "target_kind": "run",
        "target_id": "1",
        "previous_hash": "0" * 64,
        "hash": "1" * 64,
    }
    return AuditEntry.objects.create(**{**given, **over})


def maker(model: type[models.Model], given: Callable[[], dict[str, Any]]) -> Factory:
    return lambda **over: model._default_manager.create(**{**given(), **over})


MAKE: dict[type[models.Model], Factory] = {
    Project: maker(Project, lambda: {"name": "another"}),
    Member: maker(Member, lambda: {"project": a_project(), "user": a_user(), "role": "viewer"}),
    ApiKey: maker(
        ApiKey, lambda: {"project": a_project(), "kind": "project", "name": "k", "prefix": "hh_x", "token_hash": "h"}
    ),
    Quota: maker(Quota, lambda: {"project": a_project(), "resource": "runs", "ceiling": 10}),
    QuotaBlock: maker(
        QuotaBlock,
        lambda: {
            "project": a_project(),
            "holder": "h",
            "period_start": NOW.date(),
            "size": 5,
            "leased_until": NOW,
        },
    ),
    IngestionCount: maker(IngestionCount, lambda: {"project": a_project(), "key_label": "k", "hour": NOW}),
    IdempotentAnswer: maker(
        IdempotentAnswer, lambda: {"project": a_project(), "key": "k", "route": "r", "request_hash": "h"}
    ),
    ProviderRule: maker(ProviderRule, lambda: {"project": a_project(), "effect": "allow", "provider": "openai"}),
    Price: maker(
        Price, lambda: {"project": a_project(), "provider": "openai", "per_million_tokens": 1, "valid_from": NOW}
    ),
    Secret: maker(Secret, lambda: {"project": a_project(), "name": "s", "sealed": "x", "key_id": "k"}),
    AuditChain: maker(AuditChain, lambda: {"name": "c"}),
    AuditEntry: an_entry,
    AuditVerification: maker(AuditVerification, lambda: {"chain": "c"}),
    Dataset: maker(Dataset, lambda: {"project": a_project(), "name": "another"}),
    Datapoint: maker(Datapoint, lambda: {"project": a_project(), "inputs": {"q": [1, None, "é"]}}),
    DatasetMembership: maker(
        DatasetMembership, lambda: {"dataset": a_dataset(), "datapoint": a_datapoint(), "position": 0}
    ),
    Run: maker(Run, lambda: {"project": a_project(), "run_key": "ci-17"}),
    RunRevision: maker(RunRevision, lambda: {"project": a_project(), "run_key": "ci-17"}),
    Event: an_event,
    Measurement: a_measurement,
    Metric: maker(Metric, lambda: {"project": a_project(), "name": "f1", "type": "PYTHON"}),
    MetricVersion: maker(MetricVersion, lambda: {"metric": a_metric(), "name": "v1", "full_sha": "s", "content": {}}),
    **rows.MAKE,
    **executed.MAKE,
}

CHANGE: dict[type[models.Model], dict[str, Any]] = {
    Project: {"description": "changed"},
    Member: {"role": "owner"},
    ApiKey: {"name": "renamed"},
    Quota: {"used": 10},
    ProviderRule: {"note": "changed"},
    Price: {"currency": "EUR"},
    Secret: {"key_id": "other"},
    QuotaBlock: {"size": 6},
    IngestionCount: {"events": 7},
    IdempotentAnswer: {"status": 201, "body": {"id": 1}},
    AuditChain: {"last_sequence": 4},
    AuditVerification: {"attempts": 2},
    Dataset: {"name": "renamed"},
    Datapoint: {"ground_truth": {"a": [True, 0.5]}},
    DatasetMembership: {"position": 3},
    Run: {"metadata": {"k": None}},
    RunRevision: {"revision": 9},
    Event: {"metrics": {"m": 0.1}},
    Measurement: {"value": -1e-9},
    Metric: {"threshold": {"min": 0.5}},
    MetricVersion: {"deployed": True},
    **rows.CHANGE,
    **executed.CHANGE,
}


OWN_APPS = ("governance", "experiments", "embeddings_ab")


def own_models() -> list[type[models.Model]]:
    return [model for app in OWN_APPS for model in apps.get_app_config(app).get_models()]


def test_every_model_is_in_the_table() -> None:
    assert set(own_models()) == set(MAKE)


@pytest.mark.parametrize("model", [m for m in MAKE if m is not AuditEntry], ids=lambda m: m.__name__)
def test_create_read_update_delete(model: type[models.Model]) -> None:
    made = MAKE[model]()
    assert model._default_manager.filter(pk=made.pk).count() == 1
    assert str(made)

    change = CHANGE[model]
    if change:  # a row of two links has nothing to change
        assert model._default_manager.filter(pk=made.pk).update(**change) == 1
    read = model._default_manager.get(pk=made.pk)
    assert {name: getattr(read, name) for name in change} == change

    model._default_manager.filter(pk=made.pk).delete()
    assert not model._default_manager.filter(pk=made.pk).exists()


@pytest.mark.parametrize("statement", ["update", "delete", "save", "raw"])
def test_audit_entries_are_append_only_in_the_database(statement: str) -> None:
    entry = an_entry()
    attempts: dict[str, Callable[[], object]] = {
        "update": lambda: AuditEntry.objects.filter(pk=entry.pk).update(action="other"),
        "delete": lambda: AuditEntry.objects.filter(pk=entry.pk).delete(),
        "save": lambda: setattr(entry, "action", "other") or entry.save(),
        "raw": lambda: connection.cursor().execute("DELETE FROM governance_auditentry"),
    }

    with pytest.raises(DatabaseError), transaction.atomic():
        attempts[statement]()

    assert list(AuditEntry.objects.filter(pk=entry.pk).values_list("action", flat=True)) == ["run.create"]


# Constraint → something that breaks it. Unique ones are broken by making the same thing twice.
TWICE: dict[str, tuple[type[models.Model], dict[str, Any]]] = {
    "member_once_per_project": (Member, {}),
    "quota_once_per_resource": (Quota, {}),
    "ingestion_count_once_per_slot": (IngestionCount, {}),
    "provider_rule_once_per_project": (ProviderRule, {}),
    "price_starts_once_per_project": (Price, {}),
    "price_starts_once_per_installation": (Price, {"project": None}),
    "secret_name_once_per_project": (Secret, {}),
    "audit_entry_sequence_is_unique": (AuditEntry, {}),
    "idempotent_answer_once_per_key": (IdempotentAnswer, {}),
    "dataset_name_once_per_project": (Dataset, {}),
    "run_key_once_per_project": (Run, {}),
    "run_revision_once_per_slot": (RunRevision, {}),
    "event_key_once_per_project": (Event, {}),
    "measurement_once_per_event": (Measurement, {}),
    "metric_name_once_per_project": (Metric, {}),
    "metric_version_name_is_unique": (MetricVersion, {}),
    **rows.TWICE,
    **executed.TWICE,
}
BROKEN: dict[str, tuple[type[models.Model], dict[str, Any]]] = {
    "project_status_is_known": (Project, {"status": "lost"}),
    "project_name_is_not_empty": (Project, {"name": ""}),
    "member_role_is_known": (Member, {"role": "king"}),
    "api_key_kind_is_known": (ApiKey, {"kind": "master"}),
    "quota_used_is_not_negative": (Quota, {"used": -1}),
    "quota_used_is_within_ceiling": (Quota, {"used": 11}),
    "quota_resource_is_known": (Quota, {"resource": "luck"}),
    "provider_rule_effect_is_known": (ProviderRule, {"effect": "perhaps"}),
    "provider_rule_names_a_provider": (ProviderRule, {"provider": ""}),
    "price_is_not_negative": (Price, {"per_million_tokens": -1}),
    "price_ends_after_it_begins": (Price, {"valid_until": NOW}),
    "secret_name_is_not_empty": (Secret, {"name": ""}),
    "audit_verification_status_is_known": (AuditVerification, {"status": "lost"}),
    "audit_verification_finish_time_fits_status": (AuditVerification, {"status": "verified"}),
    "dataset_name_is_not_empty": (Dataset, {"name": ""}),
    "run_status_is_known": (Run, {"status": "lost"}),
    "run_finish_time_fits_status": (Run, {"status": "completed"}),
    "run_key_is_not_empty": (Run, {"run_key": ""}),
    "event_type_is_known": (Event, {"event_type": "generic"}),
    "metric_type_is_known": (Metric, {"type": "python"}),
    "metric_return_type_is_known": (Metric, {"return_type": "int"}),
    "metric_direction_is_known": (Metric, {"direction": "sideways"}),
    "metric_sampling_is_a_percentage": (Metric, {"sampling_percentage": 101}),
    **rows.BROKEN,
    **executed.BROKEN,
}
OWN_TESTS = {"datapoint_once_per_dataset", "metric_version_deployed_once", *rows.CLASHES, *executed.CLASHES}


def test_every_named_constraint_is_in_a_table() -> None:
    named = {constraint.name for model in own_models() for constraint in model._meta.constraints}

    assert named == set(TWICE) | set(BROKEN) | OWN_TESTS


@pytest.mark.parametrize("name", TWICE)
def test_unique_constraints_refuse_the_second(name: str) -> None:
    model, over = TWICE[name]
    MAKE[model](**over)

    with pytest.raises(IntegrityError), transaction.atomic():
        MAKE[model](**over)

    assert model._default_manager.count() == 1 or model in (AuditEntry, Dataset, Metric)


@pytest.mark.parametrize("name", BROKEN)
def test_check_constraints_refuse(name: str) -> None:
    model, over = BROKEN[name]
    before = model._default_manager.count()

    with pytest.raises(IntegrityError, match=r"(?i)check"), transaction.atomic():
        MAKE[model](**over)

    assert model._default_manager.count() == before


@pytest.mark.parametrize("name", executed.CLASHES)
def test_constraints_beside_others_refuse(name: str) -> None:
    model, given, other = executed.CLASHES[name]
    executed.MAKE[model](**given())

    with pytest.raises(IntegrityError), transaction.atomic():
        executed.MAKE[model](**other)

    assert model._default_manager.count() == 1 or model is DatasetVersion


def test_a_datapoint_stands_once_in_a_dataset() -> None:
    dataset, datapoint = a_dataset(), a_datapoint()
    DatasetMembership.objects.create(dataset=dataset, datapoint=datapoint, position=0)

    with pytest.raises(IntegrityError), transaction.atomic():
        DatasetMembership.objects.create(dataset=dataset, datapoint=datapoint, position=1)


def test_one_version_of_a_metric_is_deployed() -> None:
    MAKE[MetricVersion](name="v1", deployed=True)

    with pytest.raises(IntegrityError), transaction.atomic():
        MAKE[MetricVersion](name="v2", deployed=True)
    MAKE[MetricVersion](name="v3", deployed=False)


def test_the_same_client_ids_live_in_two_projects() -> None:
    other = a_project("other")
    an_event()
    an_event(project=other)
    Run.objects.create(project=a_project(), run_key="same")
    Run.objects.create(project=other, run_key="same")

    assert Event.objects.count() == 2
    assert Run.objects.filter(run_key="same").count() == 2


def test_a_project_takes_everything_with_it_but_its_audit_trail() -> None:
    for model, make in MAKE.items():
        if model is not Project:
            make()
    AuditChain.objects.update(project=a_project())

    a_project().delete()

    left = {model.__name__ for model in own_models() if model._default_manager.exists()}
    assert left == {"AuditChain", "AuditEntry", "AuditVerification"}
