"""Schedules in the console: the form, the switch, starting now, deleting, and what they say of themselves."""

import datetime as dt
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from experiments.models import Experiment, ExperimentSchedule
from governance.models import AuditEntry
from tests.console.experiment_seed import SeededExperiments
from tests.console.test_experiment_forms import form_of, summary_of
from tests.console.test_experiment_forms import ready as ready
from tests.console.test_experiment_pages import client as client
from tests.console.test_experiment_pages import made as made
from tests.console.test_experiment_pages import state, text_of

pytestmark = pytest.mark.django_db
HOME = "/console/schedules/"


def schedule_form(made: SeededExperiments, **changes: str) -> dict[str, str]:
    own = {"s-name": "every night", "s-crontab": "0 3 * * *", "s-timezone": "UTC", "s-baseline_kind": "previous"}
    return form_of(made, do="save", **{**own, **changes})


def test_a_schedule_is_created_changed_and_deleted(ready: SeededExperiments, client: Client) -> None:
    page = client.post(f"{HOME}new/", schedule_form(ready), follow=True).content.decode()
    assert "Schedule created: every night." in page
    schedule = ExperimentSchedule.objects.get(name="every night")
    assert (schedule.crontab, schedule.baseline, schedule.is_enabled) == ("0 3 * * *", {"kind": "previous"}, True)
    assert schedule.spec["repetitions"] == 3
    assert schedule.spec["target"]["url"] == "https://93.184.215.14/answer"
    assert "Every day at 03:00" in text_of(page)
    assert "the run before it" in text_of(page)

    change = f"{HOME}{schedule.public_id}/change/"
    shown = client.get(change).content.decode()
    assert 'name="s-crontab" value="0 3 * * *"' in shown
    assert 'value="https://93.184.215.14/answer"' in shown
    changed = schedule_form(
        ready, **{"s-crontab": "30 4 * * 1", "s-baseline_kind": "latest_with_tag", "s-baseline_tag": "release"}
    )
    assert "Schedule changed: every night." in client.post(change, changed, follow=True).content.decode()
    schedule.refresh_from_db()
    assert (schedule.crontab, schedule.baseline) == ("30 4 * * 1", {"kind": "latest_with_tag", "tag": "release"})

    asked = text_of(client.get(f"{HOME}{schedule.public_id}/delete/").content.decode())
    assert "Delete schedule every night?" in asked
    told = client.post(f"{HOME}{schedule.public_id}/delete/", follow=True).content.decode()
    assert "Schedule deleted: every night. Its runs are kept." in told
    assert not ExperimentSchedule.objects.filter(name="every night").exists()
    verbs = AuditEntry.objects.filter(target_label="every night").order_by("pk").values_list("action", flat=True)
    assert [verb.rpartition(".")[2] for verb in verbs] == ["create", "update", "delete"]


def test_a_form_of_a_schedule_says_what_is_wrong(ready: SeededExperiments, client: Client) -> None:
    wrong = [
        ({"s-name": ""}, "s-name", "1 to 200"),
        ({"s-name": "weekly"}, "s-name", "exists already"),
        ({"s-crontab": "every night"}, "s-crontab", "crontab"),
        ({"s-crontab": "0 25 * * *"}, "s-crontab", "25"),
        ({"s-timezone": "Mars/Base"}, "s-timezone", "Mars"),
        ({"s-baseline_kind": "run", "s-baseline_run": "nothing"}, "s-baseline_run", "does not exist"),
        ({"s-baseline_kind": "latest_with_tag"}, "s-baseline_tag", "tag"),
        ({"http_url": "ftp://x"}, "http_url", "http"),
        ({"http_headers": '{"a": {"secret": "gone"}}'}, "http_headers", "gone"),
        ({"repetitions": "0"}, "repetitions", "at least 1"),
    ]
    before = state()
    for change, field, words in wrong:
        answer = client.post(f"{HOME}new/", schedule_form(ready, **change))
        page = unescape(answer.content.decode())
        assert answer.status_code in (400, 404, 409), change
        assert f'<a href="#n-{field}">' in page, (change, summary_of(page))
        assert words in page.split(f'id="n-{field}_error"')[1].split("</div>")[0], change
        assert 'value="https://93.184.215.14/answer"' in page or "ftp://x" in page
    assert state() == before


