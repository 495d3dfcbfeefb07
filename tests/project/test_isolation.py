"""Every route, every kind of wrong key: refused, nothing changed, nothing leaked. No tenant sees another's row."""

import datetime as dt
import json
import uuid
from decimal import Decimal

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from embeddings_ab.models import Collection, Tuning
from embeddings_ab.services.judging import create_pool
from embeddings_ab.services.labels import LabelRow, record_labels
from experiments.domain.wire_datasets import DatapointContent
from experiments.models import (
    Configuration,
    ConfigurationVersion,
    Event,
    Measurement,
    Metric,
    MetricVersion,
    Run,
)
from experiments.services.dataset_versions import pin_version
from experiments.services.datasets import add_rows, create_dataset
from governance.domain.actions import KeyKind
from governance.models import ApiKey, AuditEntry, AuditVerification, Member, Project, ProjectStatus
from governance.services import prices, providers, secrets
from governance.services.projects import create_project, system_caller
from tests.embeddings_ab.factories import make_corpus, make_query_set, make_run
from tests.embeddings_ab.finished import make_finished_test
from tests.experiments.executed import make_datapoint_runs, make_experiment, make_schedule
from tests.factories import make_client, make_token
from tests.project.routes import INGESTION, address, all_routes, bodies, is_write, nowhere

ROUTES = all_routes()
SECRET = "only-the-victim-knows"

# Ids that a client chooses name things of its own project: another project's use of them is no reason to refuse.
OWN_NAMESPACE = INGESTION | {"POST v1/runs"}
# Lists and creates that refer to nothing of the victim's; and limits, which every project has by the same names.
ANSWERED = {
    "POST v1/metrics/run_metric",  # judges what it is sent
    "POST v1/metrics/run",
    "GET api/v1/project",
    "PATCH api/v1/project",
    "GET api/v1/quotas",
    "PATCH api/v1/quotas/<str:resource>",
    "GET api/v1/usage",
    "GET api/v1/keys",
    "POST api/v1/keys",
    "GET api/v1/members",
    "GET api/v1/audit",
    "GET api/v1/audit/verifications",
    "POST api/v1/audit/verifications",
    "GET api/v1/providers/rules",
    "POST api/v1/providers/rules",
    "GET api/v1/prices",
    "POST api/v1/prices",
    "GET api/v1/secrets",
    "POST api/v1/secrets",
    "GET api/v1/datasets",
    "GET api/v1/runs",
    "GET api/v1/experiments",
    "GET api/v1/experiment-schedules",
    "GET api/v1/configurations",
    "GET v1/configurations",
    "POST v1/configurations",
    "GET api/v1/events",
    "GET api/v1/trends",
    "GET api/v1/events/export",
    "GET api/v1/ab/corpora",
    "POST api/v1/ab/corpora",
    "GET api/v1/ab/query-sets",
    "GET api/v1/ab/runs",
    "GET api/v1/ab/tests",
    "GET api/v1/ab/collections",
    "GET api/v1/ab/judging-pools",
    "POST v1/events/export",
    "POST v1/events/search",
    "GET v1/events/schema",
    "GET v1/runs/schema",
    "GET v1/runs",
    "GET v1/metrics",
    "POST v1/metrics",
    "GET v1/datasets",
    "GET v1/datapoints",
}


