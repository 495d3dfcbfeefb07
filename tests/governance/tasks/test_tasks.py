"""Tasks call their services, are known by the names that schedules and dispatch use, and run in a real worker."""

import os
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from django.db import connection

from governance import dispatch
from governance.models import AuditVerification, VerificationStatus
from governance.services import audit_verification_jobs as jobs
from governance.tasks import audit, sweeps
from hhweb.celery import app
from hhweb.schedules import SCHEDULES
from tests.governance.threads import at_once


def test_every_schedule_names_a_registered_task():
    app.loader.import_default_modules()
    missing = [entry.task for entry in SCHEDULES if entry.task not in app.tasks]
    assert missing == []
    assert {entry.queue for entry in SCHEDULES} == {"sweeps"}
    assert dispatch.VERIFY_AUDIT_CHAIN in app.tasks


@pytest.mark.parametrize(
    "sweep",
    [
        sweeps.sweep_lost_verifications,
        sweeps.sweep_due_verifications,
        sweeps.sweep_event_quotas,
        sweeps.sweep_idempotent_answers,
    ],
)
def test_sweeps_may_run_twice(project, sweep):
    sweep()
    sweep()


def test_the_task_walks_the_chain(caller):
    job = AuditVerification.objects.create(chain=caller.project_public_id)
    audit.verify_audit_chain(job.pk)
    audit.verify_audit_chain(job.pk)
    job.refresh_from_db()
    assert (job.status, job.attempts) == (VerificationStatus.VERIFIED, 1)


@pytest.fixture
def worker(server_folder):
    """A real Celery worker on the test's database and broker."""
    environment = dict(os.environ)
    if connection.vendor == "postgresql":
        address = urlsplit(environment["HHWEB_DATABASE_URL"])
        environment["HHWEB_DATABASE_URL"] = address._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    else:
        environment["HHWEB_DATABASE_URL"] = f"sqlite:///{connection.settings_dict['NAME']}"
    command = [sys.executable, "-m", "celery", "-A", "hhweb.jobs", "worker", "--pool", "solo", "-Q", "jobs,sweeps"]
    with (server_folder / "worker.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        yield process
        process.terminate()
        process.wait(20)


def wait_until_finished(job_id: int) -> AuditVerification:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        job = AuditVerification.objects.get(pk=job_id)
        if job.finished_at is not None:
            return job
        time.sleep(0.1)
    raise AssertionError(f"verification {job_id} is still {job.status} after 30 s")


@pytest.mark.process
@pytest.mark.django_db(transaction=True)
def test_a_worker_finishes_what_was_requested_from_a_web_thread_and_what_a_dead_worker_left(caller, worker):
    # From a thread, as web servers do: Celery keeps the current application by thread.
    (requested,) = at_once(1, lambda _: jobs.request_verification(caller=caller).pk)
    assert wait_until_finished(requested).status == VerificationStatus.VERIFIED

    left = AuditVerification.objects.create(chain=caller.project_public_id)
    assert jobs.claim(job_id=left.pk) is not None
    AuditVerification.objects.filter(pk=left.pk).update(leased_until=jobs.from_now(-jobs.LEASE))
    assert jobs.send_lost_verifications() == 1
    done = wait_until_finished(left.pk)
    assert (done.status, done.attempts, done.checked_through) == (VerificationStatus.VERIFIED, 2, 2)
