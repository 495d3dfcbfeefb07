"""The pages that compare: verdict, metrics, movers, matrix, side by side, trends; for every role, fast and honest."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from experiments.models import Event, Run, RunRevision
from governance.domain.actions import KeyKind, Role
from governance.models import Member
from governance.services.api_keys import issue_key
from governance.services.projects import create_project, system_caller
from tests.console.compare_seed import Compared, seed_runs
from tests.experiments.executed import make_datapoint_runs, make_experiment, make_version
from tests.experiments.factories import make_session

pytestmark = pytest.mark.django_db
COMPARE = "/console/runs/compare/"


@pytest.fixture
def compared() -> Compared:
    anna = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    return seed_runs(create_project(name="support answers", owner=anna))


def client_of(compared: Compared, role: Role | None = None) -> Client:
    client = Client()
    if role is None:
        client.force_login(User.objects.get(username="anna"))
    else:
        user = User.objects.create_user(f"the {role.value}", is_staff=True)
        Member.objects.create(project=compared.project, user=user, role=role.value)
        client.force_login(user)
    return client


def of_pair(compared: Compared, more: str = "") -> str:
    old, new = compared.runs[:2]
    return f"{COMPARE}?baseline={old.public_id}&candidate={new.public_id}{more}"


def pages_of(compared: Compared) -> dict[str, str]:
    old, new = compared.runs[:2]
    datapoint = compared.datapoints[7].public_id
    return {
        "pair": of_pair(compared),
        "slices": of_pair(compared, "&slice_by=metadata.language"),
        "losses": of_pair(compared, "&show=answer_f1|answer&outcome=loss&text=step"),
        "side by side": f"{COMPARE}datapoint/?baseline={old.public_id}&candidate={new.public_id}&datapoint={datapoint}",
        "trends": "/console/runs/trends/?metric=answer_f1&name=prompt",
        "run": f"/console/runs/{new.public_id}/",
    }


def text_of(page: str) -> str:
    """The words of the page's own part, on one line."""
    body = page.split('<main id="hh-main"')[1].split("</main>")[0]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", body.partition(">")[2])))


def shown(compared: Compared, url: str) -> str:
    answer = client_of(compared).get(url)
    assert answer.status_code == 200, url
    return str(answer.content.decode())


def api_answer(compared: Compared, old: Run, new: Run) -> dict[str, Any]:
    _, token = issue_key(caller=system_caller(compared.project), kind=KeyKind.PROJECT, name="reader")
    api = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}")
    answer = api.get(f"/api/v1/runs/{new.run_key}/compare/{old.run_key}")
    assert answer.status_code == 200
    return dict(answer.json())


def test_the_verdict_is_the_apis_own_sentence_with_the_same_digits(compared: Compared) -> None:
    old, new = compared.runs
    found = api_answer(compared, old, new)
    primary = next(metric for metric in found["metrics"] if metric["is_primary"])

    page = text_of(shown(compared, of_pair(compared)))

    assert primary["statistics"]["verdict"] == "better"
    assert f"▲Better {primary['statistics']['sentence']}" in page
    for metric in found["metrics"]:
        assert metric["statistics"]["sentence"].removeprefix("undecided: ") in page
    assert f"{found['common_datapoints']} common" in page
    assert f"failures {found['failures']['old']} → {found['failures']['new']}" in page
    assert f"{len(found['metrics'])} metrics, Holm · permutation, 99,999 flips" in page


def test_a_swapped_baseline_turns_the_verdict_round(compared: Compared) -> None:
    old, new = compared.runs

    page = text_of(shown(compared, f"{COMPARE}?baseline={new.public_id}&candidate={old.public_id}"))

    assert "▼Worse prompt v3 loses to prompt v4 by" in page


def test_better_is_right_for_metrics_that_are_better_when_lower(compared: Compared) -> None:
    page = shown(compared, of_pair(compared))

    label = re.search(r'aria-label="latency_ms: ([+−][\d.]+) \[[^"]+"[^>]*>(.*?)</svg>', page, re.S)
    assert label is not None
    mark = re.search(r'(?:circle|polygon)[^>]*(?:cx="|points="[\d.]+,[\d.]+ )([\d.]+)', label[2])
    assert mark is not None
    assert (float(mark[1]) > 120) == label[1].startswith("−")


def test_losses_and_text_filter_the_datapoints(compared: Compared) -> None:
    losses = shown(compared, of_pair(compared, "&outcome=loss"))
    wins = shown(compared, of_pair(compared, "&outcome=win"))
    case = shown(compared, of_pair(compared, "&text=case+12)"))

    assert "hh-chip-worse" in losses.split("Outcomes")[1]
    assert "▲" not in text_of(losses).split("Text of inputs or outputs")[1].split("Slices")[0]
    assert "▼" not in text_of(wins).split("Text of inputs or outputs")[1].split("Slices")[0]
    assert "1 to 1 of 1" in text_of(case)
    nothing = text_of(shown(compared, of_pair(compared, "&text=no+such+words")))
    assert "No datapoint matches." in nothing


