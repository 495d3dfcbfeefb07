"""Forms and buttons of A/B tests in the console: what they create, start, refuse and show at the end."""

import re
from html import unescape

import pytest
from django.test import Client

from embeddings_ab.domain.spec import TestSpec
from embeddings_ab.models import AbTest
from embeddings_ab.services import decisions
from governance.models import AuditEntry
from governance.services.projects import create_project
from tests.console.ab_seed import ARMS, SeededAb
from tests.console.test_ab_pages import TABS, state, text_of
from tests.console.test_ab_pages import ab as ab
from tests.console.test_ab_pages import client as client
from tests.console.test_ab_pages import seeded as seeded
from tests.embeddings_ab.pipeline import Jobs

pytestmark = pytest.mark.django_db
SPEC = """
metrics: [nDCG@10, R@10]
control: bm25
arms:
  bm25: {retrieval: lexical}
  plain: {retrieval: lexical, lexical: {stop_words: none}}
"""
FORM = {"name": "by form", "corpus": "cranfield@1", "query_set": "cranfield/test@1", "spec": SPEC}


def test_a_form_shows_the_plan_then_creates_and_starts(
    client: Client, ab: SeededAb, django_capture_on_commit_callbacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    monkeypatch.setattr("embeddings_ab.dispatch.send_advance", sent.append)
    number = AbTest.objects.count()

    plan = client.post("/console/ab/new/", {**FORM, "do": "plan"})
    assert plan.status_code == 200
    assert "The plan: 2 arms over 24 queries. Nothing is embedded yet." in text_of(plan.content.decode())
    assert AbTest.objects.count() == number
    created = client.post("/console/ab/new/", {**FORM, "do": "create"})
    assert created.status_code == 302
    test = AbTest.objects.latest("pk")
    assert (test.name, test.status, test.created_by) == ("by form", "created", "anna")
    assert created["Location"] == f"/console/ab/{test.public_id}/"
    started = client.post("/console/ab/new/", {**FORM, "name": "at once", "do": "start"})
    assert started.status_code == 302
    test = AbTest.objects.latest("pk")
    assert (test.name, test.status) == ("at once", "queued")
    assert sent == [[test.pk]]


def test_the_form_says_what_is_wrong_beside_the_field(client: Client, ab: SeededAb) -> None:
    wrong = [
        ({"name": ""}, "name", "missing"),
        ({"corpus": ""}, "corpus", "missing"),
        ({"corpus": "nothing"}, "corpus", "no corpus"),
        ({"query_set": "nothing"}, "query_set", "no query set"),
        ({"spec": "arms: ["}, "spec", "not YAML"),
        ({"spec": "a: \x07"}, "spec", "not YAML"),
        ({"spec": "just words"}, "spec", "Write names and values"),
        ({"spec": "a: &x [1]\nb: *x"}, "spec", "aliases"),
        ({"spec": SPEC.replace("nDCG@10", "nDCG@ten")}, "spec", "nDCG@ten"),
        ({"spec": SPEC.replace("lexical}", "lexikal}")}, "spec", "arms.bm25.retrieval"),
        ({"spec": SPEC.replace("control: bm25", "control: nobody")}, "spec", "nobody"),
    ]
    before = state()
    for change, field, words in wrong:
        for button in ("plan", "start"):
            answer = client.post("/console/ab/new/", {**FORM, **change, "do": button})
            page = unescape(answer.content.decode())
            assert answer.status_code in (400, 404), change
            assert 'role="alert"' in page, change
            assert words in page.split(f'id="e-{field}"')[1][:600], change
            assert f'aria-describedby="e-{field}"' in page, change
    assert state() == before


def test_a_whole_specification_replaces_the_fields(client: Client, ab: SeededAb) -> None:
    text = f"name: pasted\ncorpus: cranfield\nquery_set: cranfield/test\n{SPEC}"
    assert client.post("/console/ab/new/", {"spec": text, "do": "create"}).status_code == 302
    assert AbTest.objects.latest("pk").name == "pasted"


def test_the_example_in_the_form_is_accepted_as_it_stands(client: Client, ab: SeededAb) -> None:
    page = client.get("/console/ab/new/").content.decode()
    assert "<option selected>cranfield@1</option>" in page
    assert 'value="cranfield/test@1" selected' in page
    text = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.S)
    assert text is not None
    assert client.post("/console/ab/new/", {**FORM, "spec": text[1], "do": "create"}).status_code == 302


