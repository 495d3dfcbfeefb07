"""The telemetry endpoint in one process; tests/hhweb/test_up.py shows the figures of several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from experiments.telemetry import INGESTED_EVENTS, INGESTED_SPANS, RESULT_READS
from governance.models import AuditVerification
from governance.telemetry import REFUSED_CALLS

TOKEN = {"authorization": "Bearer token-of-the-tests-telemetry"}


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic x"}])
def test_without_the_token_nothing_is_shown(headers):
    response = Client(headers=headers).get("/internal/prometheus")
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthenticated"
    assert b"hhweb_jobs" not in response.content


def test_without_a_configured_token_nobody_may_read(settings):
    settings.TELEMETRY_TOKEN = ""
    assert Client(headers={"authorization": "Bearer "}).get("/internal/prometheus").status_code == 401


@pytest.mark.django_db
def test_counters_queues_and_jobs_are_shown(django_assert_num_queries):
    AuditVerification.objects.create(chain="installation")
    with redis.Redis.from_url(os.environ["HHWEB_REDIS_URL"]) as broker:
        broker.rpush("jobs", "one", "two")
    before = INGESTED_SPANS.labels("protobuf")._value.get()
    INGESTED_SPANS.labels("protobuf").inc(512)
    with django_assert_num_queries(14):  # two for each of the seven kinds of jobs
        response = Client(headers=TOKEN).get("/internal/prometheus")
    found = samples(response.content.decode())
    assert response["Content-Type"].startswith("text/plain")
    assert found["hhweb_ingested_spans_total", (("encoding", "protobuf"),)] == before + 512
    assert found["hhweb_queue_depth", (("queue", "jobs"),)] == 2
    assert found["hhweb_queue_depth", (("queue", "sweeps"),)] == 0
    assert found["hhweb_jobs", (("kind", "audit_verification"), ("state", "pending"))] == 1
    assert found["hhweb_jobs", (("kind", "audit_verification"), ("state", "running"))] == 0
    assert 0 <= found["hhweb_oldest_waiting_job_seconds", (("kind", "audit_verification"),)] < 60
    assert found["hhweb_jobs", (("kind", "experiment"), ("state", "queued"))] == 0
    assert found["hhweb_jobs", (("kind", "datapoint_run"), ("state", "pending"))] == 0
    assert found["hhweb_scrape_failures", (("source", "redis"),)] == 0


@pytest.mark.django_db
def test_lost_broker_leaves_the_rest_visible(settings):
    settings.REDIS_URL = "unix:///no/such/redis.sock"
    found = samples(Client(headers=TOKEN).get("/internal/prometheus").content.decode())
    assert found["hhweb_scrape_failures", (("source", "redis"),)] == 1
    assert found["hhweb_scrape_failures", (("source", "database"),)] == 0
    assert ("hhweb_queue_depth", (("queue", "jobs"),)) not in found
    assert found["hhweb_jobs", (("kind", "audit_verification"), ("state", "pending"))] == 0


@pytest.mark.django_db
def test_processes_add_up_and_outlive_themselves(settings, tmp_path):
    code = "import prometheus_client; prometheus_client.Counter('hhweb_try', 'A try.').inc(2)"
    for _ in range(3):
        env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
        subprocess.run([sys.executable, "-c", code], env=env, check=True)
    settings.TELEMETRY_DIR = tmp_path
    found = samples(Client(headers=TOKEN).get("/internal/prometheus").content.decode())
    assert found["hhweb_try_total", ()] == 6
    assert found["hhweb_queue_depth", (("queue", "jobs"),)] == 0


@pytest.mark.django_db
def test_refused_calls_are_counted_by_code_and_bad_input_is_not(api):
    refused = REFUSED_CALLS.labels("unauthenticated")._value.get()
    assert Client(headers={"authorization": "Bearer wrong"}).get("/v1/runs").status_code == 401
    assert Client(headers={"authorization": "Bearer wrong"}).get("/api/v1/runs").status_code == 401
    assert api.post("/v1/runs", data="{", content_type="application/json").status_code == 400
    assert REFUSED_CALLS.labels("unauthenticated")._value.get() == refused + 2
    assert REFUSED_CALLS.labels("invalid_input")._value.get() == 0


@pytest.mark.django_db
def test_events_and_result_reads_are_counted(api):
    events, computed = INGESTED_EVENTS._value.get(), RESULT_READS.labels("computed")._value.get()
    run = {"run": {"name": "counted", "run_id": "7d444840-9dc0-11d1-b245-5ffdce74fad2"}}
    event = {"event_type": "tool", "event_name": "x", "source": "test", "inputs": {}, "project": "p"}
    assert api.post("/events", data={"event": event}, content_type="application/json").status_code == 200
    assert INGESTED_EVENTS._value.get() == events + 1
    created = api.post("/v1/runs", data=run["run"], content_type="application/json")
    assert created.status_code == 200, created.content
    assert api.get(f"/v1/runs/{created.json()['run_id']}/result").status_code == 200
    assert RESULT_READS.labels("computed")._value.get() == computed + 1