def test_outputs_differ_by_words(compared: Compared) -> None:
    page = shown(compared, of_pair(compared))

    assert re.search(r"<del>[^<]+</del>", page)
    assert re.search(r"<ins>[^<]+</ins>", page)


def test_slices_name_their_correction(compared: Compared) -> None:
    page = text_of(shown(compared, of_pair(compared, "&slice_by=metadata.language")))

    assert "answer_f1 by metadata.language" in page
    assert "Benjamini-Hochberg over 4 slices" in page


def test_settings_change_the_answer_and_wrong_ones_are_said(compared: Compared) -> None:
    wide = text_of(shown(compared, of_pair(compared, "&margin.answer_f1=0.5&percent=90&primary=answer_f1")))
    wrong = text_of(shown(compared, of_pair(compared, "&margin.answer_f1=x")))
    absent = text_of(shown(compared, of_pair(compared, "&cluster=metadata.nothing")))
    clusters = text_of(shown(compared, of_pair(compared, "&cluster=metadata.thread")))

    assert "Difference [90 %]" in wide
    assert "Settings (changed)" in wide
    assert "'margin' is 'answer_f1=x'" in wrong
    assert "The usual settings are shown." in wrong
    assert "▲Better" in wrong
    assert "'cluster' is 'metadata.nothing'" in absent
    assert "Clusters by metadata.thread: 14" in clusters


def test_statistics_are_downloaded_as_set(compared: Compared) -> None:
    old, new = compared.runs
    client, url = client_of(compared), f"/console/runs/{new.public_id}/export/"
    form = {"what": "statistics", "format": "json", "baseline": old.public_id}

    answer = client.post(url, {**form, "margin.answer_f1": "0.5", "percent": "90"})

    body = b"".join(answer.streaming_content).decode()
    assert answer.status_code == 200
    assert '"confidence": 0.9' in body or '"confidence":0.9' in body
    assert client.post(url, {**form, "margin.answer_f1": "x"}).status_code == 400


def test_a_verdict_is_withheld_while_the_new_side_fails_more() -> None:
    anna = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    made = seed_runs(create_project(name="withheld", owner=anna), crashes=((), range(9)))

    page = text_of(shown(made, of_pair(made)))

    assert "○Undecided" in page
    assert "prompt v4 fails more often than prompt v3 (9 against 0" in page
    assert "See the failed pairs." in page
    assert page.count("side by side") >= 9


def test_runs_in_progress_get_no_verdict_and_no_interval() -> None:
    anna = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    made = seed_runs(create_project(name="running", owner=anna), status="running")

    pair = text_of(shown(made, of_pair(made)))
    run = text_of(shown(made, f"/console/runs/{made.runs[1].public_id}/"))

    assert "No verdict yet: prompt v4 is running." in pair
    assert "▲" not in pair.split("Verdict")[1].split("How sure?")[0]
    assert not re.search(r"\d \[[+−\d]", pair.split("How sure?")[0])
    assert "interval when the run is complete" in run
    assert not re.search(r"%\s\[|\d \[\d", run.split("Datapoints")[0])


def test_runs_without_a_common_datapoint_are_told_so(compared: Compared) -> None:
    lonely = Run.objects.create(project=compared.project, run_key="lonely", name="lonely")

    page = text_of(shown(compared, f"{COMPARE}?baseline={compared.runs[0].public_id}&candidate={lonely.public_id}"))

    assert "These runs share no datapoint." in page


def test_different_versions_of_a_dataset_are_said(compared: Compared) -> None:
    for number, run in enumerate(compared.runs):
        Run.objects.filter(pk=run.pk).update(metadata={**run.metadata, "dataset_version": number + 3})

    page = text_of(shown(compared, of_pair(compared)))

    assert "The runs evaluated pump questions, compared@3 and pump questions, compared@4" in page


@pytest.fixture
def four() -> Compared:
    anna = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    return seed_runs(create_project(name="four", owner=anna), skills=(0.55, 0.7, 0.4, 0.56), size=30)