def test_buttons_of_a_test_go_through_the_service(
    client: Client, ab: SeededAb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embeddings_ab.dispatch.send_advance", lambda pks: None)
    created, running, failed = (ab.tests[name] for name in ("created", "running", "failed"))
    for test in (created, failed):
        assert client.get(f"/console/ab/{test.public_id}/start/").status_code == 405
        assert client.post(f"/console/ab/{test.public_id}/start/").status_code == 302
        assert AbTest.objects.get(pk=test.pk).status == "queued"
    assert client.post(f"/console/ab/{running.public_id}/start/").status_code == 409
    assert client.get(f"/console/ab/{ab.done.public_id}/cancel/").status_code == 409
    assert client.post(f"/console/ab/{running.public_id}/cancel/").status_code == 302
    assert AbTest.objects.get(pk=running.pk).status == "cancelled"
    assert client.post(f"/console/ab/{created.public_id}/delete/").status_code == 409
    confirm = text_of(client.get(f"/console/ab/{ab.done.public_id}/delete/").content.decode())
    assert f"its arms, {ab.done.result_count} results and its report go away" in confirm
    assert client.post(f"/console/ab/{ab.done.public_id}/delete/").status_code == 302
    assert not AbTest.objects.filter(pk=ab.done.pk).exists()
    actions = set(AuditEntry.objects.filter(actor_label="anna").values_list("action", flat=True))
    assert {"ab_test.start", "ab_test.cancel", "ab_test.delete"} <= actions


def test_a_new_project_is_told_what_to_do_first(client: Client, ab: SeededAb) -> None:
    empty = create_project(name="empty")
    page = client.get(f"/console/ab/?project={empty.public_id}").content.decode()
    assert "hhweb ab import" in page
    assert "hhweb ab run spec.yaml" in page
    for url in ("/console/ab/collections/", "/console/ab/corpora/", "/console/ab/query-sets/"):
        assert "hh-empty" in client.get(url).content.decode()
    assert "none imported yet" in client.get("/console/ab/new/").content.decode()


def test_what_the_statistics_really_write_is_shown(client: Client, ab: SeededAb) -> None:
    test = ab.done
    spec = TestSpec.model_validate({**test.spec, "draws": 1000})
    report, digest = decisions.make(test, spec, list(test.arms.all()))
    AbTest.objects.filter(pk=test.pk).update(report=report, report_hash=digest)

    pages = {tab: text_of(client.get(f"/console/ab/{test.public_id}/", {"tab": tab}).content.decode()) for tab in TABS}
    for row in report["comparisons"]:
        if row["role"] == "primary":
            assert row["sentence"] in pages["metrics"]
            assert f"{row['difference']:+.3f}".replace("-", "−") in pages["metrics"]
    best = report["arms"]["convex"]["metrics"]["nDCG@10"]
    assert f"[{best['low']:.3f}, {best['high']:.3f}]" in pages["metrics"]
    pairs = pages["significance"]
    for row in report["all_pairs"]:
        assert ("<0.001" if row["p"] < 0.001 else f"{row['p']:.3f}") in pairs
    assert "difficulty = hard" in pages["slices"]
    assert not re.search(r"\b(None|nan)\b", " ".join(pages.values()))


def test_the_plan_lists_arms_in_the_order_of_the_specification(client: Client, ab: SeededAb) -> None:
    shown = text_of(client.get(f"/console/ab/{ab.tests['created'].public_id}/?plan=1").content.decode())
    plan = shown.split("Plan")[1].split("Arms")[0]
    assert [name for name in re.findall(r"[a-z0-9]+", plan) if name in ARMS] == list(ARMS)
    assert "Only 23 queries have judgments" in plan


def test_what_the_form_starts_ends_with_a_verdict_on_every_page(
    client: Client, ab: SeededAb, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks
) -> None:
    jobs = Jobs(monkeypatch)
    arms = "  vectors: {retrieval: vector, provider: synthetic, dimensions: 32}\n"
    arms += "  hybrid: {retrieval: hybrid, provider: synthetic, dimensions: 32, fusion: convex}\n"
    form = {**FORM, "spec": SPEC.replace("R@10]", "R@10, Judged@10]") + arms + "draws: 1000\n", "do": "start"}
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post("/console/ab/new/", form)
    assert answer.status_code == 302
    while jobs.waiting:
        with django_capture_on_commit_callbacks(execute=True):
            jobs.run_one()

    test = AbTest.objects.latest("pk")
    assert test.status == "completed", test.error_message
    pages = {tab: text_of(client.get(answer["Location"], {"tab": tab}).content.decode()) for tab in TABS}
    for row in test.report["comparisons"]:
        if row["role"] == "primary":
            assert row["sentence"] in pages["metrics"]
    assert "What unjudged documents could change" in pages["metrics"]
    assert "Quality against time" in pages["latency"]
    assert "synthetic" in pages["cost"]
    assert test.report_hash in pages["settings"]
    assert not re.search(r"\b(None|nan)\b", " ".join(pages.values()))
    movers = client.get(f"{answer['Location']}queries/?b=vectors").content.decode()
    assert "of 23 queries on nDCG@10" in text_of(movers)
    link = unescape(re.findall(r'href="(/console/ab/[^"]+/queries/[^"]+)"', movers)[0])
    detail = text_of(client.get(link).content.decode())
    assert "Where the relevant documents are" in detail
    assert "synthetic" in text_of(client.get("/console/ab/collections/").content.decode())
    run = f"/api/v1/ab/tests/{test.public_id}/export?format=trec&project={test.project.public_id}&arm=vectors"
    assert f'action="{run.partition("?")[0]}"' in client.get(answer["Location"]).content.decode()
    links = re.findall(r'href="(/api/v1/ab/[^"]+)"', client.get(answer["Location"]).content.decode())
    assert len(links) == 4
    for link in [run, *links]:
        file = client.get(unescape(link))
        assert file.status_code == 200, link
        assert b"".join(file.streaming_content if file.streaming else [file.content]), link
