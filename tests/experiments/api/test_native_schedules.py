"""`/api/v1/experiment-schedules…`: creates once, changes, switches, starts, pages, constant queries."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask

from experiments.domain.wire_datasets import DatapointContent
from experiments.models import Experiment, ExperimentSchedule
from experiments.services.datasets import add_rows, create_dataset
from governance.services import providers
from tests.factories import make_client, make_project, make_token

pytestmark = pytest.mark.django_db
PATH = "/api/v1/experiment-schedules"


@pytest.fixture(autouse=True)
def ready(settings, monkeypatch, caller) -> None:
    """A callable that may be called, and no broker."""
    settings.CALLABLES = ["shout=tests.experiments.adapters.registered:shout"]
    monkeypatch.setattr("governance.dispatch._send", lambda *args, **options: None)
    providers.create_rule(caller=caller, effect="allow", provider="callable")


@pytest.fixture
def spec(caller):
    dataset = create_dataset(caller=caller, name="cases")
    add_rows(caller=caller, dataset_id=dataset.public_id, contents=[DatapointContent(inputs={"q": "why?"})])
    return {"name": "run", "dataset_id": dataset.public_id, "target": {"kind": "callable", "name": "shout"}}


def send(api, method, path, body=None, key=None):
    headers = {"Idempotency-Key": key} if key else {}
    return getattr(api, method)(f"{PATH}{path}", body or {}, content_type="application/json", headers=headers)


def make(api, spec, name="nightly", **fields):
    answer = send(api, "post", "", {"name": name, "crontab": "0 2 * * *", "spec": spec, **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_create_answers_201_with_all_that_it_will_do(api, spec) -> None:
    body = {"name": "nightly", "crontab": " 0 2 * * * ", "timezone": "Europe/Vienna", "spec": spec}
    answer = send(api, "post", "", {**body, "baseline": {"kind": "latest_with_tag", "tag": "release"}})

    shown = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == f"{PATH}/{shown['id']}"
    assert api.get(answer["Location"]).json() == shown
    assert shown["rhythm"] == "Every day at 02:00 Europe/Vienna"
    assert shown["baseline"] == {"kind": "latest_with_tag", "tag": "release"}
    assert (shown["is_enabled"], shown["is_switched_off_by_operator"], shown["last_error"]) == (True, False, "")
    assert (shown["last_started_at"], shown["last_run_id"]) == (None, None)
    assert shown["next_due_at"]
    assert shown["spec"]["dataset_id"] == spec["dataset_id"]
    assert shown["spec"]["retry"]["max_attempts"] == 3  # defaults are written out


def test_a_repeated_create_and_a_repeated_start_return_the_first_answer(api, spec) -> None:
    body = {"name": "nightly", "crontab": "0 2 * * *", "spec": spec}
    first, again = send(api, "post", "", body, "k"), send(api, "post", "", body, "k")
    assert (first.json(), again.status_code, again["Idempotency-Replayed"]) == (again.json(), 201, "true")
    path = f"/{first.json()['id']}/start"
    started, repeated = send(api, "post", path, key="s"), send(api, "post", path, key="s")
    assert (started.status_code, repeated.status_code, repeated["Idempotency-Replayed"]) == (202, 202, "true")
    assert started.json() == repeated.json()
    assert ExperimentSchedule.objects.count() == Experiment.objects.count() == 1


def test_a_start_answers_with_the_experiment_and_its_address(api, spec) -> None:
    schedule = make(api, spec)

    answer = send(api, "post", f"/{schedule['id']}/start")

    shown = answer.json()
    assert (answer.status_code, shown["status"], shown["schedule_id"]) == (202, "queued", schedule["id"])
    assert api.get(answer["Location"]).json()["run_id"] == shown["run_id"]
    after = api.get(f"{PATH}/{schedule['id']}").json()
    assert (after["last_run_id"], after["next_due_at"]) == (shown["run_id"], schedule["next_due_at"])
    assert send(api, "post", f"/{schedule['id']}/start", {"at": "once"}).status_code == 400


def test_a_patch_changes_what_it_names_and_a_delete_leaves_what_was_started(api, spec) -> None:
    schedule = make(api, spec)
    send(api, "post", f"/{schedule['id']}/start")

    changed = send(api, "patch", f"/{schedule['id']}", {"crontab": "15 3 * * *", "is_enabled": False})
    assert changed.status_code == 200
    shown = changed.json()
    assert (shown["crontab"], shown["is_enabled"], shown["next_due_at"]) == ("15 3 * * *", False, None)
    assert (shown["name"], shown["spec"]) == (schedule["name"], schedule["spec"])
    assert shown["is_switched_off_by_operator"] is False  # its own switch took the row along
    on = send(api, "patch", f"/{schedule['id']}", {"is_enabled": True}).json()
    assert "T03:15:00" in on["next_due_at"]
    new = {**spec, "name": "other run"}
    assert send(api, "patch", f"/{schedule['id']}", {"spec": new}).json()["spec"]["name"] == "other run"

    assert send(api, "delete", f"/{schedule['id']}").status_code == 204
    assert api.get(f"{PATH}/{schedule['id']}").status_code == 404
    assert Experiment.objects.get().schedule is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"crontab": "0 2 * *"}, "crontab"),
        ({"crontab": 7}, "crontab"),
        ({"crontab": None}, "crontab"),
        ({"timezone": "Nowhere"}, "timezone"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"is_enabled": "often"}, "is_enabled"),
        ({"baseline": {"kind": "worst"}}, "baseline.kind"),
        ({"baseline": {"kind": "run", "run_id": "nobody"}}, "baseline.run_id"),
        ({"spec": {"name": "x"}}, "spec.dataset_id"),
        ({"spec": []}, "spec"),
        ({"cron": "0 2 * * *"}, "cron"),
    ],
)
def test_bad_fields_are_refused_by_their_path_at_create_and_change(api, spec, body, field) -> None:
    schedule = make(api, spec)
    whole = {"name": "second", "crontab": "0 2 * * *", "spec": spec, **body}
    for answer in (send(api, "post", "", whole), send(api, "patch", f"/{schedule['id']}", body)):
        assert answer.status_code == 400, answer.content
        assert answer.json()["error"]["details"]["field"] == field
    assert ExperimentSchedule.objects.count() == PeriodicTask.objects.filter(name__startswith="experiment").count() == 1


def test_an_operators_switch_in_beats_table_is_shown(api, spec) -> None:
    schedule = make(api, spec)
    PeriodicTask.objects.filter(name=f"experiment schedule {schedule['id']}").update(enabled=False)
    shown = api.get(f"{PATH}/{schedule['id']}").json()
    assert (shown["is_enabled"], shown["is_switched_off_by_operator"]) == (True, True)
    again = send(api, "patch", f"/{schedule['id']}", {"is_enabled": True}).json()
    assert (again["is_enabled"], again["is_switched_off_by_operator"]) == (True, False)


def test_a_taken_name_is_a_conflict_that_leaves_its_key_free(api, spec) -> None:
    make(api, spec)
    body = {"name": "nightly", "crontab": "0 2 * * *", "spec": spec}
    assert send(api, "post", "", body, "k").status_code == 409
    assert send(api, "post", "", {**body, "name": "second"}, "k").status_code == 201


def test_schedules_are_listed_by_name_in_pages_and_by_filters(api, spec) -> None:
    for name in ("b", "a2", "a1"):
        make(api, spec, name=name, is_enabled=name != "b")
    assert [each["name"] for each in api.get(PATH, {"limit": 2}).json()["results"]] == ["a1", "a2"]
    assert [each["name"] for each in api.get(PATH, {"name_prefix": "a"}).json()["results"]] == ["a1", "a2"]
    assert [each["name"] for each in api.get(PATH, {"is_enabled": "false"}).json()["results"]] == ["b"]
    assert "spec" not in api.get(PATH).json()["results"][0]
    assert api.get(PATH, {"enabled": "false"}).status_code == 400


def test_the_list_takes_as_many_queries_for_thirty_as_for_one(api, spec) -> None:
    counts = []
    for numbers in (range(1), range(1, 31)):
        for number in numbers:
            schedule = make(api, spec, name=f"n{number}")
        send(api, "post", f"/{schedule['id']}/start")
        with CaptureQueriesContext(connection) as queries:
            assert api.get(PATH).status_code == 200
        counts.append(len(queries))
    assert counts == [3, 3]


def test_others_see_and_touch_nothing_and_readers_only_read(api, project, spec) -> None:
    schedule = make(api, spec)
    stranger = make_client(make_token(make_project()))
    reader = make_client(make_token(project, scopes=["runs.read"]))
    own = f"/{schedule['id']}"
    assert stranger.get(PATH).json()["results"] == []
    assert reader.get(PATH + own).status_code == 200
    assert stranger.get(PATH + own).status_code == 404
    for method, path in (("patch", own), ("delete", own), ("post", f"{own}/start")):
        assert send(stranger, method, path).status_code == 404
        assert send(reader, method, path).status_code == 403
    assert ExperimentSchedule.objects.count() == 1