@pytest.fixture
def victim(db):
    """Ids of a project in which every kind of thing carries a secret."""
    project = create_project(name=f"project {SECRET}")
    caller = system_caller(project)
    dataset = create_dataset(caller=caller, name=SECRET, description=SECRET)
    (datapoint_id,) = add_rows(
        caller=caller, dataset_id=dataset.public_id, contents=[DatapointContent(inputs={"q": SECRET})]
    )
    pin_version(caller=caller, dataset_id=dataset.public_id)
    session, chain = uuid.uuid4(), uuid.uuid4()
    for key, parent, kind in ((session, None, "session"), (chain, session, "chain")):
        Event.objects.create(
            project=project,
            event_key=key,
            session_key=session,
            parent_key=parent,
            event_type=kind,
            event_name=SECRET,
            source="test",
            run_key="victims-run",
            datapoint_key=datapoint_id,
            inputs={"q": SECRET},
            metrics={"score": 1.0},
            metadata={"run_id": "victims-run", "datapoint_id": datapoint_id, SECRET: 1},
            start_time=1.0,
            end_time=2.0,
            duration=1.0,
        )
    Measurement.objects.create(
        project=project,
        event_key=chain,
        session_key=session,
        run_key="victims-run",
        name="score",
        value=1.0,
        event_name=SECRET,
        event_type="chain",
    )
    for key in ("victims-run", "victims-old-run"):
        run = Run.objects.create(project=project, run_key=key, name=SECRET, dataset=dataset, metadata={"k": SECRET})
        make_datapoint_runs(make_experiment(project, run=run, tags=(SECRET,)), "completed", "failed")
    schedule = make_schedule(project, name=SECRET)
    configuration = Configuration.objects.create(
        project=project, name=SECRET, provider=SECRET, parameters={"template": SECRET}
    )
    ConfigurationVersion.objects.create(
        configuration=configuration, number=1, provider=SECRET, parameters={"template": SECRET}, content_hash="0"
    )
    metric = Metric.objects.create(project=project, name=SECRET, type="PYTHON", criteria=SECRET)
    MetricVersion.objects.create(metric=metric, name="v1", full_sha="0", content={"name": SECRET}, deployed=True)
    user = User.objects.create_user(f"user-{SECRET}")
    Member.objects.create(project=project, user=user, role="viewer")
    rule = providers.create_rule(caller=caller, effect="allow", provider=SECRET)
    price = prices.create_price(
        caller=caller, provider=SECRET, per_million_tokens=Decimal(1), valid_from=timezone.now()
    )
    secret = secrets.create_secret(caller=caller, name=SECRET, value=SECRET)
    verification = AuditVerification.objects.create(chain=project.public_id)
    corpus = make_corpus(caller, name=f"corpus {SECRET}", texts={"d1": SECRET, "d2": "b"})
    query_set = make_query_set(
        caller, corpus, name=f"queries {SECRET}", queries={"q1": SECRET}, grades={"q1": {"d1": 1}}
    )
    uploaded_run = make_run(caller, query_set, name=f"run {SECRET}")
    ab_test = make_finished_test(caller, name=SECRET)
    collection = Collection.objects.create(
        project=project, kind="lexical", content_hash="0" * 64, recipe={SECRET: 1}, corpus=corpus
    )
    pool = create_pool(
        caller=caller, test_id=ab_test.public_id, name=f"pool {SECRET}", guidelines=SECRET, only_unjudged=False
    )
    labels = [LabelRow("q1", "d1", 1, "llm", SECRET)]
    record_labels(caller=caller, pool_id=pool.public_id, labels=labels)
    tuning = Tuning.objects.create(test=ab_test, spec={"arm": SECRET}, result={"chosen": SECRET})
    make_token(project)
    return project, {
        "session_id": str(session),
        "event_id": str(chain),
        "run_id": "victims-run",
        "old_run_id": "victims-old-run",
        "dataset_id": dataset.public_id,
        "datapoint_id": datapoint_id,
        "configuration_id": configuration.public_id,
        "schedule_id": schedule.public_id,
        "metric_id": metric.public_id,
        "version_name": "v1",
        "version_number": "1",
        "project_id": project.public_id,
        "key_id": ApiKey.objects.get(project=project).public_id,
        "verification_id": str(verification.pk),
        "rule_id": rule.public_id,
        "price_id": price.public_id,
        "secret_id": secret.public_id,
        "username": user.username,
        "resource": "runs",
        "trace_id": session.hex,
        "corpus_id": corpus.public_id,
        "query_set_id": query_set.public_id,
        "uploaded_run_id": uploaded_run.public_id,
        "test_id": ab_test.public_id,
        "query_id": "q1",
        "collection_id": collection.public_id,
        "pool_id": pool.public_id,
        "tuning_id": tuning.public_id,
    }


def path_to_project(model):
    """The shortest way over foreign keys that are always there; "" where there is none (things of the installation)."""
    ways = [(model, "")]
    for start, path in ways:
        for field in start._meta.concrete_fields:
            if field.many_to_one and not field.null and field.related_model is not start:
                if field.related_model is Project:
                    return f"{path}{field.name}"
                ways.append((field.related_model, f"{path}{field.name}__"))
    return ""