def test_many_runs_become_a_matrix_of_verdicts_then_pairs(four: Compared) -> None:
    runs = "".join(f"&run={run.public_id}" for run in four.runs[1:])
    url = f"{COMPARE}?baseline={four.runs[0].public_id}{runs}"

    plain, pairs = shown(four, url), shown(four, f"{url}&pairs=1")

    assert "3 runs against prompt v3" in text_of(plain)
    lead = text_of(plain).split("Verdicts against")[0]
    assert "▲better" in lead
    assert "▼worse" in lead
    assert lead.index("▲better") < lead.index("▼worse")
    assert plain.count('data-label="answer_f1"') == 3
    assert "Compare every pair" in plain
    assert "p holds for all 6 pairs together" in text_of(pairs)
    oldest_first = shown(four, f"{COMPARE}?run={four.runs[2].public_id}{runs.replace('run=', 'run=', 1)}")
    assert "2 runs against prompt v4" in text_of(oldest_first)


def test_at_most_eight_runs_are_compared_at_once(four: Compared) -> None:
    more = [Run.objects.create(project=four.project, run_key=f"r{i}", name=f"r{i}") for i in range(9)]

    answer = client_of(four).get(COMPARE + "?" + "&".join(f"run={run.public_id}" for run in more))

    assert answer.status_code == 400
    assert "9 runs are chosen; compare at most 8 at once." in answer.content.decode()


def test_side_by_side_shows_both_outputs_scores_and_traces(compared: Compared) -> None:
    page = text_of(shown(compared, pages_of(compared)["side by side"]))
    failed = shown(compared, pages_of(compared)["side by side"].replace(
        compared.datapoints[7].public_id, compared.datapoints[3].public_id
    ))  # fmt: skip

    assert "Baseline: prompt v3" in page
    assert "Candidate: prompt v4" in page
    assert "answer_f1" in page
    assert "The baseline and the candidate failed here." in text_of(failed)
    assert "TimeoutError" in text_of(failed)


@pytest.mark.parametrize("query", ["", "baseline={old}", "baseline={old}&candidate={new}"])
def test_side_by_side_says_what_it_lacks(compared: Compared, query: str) -> None:
    old, new = (run.public_id for run in compared.runs)

    answer = client_of(compared).get(f"{COMPARE}datapoint/?{query.format(old=old, new=new)}")

    assert answer.status_code == 400
    assert "This page needs" in answer.content.decode()


def test_trends_mark_the_run_at_which_the_level_changed() -> None:
    anna = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    skills = (0.4, 0.41, 0.4, 0.39, 0.4, 0.7, 0.71, 0.7, 0.69, 0.7)
    made = seed_runs(create_project(name="trend", owner=anna), size=12, skills=skills, crashes=())

    page = shown(made, "/console/runs/trends/?metric=answer_f1")

    assert "answer_f1 is better since prompt v8" in text_of(page)
    assert '<polygon class="hh-fig-better"' in page
    assert f"?baseline={made.runs[4].run_key}&amp;candidate={made.runs[5].run_key}" in page
    assert "No runs with answer_f1 match these filters." in text_of(shown(made, "/console/runs/trends/?name=zzz"))


def test_the_run_page_gives_its_rate_and_means_with_intervals_and_the_baselines_chip(compared: Compared) -> None:
    page = text_of(shown(compared, f"/console/runs/{compared.runs[1].public_id}/"))
    listed = shown(compared, "/console/runs/")

    assert re.search(r"Against prompt v3", page)
    assert re.search(r"answer_f1 ↑.*? 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", page)
    assert re.search(r"\d+\.\d % \[\d+\.\d, \d+\.\d\]", page)
    assert "▲better" in page
    assert len(re.findall(r"\d+\.\d %</b> \[\d+\.\d, \d+\.\d\]", listed)) == 2


def test_a_run_under_way_on_the_server_shows_only_intervals_that_may_be_watched() -> None:
    anna = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    project = create_project(name="watched", owner=anna)
    experiment = make_experiment(project, version=make_version(project, datapoints=20))
    done = make_datapoint_runs(experiment, *["completed"] * 12, *["pending"] * 8)[:12]
    for number, row in enumerate(done):
        scores = {"is_right": number % 3 != 0, "length": 40.0 + number}
        make_session(project, experiment.run.run_key, row.datapoint_key, metrics=scores)
    client = Client()
    client.force_login(anna)

    page = text_of(client.get(f"/console/runs/{experiment.run.public_id}/").content.decode())

    watched = page.split("is_right")[1].split("length")[0] if page.index("is_right") < page.index("length") else ""
    watched = watched or page.split("is_right")[1].split("Mean over")[0]
    assert re.search(r"66\.7 % \[\d+\.\d, \d+\.\d\]may be watched", watched)
    assert "interval when the run is complete" in page.split("length")[1]
    assert "May be watched: this interval holds at every look" in page
    assert "datapoints passed" not in page

    part = f"/console/runs/{experiment.run.public_id}/metrics/"
    first = client.get(part)
    same = client.get(part, headers={"If-None-Match": first["ETag"]})
    make_session(project, experiment.run.run_key, done[0].datapoint_key, metrics={"is_right": True})
    RunRevision.objects.create(project=project, run_key=experiment.run.run_key, revision=1)
    assert (first.status_code, first["X-Live"], same.status_code) == (200, "running", 304)
    assert "may be watched" in first.content.decode()
    assert "<main" not in first.content.decode()
    assert client.get(part, headers={"If-None-Match": first["ETag"]}).status_code == 200


