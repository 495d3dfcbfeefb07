"""Malformed bodies at every writing route: 400 (or another 4xx) that says what is wrong, never 500, nothing stored.

Every field meets five of ten wrong values, drawn with a seed; `HHWEB_PROOF=1` asks for all ten.
"""

import itertools
import json
import os
import random

import pytest
from django.db import connection, transaction
from django.utils import timezone

from embeddings_ab.models import Corpus, JudgingPool, Label, QuerySet, Tuning, UploadedRun
from embeddings_ab.services.judging import create_pool
from experiments.domain.wire_datasets import DatapointContent
from experiments.models import (
    Configuration,
    ConfigurationVersion,
    Datapoint,
    Dataset,
    Event,
    Experiment,
    ExperimentSchedule,
    Measurement,
    Metric,
    MetricVersion,
    Run,
)
from experiments.services.datasets import add_rows, create_dataset
from governance.models import ApiKey, AuditEntry
from governance.services.providers import create_rule
from tests.embeddings_ab.factories import make_corpus, make_query_set, make_run
from tests.embeddings_ab.finished import make_finished_test
from tests.experiments.executed import make_experiment, make_schedule
from tests.factories import make_client, make_token
from tests.project.routes import address, all_routes, bodies, is_write, nowhere
from tests.proofs import report

ROUTES = [route for route in all_routes() if is_write(route)]
# Aliases share the code of their twins.
WITH_BODY = [route for route in ROUTES if bodies(nowhere())[route.name] and route.pattern == route.canonical]

NOT_JSON = {
    "no JSON": b"{",
    "NaN": b'{"a": NaN}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "broken UTF-8": b'{"a": "\xff"}',
    "an endless number": b'{"a": 1e999}',
    "2,000 levels": b"[" * 2000 + b"]" * 2000,
    "100 levels": b'{"deep": ' + b"[" * 100 + b"]" * 100 + b"}",
}
WRONG_JSON = {"a list": b"[]", "a text": b'"x"', "a number": b"7", "null": b"null", "true": b"true"}
WRONG_VALUES = ["\x00", "x" * 3000, -1, 10**18, 1e308, True, [[]], {"$gt": ""}, ["\x00"], [{}]]
EACH_FIELD_MEETS = len(WRONG_VALUES) if os.environ.get("HHWEB_PROOF") == "1" else 5
# The OTLP decoder has its own words and its own tests; here it must only never fail.
OTLP = {"POST opentelemetry/v1/traces", "POST v1/traces"}


@pytest.fixture
def ids(project, caller):
    """Ids of things that exist, so that a body is read as far as it can be."""
    dataset = create_dataset(caller=caller, name="d")
    (datapoint_id,) = add_rows(caller=caller, dataset_id=dataset.public_id, contents=[DatapointContent()])
    found = nowhere()
    Event.objects.create(
        project=project,
        event_key=found["event_id"],
        session_key=found["event_id"],
        event_type="session",
        event_name="e",
        source="s",
        start_time=1.0,
        end_time=2.0,
        duration=1.0,
    )
    run = Run.objects.create(project=project, run_key=found["run_id"])
    make_experiment(project, run=run)
    schedule = make_schedule(project)
    create_rule(caller=caller, effect="allow", provider="http")
    metric = Metric.objects.create(project=project, name="m", type="PYTHON", criteria="c")
    MetricVersion.objects.create(metric=metric, name="v0", full_sha="0", content={}, deployed=True)
    configuration = Configuration.objects.create(project=project, name="c", provider="openai", parameters={})
    ConfigurationVersion.objects.create(configuration=configuration, number=1, provider="openai", parameters={})
    corpus = make_corpus(caller)
    query_set = make_query_set(caller, corpus)
    ab_test = make_finished_test(caller)
    pool = create_pool(caller=caller, test_id=ab_test.public_id, name="pool", only_unjudged=False)
    token = make_token(project)
    # Noted now, not once more by each request that is undone.
    ApiKey.objects.filter(project=project).update(last_used_at=timezone.now())
    return {
        **found,
        "test_id": ab_test.public_id,
        "pool_id": pool.public_id,
        "corpus_id": corpus.public_id,
        "query_set_id": query_set.public_id,
        "uploaded_run_id": make_run(caller, query_set).public_id,
        "token": token,
        "dataset_id": dataset.public_id,
        "datapoint_id": datapoint_id,
        "configuration_id": configuration.public_id,
        "schedule_id": schedule.public_id,
        "metric_id": metric.public_id,
        "project_id": project.public_id,
        "key_id": ApiKey.objects.filter(project=project).latest("pk").public_id,
    }