def test_rows_can_be_added_before_a_schedule_is_saved(ready: SeededExperiments, client: Client) -> None:
    page = client.post(f"{HOME}new/", {**schedule_form(ready), "do": "row"}).content.decode()
    assert 'name="e-TOTAL_FORMS" value="3"' in page
    assert 'value="every night"' in page
    assert not ExperimentSchedule.objects.filter(name="every night").exists()


def test_the_switch_says_what_it_does_and_two_clicks_do_not_undo_each_other(
    made: SeededExperiments, client: Client
) -> None:
    nightly, weekly = made.schedules
    assert client.get(f"{HOME}{nightly.public_id}/switch/").status_code == 405
    for _ in range(2):
        told = client.post(f"{HOME}{nightly.public_id}/switch/", {"to": "off"}, follow=True).content.decode()
        assert "Schedule switched off: nightly against the release." in told
        nightly.refresh_from_db()
        assert (nightly.is_enabled, nightly.next_due_at) == (False, None)
    told = client.post(f"{HOME}{weekly.public_id}/switch/", {"to": "on"}, follow=True).content.decode()
    assert "Schedule switched on: weekly." in told
    weekly.refresh_from_db()
    assert weekly.is_enabled
    assert weekly.next_due_at is not None


def test_the_list_tells_state_rhythm_and_the_last_run(made: SeededExperiments, client: Client) -> None:
    page = client.get(HOME).content.decode()
    shown = text_of(page)
    last = made.by_status["completed"]
    assert "nightly against the release" in shown
    assert "02:00 Europe/Vienna" in shown
    assert f"/console/runs/{last.run.public_id}/" in page
    baseline = made.seeded.runs[0].run_key
    assert f"?baseline={baseline}&amp;candidate={last.run.public_id}" in page
    assert "weekly" in shown
    assert "off" in shown


def test_a_schedule_says_what_holds_it_up(made: SeededExperiments, client: Client) -> None:
    nightly, weekly = made.schedules
    shown = text_of(client.get(f"{HOME}{weekly.public_id}/").content.decode())
    assert "The last start failed: Field" in shown
    assert "Switched off." in shown
    past = timezone.now() - dt.timedelta(minutes=10)
    ExperimentSchedule.objects.filter(pk=nightly.pk).update(next_due_at=past)
    shown = text_of(client.get(f"{HOME}{nightly.public_id}/").content.decode())
    assert "It was due 10 min ago and has not started." in shown
    client.post(f"{HOME}{nightly.public_id}/switch/", {"to": "off"})
    client.post(f"{HOME}{nightly.public_id}/switch/", {"to": "on"})
    PeriodicTask.objects.filter(name__contains=nightly.public_id).update(enabled=False)
    assert "Switched off." in text_of(client.get(f"{HOME}{nightly.public_id}/").content.decode())


def test_one_is_started_now_beside_the_rhythm(ready: SeededExperiments, client: Client) -> None:
    client.post(f"{HOME}new/", schedule_form(ready))
    schedule = ExperimentSchedule.objects.get(name="every night")
    start = f"{HOME}{schedule.public_id}/start/"
    asked = text_of(client.get(start).content.decode())
    assert "each datapoint is called 3 times, with up to 3 attempts each." in asked
    answer = client.post(start)
    made_now = Experiment.objects.latest("pk")
    assert answer["Location"] == f"/console/runs/{made_now.run.public_id}/"
    assert (made_now.schedule_id, made_now.datapoint_runs_count) == (schedule.pk, 33)
    due = schedule.next_due_at
    schedule.refresh_from_db()
    assert schedule.next_due_at == due
    assert f">{schedule.name}</a>" in client.get(answer["Location"]).content.decode()


def test_the_overview_names_what_stopped(made: SeededExperiments, client: Client) -> None:
    paused = made.by_status["paused"]
    Experiment.objects.filter(pk=paused.pk).update(error_code="quota_exceeded", error_message="The quota is used up.")
    ExperimentSchedule.objects.filter(pk=made.schedules[0].pk).update(last_error="The dataset holds nothing.")
    page = client.get("/console/").content.decode()
    assert "Run server paused is paused: The quota is used up." in text_of(page)
    assert f"/console/runs/{paused.run.public_id}/" in page
    assert "Schedule nightly against the release could not start: The dataset holds nothing." in text_of(page)
    assert (
        "Paused: 3 of 11 datapoints done. The quota is used up."
        in client.get(f"/console/runs/{paused.run.public_id}/").content.decode()
    )
