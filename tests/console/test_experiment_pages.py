"""Pages of runs that the server executes, of dataset versions and configurations: status, rights, words, queries."""

import datetime as dt
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from experiments.domain.experiment_status import ExperimentStatus
from experiments.models import Configuration, DatapointRun, DatasetVersion, Experiment, ExperimentSchedule, Lane, Run
from governance.domain.actions import Role
from governance.models import AuditEntry
from governance.services.projects import create_project
from tests.console.experiment_seed import SeededExperiments, make_executions, make_experiment, seed_experiments
from tests.console.seed import seed
from tests.console.test_pages import member, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def made() -> SeededExperiments:
    return seed_experiments(seed(size=12))


@pytest.fixture
def client(made: SeededExperiments) -> Client:
    return signed_in(made.seeded.admin)


def run_url(made: SeededExperiments, status: str, rest: str = "") -> str:
    return f"/console/runs/{made.by_status[status].run.public_id}/{rest}"


def pages_of(made: SeededExperiments) -> dict[str, str]:
    versions = f"/console/datasets/{made.seeded.dataset.public_id}/versions"
    configuration = f"/console/configurations/{made.configuration.public_id}/"
    return {
        **{f"run {status.value}": run_url(made, status.value) for status in ExperimentStatus},
        "run live": run_url(made, "running", "live/"),
        "executions": run_url(made, "running", "executions/"),
        "executions of a cause": run_url(made, "running", "executions/?tab=failed&cause=server_error"),
        "versions": f"{versions}/",
        "version": f"{versions}/2/",
        "version diff": f"{versions}/diff/",
        "version diff removed": f"{versions}/diff/?old=1&new=2&kind=removed",
        "schedules": "/console/schedules/",
        "schedule": f"/console/schedules/{made.schedules[0].public_id}/",
        "schedule switched off": f"/console/schedules/{made.schedules[1].public_id}/",
        "configurations": "/console/configurations/?name=support",
        "configuration": configuration,
        "configuration diff": f"{configuration}?version=2&old=1",
    }


def writing_pages_of(made: SeededExperiments) -> dict[str, str]:
    return {
        "new experiment": "/console/runs/new/",
        "new experiment from a run": f"/console/runs/new/?from={made.by_status['completed'].run.public_id}",
        "cancel": run_url(made, "running", "cancel/"),
        "pause": run_url(made, "running", "pause/"),
        "resume": run_url(made, "paused", "resume/"),
        "retry": run_url(made, "completed", "retry/"),
        "rerun": run_url(made, "completed", "rerun/"),
        "new schedule": "/console/schedules/new/",
        "change schedule": f"/console/schedules/{made.schedules[0].public_id}/change/",
        "start schedule": f"/console/schedules/{made.schedules[0].public_id}/start/",
        "delete schedule": f"/console/schedules/{made.schedules[0].public_id}/delete/",
        "new configuration": "/console/configurations/new/",
        "change configuration": f"/console/configurations/{made.configuration.public_id}/change/",
        "delete configuration": f"/console/configurations/{made.configuration.public_id}/delete/",
    }


OWN = {
    "configurations",
    "schedules",
    "new schedule",
    "new experiment",
    "new configuration",
}  # pages without an object of a project


def state() -> tuple[object, ...]:
    return (
        list(Run.objects.order_by("pk").values_list("pk", "status")),
        list(Experiment.objects.order_by("pk").values_list("pk", "status")),
        list(DatapointRun.objects.order_by("pk").values_list("pk", "status", "attempts")),
        list(ExperimentSchedule.objects.order_by("pk").values_list("pk", "is_enabled", "next_due_at")),
        list(Configuration.objects.order_by("pk").values_list("pk", "version", "name")),
        DatasetVersion.objects.count(),
        AuditEntry.objects.count(),
    )


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.split('<main id="hh-main"')[-1]).split())


def test_owner_opens_every_page_and_reading_changes_nothing(made: SeededExperiments, client: Client) -> None:
    before = state()
    for name, url in {**pages_of(made), **writing_pages_of(made)}.items():
        answer = client.get(url)
        page = answer.content.decode()
        assert answer.status_code == 200, name
        assert "style=" not in page.split('<main id="hh-main"')[-1].split("</main>")[0], name
        assert len(page) < 120_000, name
    assert state() == before