def everything(project=None):
    """All rows of our own apps, of one project or of all; when a key was last used does not count."""
    rows = {}
    for app in ("governance", "experiments", "embeddings_ab"):
        for model in apps.get_app_config(app).get_models():
            found = model._base_manager.order_by("pk")
            names = {field.name for field in model._meta.get_fields()}
            if project is not None:
                if "project" in names:
                    found = found.filter(project=project)
                elif "chain" in names:
                    found = found.filter(chain=project.public_id)
                elif model.__name__ == "Project":
                    found = found.filter(pk=project.pk)
                elif path := path_to_project(model):
                    found = found.filter(**{path: project})
            rows[model.__name__] = [
                {name: value for name, value in row.items() if name != "last_used_at"} for row in found.values()
            ]
    return rows


def send(client, route, ids):
    body = bodies(ids).get(route.name) if is_write(route) else None
    content = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    return client.generic(route.method, address(route, ids), **content)


def text_of(answer):
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()


def changed_key(project, **fields):
    """A token of `project` whose row was changed afterwards."""
    token = make_token(project)
    ApiKey.objects.filter(pk=ApiKey.objects.filter(project=project).latest("pk").pk).update(**fields)
    return token


def suspended(project):
    other = create_project(name="suspended")
    token = make_token(other)
    type(other).objects.filter(pk=other.pk).update(status=ProjectStatus.SUSPENDED)
    return token


YESTERDAY = timezone.now() - dt.timedelta(days=1)
WRONG_KEYS = {
    "no key": (401, lambda project: ""),
    "an unknown key": (401, lambda project: "hh_" + "x" * 24 + "_" + "y" * 64),
    "a revoked key": (401, lambda project: changed_key(project, revoked_at=YESTERDAY)),
    "an expired key": (401, lambda project: changed_key(project, expires_at=YESTERDAY)),
    "a key of a suspended project": (403, suspended),
    "a data plane key": (403, lambda project: make_token(project, kind=KeyKind.DATA_PLANE)),
    "an ingestion key": (403, lambda project: make_token(project, kind=KeyKind.INGESTION)),
    "a key with one other scope": (403, lambda project: make_token(project, scopes=["quotas.write"])),
}
# Where such a key is the right one.
RIGHT = {
    "a data plane key": lambda route: route.pattern.startswith("v1/projects/"),
    "an ingestion key": lambda route: route.name in INGESTION,
    "a key with one other scope": lambda route: route.name == "PATCH api/v1/quotas/<str:resource>",
}


def test_every_writing_route_has_a_body_here():
    known = bodies(nowhere())
    assert {route.name for route in ROUTES if is_write(route)} - set(known) == set()
    assert len({route.name for route in ROUTES}) > 70


@pytest.mark.parametrize("kind", WRONG_KEYS)
def test_wrong_keys_are_refused_by_every_route_and_change_nothing(victim, kind):
    project, ids = victim
    status, make = WRONG_KEYS[kind]
    client = make_client(make(project))
    before = everything()
    faults = []
    for route in ROUTES:
        if RIGHT.get(kind, lambda route: False)(route):
            continue
        answer = send(client, route, ids)
        text = text_of(answer)
        said = json.loads(text)
        code = said.get("errorCode") or said.get("error", {}).get("code")
        if answer.status_code != status or not code or SECRET in text.replace(project.name, ""):
            faults.append(f"{route}: {answer.status_code} {text[:200]}")
    assert faults == []
    assert everything() == before


def test_another_projects_key_finds_nothing_and_changes_nothing(victim):
    project, ids = victim
    attacker = create_project(name="attacker")
    client = make_client(make_token(attacker))
    client.get("/v1/datasets")  # its first use is noted
    before = everything(project)
    faults = []
    for route in ROUTES:
        own = AuditEntry.objects.filter(chain=attacker.public_id).count()
        start = transaction.savepoint()
        answer = send(client, route, ids)
        text = text_of(answer)
        expected = {403, 404}
        if route.name in OWN_NAMESPACE | ANSWERED:
            expected |= {200, 201, 202}
        refused = answer.status_code >= 400
        if (
            answer.status_code not in expected
            or SECRET in text.replace(ids["username"], "")  # what it sent itself may come back
            or (is_write(route) and everything(project) != before)
            or (refused and AuditEntry.objects.filter(chain=attacker.public_id).count() != own)
        ):
            faults.append(f"{route}: {answer.status_code} {text[:200]}")
        if is_write(route):
            transaction.savepoint_rollback(start)
    assert faults == []
    assert everything(project) == before  # all reads together: looking takes longer than they do
