"""The A/B pages in the system's Chromium: policy, accessibility, themes, widths, live parts, no JavaScript."""

import pytest
from playwright.sync_api import Browser

from embeddings_ab.models import AbTest
from tests.console import test_ab_forms, test_ab_pages, test_browser
from tests.console.ab_seed import SeededAb, seed_ab
from tests.console.seed import seed
from tests.console.test_browser import DESK, Watch, screenshot, sign_in, walk
from tests.console.test_browser import browser as browser

pytestmark = test_browser.pytestmark
# The same template and parts as another page of the walk.
SEEN_ELSEWHERE = {
    "ab live", "collections part", "ab metrics", "ab queries lost", "ab test completed", "ab test queued",
    "ab test deciding", "ab tests filtered", "collection pending", "ab query not run", "collections filtered",
}  # fmt: skip
IN_BOTH_THEMES = {"ab tests", "ab test", "ab test running", "ab queries", "ab query", "collections", "new ab test"}


@pytest.fixture
def ab() -> SeededAb:
    return seed_ab(seed(size=4).project)


def urls_of(ab: SeededAb) -> dict[str, str]:
    pages = {**test_ab_pages.pages_of(ab), **test_ab_pages.writing_pages_of(ab)}
    return {name: url for name, url in pages.items() if name not in SEEN_ELSEWHERE}


def test_every_ab_page_is_clean_and_accessible(browser: Browser, live_server, ab: SeededAb) -> None:
    walk(browser, live_server.url, urls_of(ab), IN_BOTH_THEMES)


def test_a_running_test_refreshes_itself_and_turns_into_its_verdict(
    browser: Browser, live_server, ab: SeededAb
) -> None:
    context = browser.new_context(viewport=DESK)
    page = sign_in(context, live_server.url)
    watch = Watch(page, live_server.url)
    running = ab.tests["running"]

    page.goto(f"{live_server.url}/console/ab/{running.public_id}/")
    assert "9 of 24" in page.inner_text("[data-live]")
    running.arms.filter(name="minilm").update(queries_done=17)
    page.locator("[data-live]", has_text="17 of 24").wait_for(timeout=60_000)
    running.arms.update(status="completed", queries_done=24)
    AbTest.objects.filter(pk=running.pk).update(status="deciding")
    page.locator("[data-live-status]", has_text="Every arm has its results").wait_for(timeout=60_000)
    AbTest.objects.filter(pk=running.pk).update(status="completed", report=ab.done.report)
    page.wait_for_selector(".hh-verdicts .hh-lead", timeout=60_000)
    assert next(
        row["sentence"] for row in ab.done.report["comparisons"] if row["verdict"] == "better"
    ) in page.inner_text(".hh-verdicts")
    assert not page.locator("[data-live]").count()
    context.close()
    assert watch.faults == []


def test_a_part_that_cannot_be_refreshed_says_since_when(browser: Browser, live_server, ab: SeededAb) -> None:
    context = browser.new_context(viewport=DESK)
    page = sign_in(context, live_server.url)

    page.goto(f"{live_server.url}/console/ab/{ab.tests['running'].public_id}/")
    page.route("**/live/", lambda route: route.abort())
    page.wait_for_selector("[data-live-note]:visible", timeout=60_000)
    assert "Not updated since" in page.inner_text("[data-live-note]")
    assert "9 of 24" in page.inner_text("[data-live]")  # what was known stays
    page.unroute("**/live/")
    page.wait_for_selector("[data-live-note]", state="hidden", timeout=60_000)
    context.close()


def test_an_engineer_walks_from_the_verdict_to_the_ranking_that_lost(
    browser: Browser, live_server, ab: SeededAb
) -> None:
    context = browser.new_context(viewport=DESK)
    page = sign_in(context, live_server.url)

    page.click("#nav-sidebar a:has-text('A/B tests')")
    page.click("a:has-text('hybrid against bm25')")
    assert "better" in page.inner_text(".hh-verdicts .hh-lead")
    page.click("nav[aria-label=Details] a:has-text('Losses by stage')")
    assert "not in candidates" in page.inner_text("main")
    page.click("a:has-text('Query by query')")
    page.select_option("#q-b", "minilm")
    page.click("button:has-text('Compare')")
    page.click("nav[aria-label=Queries] a:has-text('Losses')")
    page.click("tbody a >> nth=0")
    assert page.locator(".hh-ranks").count() == 2
    assert page.locator(".hh-rank").count() == 20
    page.select_option("#q-d", "20")
    page.click("button:has-text('Show')")
    assert page.locator(".hh-rank").count() == 40
    context.close()


def test_ab_pages_read_without_scripts(browser: Browser, live_server, ab: SeededAb) -> None:
    context = browser.new_context(viewport=DESK, java_script_enabled=False)
    page = sign_in(context, live_server.url)

    for name in ("ab test", "ab latency", "ab test running", "ab queries", "ab query", "collection ready"):
        page.goto(f"{live_server.url}{test_ab_pages.pages_of(ab)[name]}")
        assert page.is_visible("main#hh-main"), name
        assert page.is_visible(".hh-verdicts" if name in ("ab test", "ab latency") else ".hh-answer"), name
        screenshot(page, f"{name}-no-script")
    page.goto(f"{live_server.url}/console/ab/new/")
    page.fill("#n-name", "without scripts")
    page.fill("#n-spec", test_ab_forms.SPEC)
    page.click("button:has-text('Show plan')")
    assert "The plan: 2 arms over 24 queries." in page.inner_text("section[aria-label=Plan]")
    page.click("button:has-text('Create only')")
    page.wait_for_url("**/console/ab/*/")
    assert "Not started." in page.inner_text(".hh-answer")
    context.close()