def test_nobody_else_sees_them(made: SeededExperiments) -> None:
    other = User.objects.create_user("other", is_staff=True)
    create_project(name="another project", owner=other)
    stranger = signed_in(other)
    before = state()
    for name, url in {**pages_of(made), **writing_pages_of(made)}.items():
        assert Client().get(url).status_code == 302, name
        assert stranger.get(url).status_code == (200 if name in OWN else 404), name
        if name in writing_pages_of(made) and "new" not in name:
            assert stranger.post(url).status_code == 404, name
    pin = f"/console/datasets/{made.seeded.dataset.public_id}/versions/pin/"
    assert stranger.post(pin).status_code == 404
    assert stranger.post(f"/console/schedules/{made.schedules[0].public_id}/switch/").status_code == 404
    assert state() == before


def test_viewers_read_and_find_nothing_to_press(made: SeededExperiments) -> None:
    client, before = member(made.seeded, Role.VIEWER), state()
    for name, url in pages_of(made).items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        body = answer.content.decode().split('<main id="hh-main"')[-1]
        assert not re.search(
            r">(Cancel|Pause|Resume) run<|>Re-run|>Retry|>Start now|>Switch o|>New |>Change |>Delete |>Pin ", body
        ), name
    for name, url in writing_pages_of(made).items():
        assert client.get(url).status_code == 403, name
        assert client.post(url).status_code == 403, name
    assert client.post(f"/console/datasets/{made.seeded.dataset.public_id}/versions/pin/").status_code == 403
    assert client.post(f"/console/schedules/{made.schedules[0].public_id}/switch/").status_code == 403
    assert "New experiment" not in client.get("/console/runs/").content.decode()
    assert state() == before


@pytest.mark.parametrize(
    ("status", "words", "buttons"),
    [
        ("queued", "Queued. It starts as soon as a worker is free.", {"Cancel run"}),
        ("preparing", "Preparing 11 datapoints.", {"Cancel run"}),
        ("running", "Running: 6 of 11 datapoints done, 1 failed.", {"Cancel run", "Pause run"}),
        ("paused", "Paused: 3 of 11 datapoints done. Nothing is called until", {"Cancel run", "Resume run"}),
        (
            "completed",
            "Executed by the server: 11 of 11 datapoints done, 2 failed; 15 calls,",
            {"Retry failed (2 datapoints)", "Re-run"},
        ),
        ("failed", "Failed. No datapoint was completed", {"Retry failed (11 datapoints)", "Re-run"}),
        ("cancelled", "Cancelled. 5 of 12 datapoints were completed and are kept.", {"Re-run"}),
    ],
)
def test_a_run_says_where_it_is_and_offers_what_is_possible(
    made: SeededExperiments, client: Client, status: str, words: str, buttons: set[str]
) -> None:
    page = client.get(run_url(made, status)).content.decode()

    assert words in text_of(page)
    offered = set(re.findall(r">((?:Cancel|Pause|Resume) run|Retry failed \(\d+ datapoints\)|Re-run)<", page))
    assert offered == buttons
    assert "Re-run as new…" in page
    assert ("data-live=" in page) == (status in ("queued", "preparing", "running"))
    assert f"pump questions@{1 if status == 'cancelled' else 2}" in text_of(page)


def test_a_running_run_shows_figures_causes_and_workers(made: SeededExperiments, client: Client) -> None:
    shown = text_of(client.get(run_url(made, "running", "live/")).content.decode())

    assert "6 / 11, " in shown  # then the rate of the last minute and what is left
    assert re.search(r"\d\.\d/s, about \d+ s", shown)
    assert "55 %" in shown
    assert "Failed 1 1 more to be tried again" in shown
    assert "lost with their worker" in shown
    assert "server_error 1 0 The endpoint answered 503" in shown
    assert "rate_limited 0 1 The endpoint answered 429" in shown
    assert "Worker 1: 8 calls at a time, seen" in shown
    assert "$0.0019" in shown  # six answers at 0.00031