def row_counts():
    kinds = (AuditEntry, Event, Measurement, Run, Dataset, Datapoint, Metric, Corpus, QuerySet, UploadedRun)
    kinds += (JudgingPool, Label, Tuning, Experiment, ExperimentSchedule, Configuration, ConfigurationVersion)
    with connection.cursor() as cursor:  # one statement: this is asked after each of thousands of refusals
        cursor.execute("SELECT " + ", ".join(f"(SELECT COUNT(*) FROM {kind._meta.db_table})" for kind in kinds))
        return cursor.fetchone()


def undo(savepoint):
    """Roll back and release: thousands of savepoints that stay open slow down every statement."""
    transaction.savepoint_rollback(savepoint)
    transaction.savepoint_commit(savepoint)


def send(client, route, ids, content, before):
    """Status and decoded error of one request, undone afterwards."""
    start = transaction.savepoint()
    answer = client.generic(route.method, address(route, ids), data=content, content_type="application/json")
    text = (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode()
    changed = (answer.status_code >= 400 or content in NOT_JSON.values()) and row_counts() != before
    undo(start)
    assert answer.status_code != 429, "a quota would hide what the route says"
    said = json.loads(text)
    error = said.get("error", said) if isinstance(said, dict) else {}
    return answer.status_code, error if isinstance(error, dict) else {}, changed, text[:300]


def test_what_is_no_json_is_refused_by_name(ids):
    client, before = make_client(ids["token"]), row_counts()
    client.raise_request_exception = False  # a 500 is a fault of its route, not the end of the test
    faults = []
    for route, (name, content) in itertools.product(WITH_BODY, {**NOT_JSON, **WRONG_JSON}.items()):
        status, error, changed, text = send(client, route, ids, content, before)
        names_field = route.name in OTLP or "field" in error.get("details", {})
        wrong = status != 400 or not names_field
        if changed or (wrong and not _may_be_ignored(route, name, status)):
            faults.append(f"{route} {name}: {status} changed={changed} {text}")
    assert faults == []


def _may_be_ignored(route, name, status):
    """Where no field is needed, what stands under unknown keys is not looked at: OTLP asks for that."""
    if route.name in OTLP:
        return status == 200 and name in ("a lone surrogate", "100 levels")
    return route.name == "POST api/v1/audit/verifications" and status < 500


def test_wrong_field_values_never_fail_inside(ids):
    """Each field of a good body, replaced by wrong values: refused with its reason, or good enough to store."""
    client, before = make_client(ids["token"]), row_counts()
    client.raise_request_exception = False
    faults, sent = [], 0
    good = bodies(ids)
    for route, (path, body) in (
        (each, variant) for each in WITH_BODY for variant in variants(good[each.name], random.Random(each.name))
    ):
        status, error, changed, text = send(client, route, ids, json.dumps(body).encode(), before)
        sent += 1
        if status >= 500 or (status >= 400 and changed) or (status == 400 and "field" not in error.get("details", {})):
            if route.name in OTLP and status == 400:
                continue
            faults.append(f"{route} {path}: {status} changed={changed} {text}")
    if len(WRONG_VALUES) == EACH_FIELD_MEETS:
        report(
            "wrong values in the fields of every writing route", routes=len(WITH_BODY), sent=sent, faults=len(faults)
        )
    assert faults == []


def variants(body, chance, path=()):
    """(what was replaced, body) for every field of a body, nested ones included."""
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        for number in sorted(chance.sample(range(len(WRONG_VALUES)), EACH_FIELD_MEETS)):
            yield (*path, key, f"value {number}"), replaced(body, key, WRONG_VALUES[number])
        for inner_path, inner in variants(value, chance, (*path, key)):
            yield inner_path, replaced(body, key, inner)


def replaced(body, key, value):
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[key] = value
    return copy


STRANGE = ("%00", "%ED%A0%80", "..", "%27%22%3B--", "x" * 3000, "%F0%9F%92%A9")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_strange_ids_in_the_address_are_not_found_or_refused(api, method):
    faults = []
    for route, strange in itertools.product(all_routes(), STRANGE):
        if route.method != method or "<" not in route.pattern or route.pattern != route.canonical:
            continue
        ids = dict.fromkeys(nowhere(), strange)
        body = bodies(ids).get(route.name) if is_write(route) else None
        start = transaction.savepoint()
        answer = api.generic(
            route.method,
            address(route, ids),
            data=json.dumps(body) if body is not None else "",
            content_type="application/json",
        )
        undo(start)
        if answer.status_code >= 500:
            faults.append(f"{route} {strange[:20]}: {answer.content[:200]!r}")
    assert faults == []