def test_a_watched_run_shows_what_it_gains_on_its_baseline() -> None:
    anna = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    project = create_project(name="watched", owner=anna)
    version = make_version(project, datapoints=20)
    experiment = make_experiment(project, version=version)
    done = make_datapoint_runs(experiment, *["completed"] * 16, *["pending"] * 4)
    Run.objects.create(project=project, run_key="before", name="before", status="completed", finished_at=timezone.now())
    Run.objects.filter(pk=experiment.run_id).update(metadata={"baseline_run_id": "before"})
    for row in done:
        make_session(project, "before", row.datapoint_key, metrics={"is_right": False})
    for row in done[:16]:
        make_session(project, experiment.run.run_key, row.datapoint_key, metrics={"is_right": True})
    client = Client()
    client.force_login(anna)

    page = text_of(client.get(f"/console/runs/{experiment.run.public_id}/").content.decode())

    assert "Against before" in page
    assert re.search(r"\+1\.000 \[\+0\.\d+, \+1\.000\]may be watched", page)


def test_a_large_comparison_arrives_after_the_page(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.admin.comparison_answers.LARGE", 10)
    client = client_of(compared)

    first = client.get(of_pair(compared)).content.decode()
    part = client.get(of_pair(compared, "&part=1"))
    then = client.get(of_pair(compared)).content.decode()

    assert "Computing intervals and tests for 80 executions." in text_of(first)
    assert 'data-live="?' in first
    assert "wait=1" in first.split("<noscript>")[-1]
    assert (part.status_code, part["X-Live"]) == (200, "ended")
    assert "▲Better" in text_of(then)


def test_waiting_shows_a_large_comparison_without_scripts(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.admin.comparison_answers.LARGE", 10)

    assert "▲Better" in text_of(shown(compared, of_pair(compared, "&wait=1")))


def test_a_page_is_not_asked_to_load_itself_for_ever_where_nothing_can_be_kept(
    compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.adapters.result_cache.stored", lambda name: None)
    monkeypatch.setattr("experiments.admin.comparison_answers.LARGE", 10)

    part = client_of(compared).get(of_pair(compared, "&part=1"))

    assert part.status_code == 503
    assert "X-Live" not in part


def test_viewers_read_and_strangers_find_nothing(compared: Compared) -> None:
    viewer = client_of(compared, Role.VIEWER)
    stranger = Client()
    user = User.objects.create_user("other", is_staff=True)
    create_project(name="another", owner=user)
    stranger.force_login(user)

    for name, url in pages_of(compared).items():
        answer = viewer.get(url)
        assert answer.status_code == 200, name
        body = answer.content.decode().split('<main id="hh-main"')[1]
        assert "style=" not in body, name
        assert len(body) < 120_000, name
        assert "Delete run" not in body, name
        assert Client().get(url).status_code == 302, name
        foreign = stranger.get(url)
        assert foreign.status_code == (200 if name == "trends" else 404), name
        assert "pump questions" not in foreign.content.decode(), name


@pytest.mark.parametrize("name", ["pair", "run", "side by side", "trends", "runs"])
def test_queries_do_not_grow_with_datapoints(
    compared: Compared,
    name: str,
    django_assert_num_queries: DjangoAssertNumQueries,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    client = client_of(compared)
    url = {**pages_of(compared), "runs": "/console/runs/"}[name]
    client.get(url)
    with django_assert_max_num_queries(40) as first:
        client.get(url)
    needed = len(first)
    other = seed_runs(create_project(name="larger", owner=User.objects.get(username="anna")), size=70)
    larger = {**pages_of(other), "runs": "/console/runs/"}[name]
    client.get(f"/console/?project={other.project.public_id}")
    client.get(larger)
    with django_assert_num_queries(needed):
        client.get(larger)


def test_hostile_names_and_outputs_stay_text(compared: Compared) -> None:
    evil = '<script>alert("x")</script>'
    Run.objects.filter(pk=compared.runs[1].pk).update(name=evil)
    Event.objects.filter(run_key=compared.runs[1].run_key).update(outputs={"answer": evil}, inputs={"q": evil})

    for name, url in pages_of(compared).items():
        assert evil not in shown(compared, url), name