def test_the_live_part_is_not_rendered_twice(made: SeededExperiments, client: Client) -> None:
    url = run_url(made, "running", "live/")
    first = client.get(url)
    assert first["X-Live"] == "running"
    # The rate counts ends of the last minute over the time since the start, which goes on.
    Experiment.objects.filter(run=made.by_status["running"].run).update(started_at=None)
    first = client.get(url)

    again = client.get(url, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    Lane.objects.all().delete()
    assert client.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 200
    assert client.get(f"{url}?shown=running")["X-Live"] == "running"
    assert client.get(f"{url}?shown=queued")["X-Live"] == "ended"  # the page is loaded again, with other buttons
    for status in ("paused", "completed", "cancelled"):
        assert client.get(run_url(made, status, "live/"))["X-Live"] == "ended"


def test_a_run_that_nobody_works_on_says_what_it_waits_for(made: SeededExperiments, client: Client) -> None:
    Lane.objects.all().delete()
    rows = DatapointRun.objects.filter(experiment=made.by_status["running"])
    url = run_url(made, "running")
    assert "free worker" not in text_of(client.get(url).content.decode())  # lanes change hands: some ended just now
    rows.exclude(finished_at=None).update(finished_at=timezone.now() - dt.timedelta(minutes=5))
    assert "It waits for a free worker." in text_of(client.get(url).content.decode())
    rows.filter(status="running").update(status="completed")
    rows.filter(status="pending", error_class="").update(status="completed")
    assert "1 datapoint waits for another attempt." in text_of(client.get(url).content.decode())


def test_a_run_of_a_client_has_nothing_of_all_this(made: SeededExperiments, client: Client) -> None:
    own = made.seeded.runs[0]
    page = client.get(f"/console/runs/{own.public_id}/").content.decode()
    assert not re.search(r"data-live=|>Re-run|Cancel run|executions/", page)
    assert client.get(f"/console/runs/{own.public_id}/executions/").status_code == 404
    assert client.get(f"/console/runs/{own.public_id}/cancel/").status_code == 404


def test_the_list_of_runs_shows_how_far_they_are(made: SeededExperiments, client: Client) -> None:
    shown = text_of(client.get("/console/runs/").content.decode())
    assert "55 %, about" in shown
    assert "paused, 27 %" in shown
    assert "queued, 0 %" in shown
    assert "New experiment" in shown


def test_executions_are_paged_and_filtered(made: SeededExperiments, client: Client) -> None:
    url = run_url(made, "running", "executions/")
    shown = text_of(client.get(url).content.decode())
    assert "All 11 Pending 4 Running 1 Completed 5 Failed 1 Cancelled 0" in shown
    failed = text_of(client.get(f"{url}?tab=failed").content.decode())
    assert failed.count("server_error The endpoint answered 503") == 1
    assert "rate_limited" not in failed
    assert text_of(client.get(f"{url}?cause=rate_limited").content.decode()).count("pending") == 1
    nothing = text_of(client.get(f"{url}?tab=cancelled").content.decode())
    assert "No execution is cancelled." in nothing
    later = text_of(client.get(f"{url}?from=9").content.decode())
    assert later.count("pending") == 2
    assert (
        "Nothing is written yet: the run is queued."
        in client.get(run_url(made, "queued", "executions/")).content.decode()
    )


def test_repetitions_are_numbered_and_counted_as_datapoint_runs(made: SeededExperiments, client: Client) -> None:
    experiment = made.by_status["running"]
    experiment.spec = {**experiment.spec, "repetitions": 3}
    experiment.save()
    assert "6 of 11 datapoint runs done" in client.get(run_url(made, "running", "live/")).content.decode()
    assert "#1" in text_of(client.get(run_url(made, "running", "executions/")).content.decode())


def test_a_dataset_shows_its_versions_and_what_changed(made: SeededExperiments, client: Client) -> None:
    dataset = f"/console/datasets/{made.seeded.dataset.public_id}/"
    shown = text_of(client.get(dataset).content.decode())
    assert "pump questions@2 11 6 " in shown  # datapoints, runs
    assert "pump questions@1 12 1 " in shown
    assert "Pin version now" in shown

    page = client.get(f"{dataset}versions/diff/?old=1&new=2").content.decode()
    assert "From pump questions@1 to pump questions@2: 1 removed, 1 changed; 10 datapoints are the same." in page
    assert "<ins>new </ins>meter after a power failure" in page
    assert "<del>Which fuse protects the inlet pump? (case 2)</del>" in page
    only = client.get(f"{dataset}versions/diff/?old=1&new=2&kind=changed").content.decode()
    assert "Which fuse" not in only
    same = client.get(f"{dataset}versions/diff/?old=2&new=2").content.decode()
    assert "one and the same version" in same
    assert client.get(f"{dataset}versions/diff/?old=1&new=9").status_code == 404
    assert client.get(f"{dataset}versions/7/").status_code == 404

    version = text_of(client.get(f"{dataset}versions/2/").content.decode())
    assert "11 datapoints, kept as they were." in version
    assert "server running" in version
    assert "server cancelled" not in version


def test_a_version_is_pinned_once_for_each_content(made: SeededExperiments, client: Client) -> None:
    pin = f"/console/datasets/{made.seeded.dataset.public_id}/versions/pin/"
    assert client.get(pin).status_code == 405
    told = client.post(pin, follow=True).content.decode()
    assert "The dataset has changed since" not in told
    assert "Nothing changed since pump questions@2: it is kept." in told
    assert DatasetVersion.objects.count() == 2
    made.seeded.dataset.memberships.all()[0].delete()
    made.seeded.dataset.revision += 1
    made.seeded.dataset.save()
    dataset = f"/console/datasets/{made.seeded.dataset.public_id}/"
    assert "The dataset has changed since the newest version." in client.get(dataset).content.decode()
    told = client.post(pin, follow=True).content.decode()
    assert "Version pinned: pump questions@3, 10 datapoints." in told
    assert DatasetVersion.objects.count() == 3


def test_versions_outlive_their_dataset(made: SeededExperiments, client: Client) -> None:
    dataset = f"/console/datasets/{made.seeded.dataset.public_id}/"
    made.seeded.dataset.delete()
    assert client.get(dataset).status_code == 404
    assert "The dataset was deleted" in client.get(f"{dataset}versions/").content.decode()
    assert "The dataset was deleted" in client.get(f"{dataset}versions/2/").content.decode()
    assert client.get(f"{dataset}versions/diff/").status_code == 200
    assert client.get(run_url(made, "running")).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "run running",
        "run live",
        "executions",
        "versions",
        "version",
        "version diff",
        "configurations",
        "schedules",
        "schedule",
        "new experiment",
        "runs",
    ],
)
def test_queries_do_not_grow_with_rows(
    made: SeededExperiments, client: Client, name: str, django_assert_max_num_queries, django_assert_num_queries
) -> None:
    url = {**pages_of(made), **writing_pages_of(made), "runs": "/console/runs/"}[name]
    client.get(url)
    with django_assert_max_num_queries(30) as first:
        client.get(url)
    for i in range(8):
        experiment = make_experiment(made.seeded, made.versions[1], "running")
        make_executions(experiment, done=3, failed=2)
        Lane.objects.create(
            experiment=made.by_status["running"],
            number=i + 5,
            granted=1,
            status="running",
            leased_until=timezone.now(),
        )
        ExperimentSchedule.objects.create(
            project=made.seeded.project,
            name=f"s {i}",
            spec=made.schedules[0].spec,
            crontab="0 2 * * *",
            is_enabled=False,
        )
        Experiment.objects.filter(pk=experiment.pk).update(schedule=ExperimentSchedule.objects.latest("pk"))
        Configuration.objects.create(project=made.seeded.project, name=f"support {i}", provider="x")
        DatasetVersion.objects.create(
            project=made.seeded.project,
            dataset=made.seeded.dataset,
            dataset_key=made.seeded.dataset.public_id,
            dataset_name="pump questions",
            number=i + 3,
            content_hash=f"{i:064d}",
            datapoint_count=0,
        )
    if name == "version diff":
        url += "?old=1&new=2"
    with django_assert_num_queries(len(first)):
        client.get(url)


def test_the_palette_finds_schedules_and_configurations(made: SeededExperiments, client: Client) -> None:
    found = client.get("/console/search/?s=night&extended=1").content.decode()
    assert f"/console/schedules/{made.schedules[0].public_id}/" in found
    found = client.get("/console/search/?s=support&extended=1").content.decode()
    assert f"/console/configurations/{made.configuration.public_id}/" in found
