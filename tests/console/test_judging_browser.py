"""Judging by keyboard and searches in the system's Chromium: policy, accessibility, themes, widths, no script."""

import pytest
from playwright.sync_api import Browser, expect

from embeddings_ab.models import Label
from tests.console import test_browser, test_judging_pages
from tests.console.ab_seed import seed_ab
from tests.console.judging_seed import SeededJudging, seed_judging
from tests.console.seed import seed
from tests.console.test_browser import DESK, PHONE, Watch, screenshot, sign_in, walk
from tests.console.test_browser import browser as browser

pytestmark = test_browser.pytestmark
WAIT = 60_000


@pytest.fixture
def judging() -> SeededJudging:
    project = seed(size=4).project
    return seed_judging(project, seed_ab(project))


def test_every_judging_page_is_clean_and_accessible(browser: Browser, live_server, judging: SeededJudging) -> None:
    pages = {**test_judging_pages.pages_of(judging), **test_judging_pages.writing_pages_of(judging)}
    walk(browser, live_server.url, pages, pages)


def test_documents_are_judged_by_key_without_leaving_the_page(
    browser: Browser, live_server, judging: SeededJudging
) -> None:
    context = browser.new_context(viewport=DESK, reduced_motion="reduce")
    page = sign_in(context, live_server.url)
    watch = Watch(page, live_server.url)
    loads: list[str] = []
    page.on("framenavigated", lambda frame: loads.append(frame.url))
    page.goto(f"{live_server.url}/console/ab/judging/{judging.fresh.public_id}/judge/")
    start = len(loads)
    said = page.locator("[data-judging-said]")

    first = page.locator("article").get_attribute("aria-label")
    page.keyboard.press("2")
    expect(said).to_have_text("Saved: Partly.", timeout=WAIT)
    expect(page.locator("article")).not_to_have_attribute("aria-label", first or "", timeout=WAIT)
    page.keyboard.press("u")
    expect(said).to_have_text("Taken back. Judge it again.", timeout=WAIT)
    expect(page.locator("article")).to_have_attribute("aria-label", first or "", timeout=WAIT)
    page.keyboard.press("s")
    expect(said).to_have_text("Skipped.", timeout=WAIT)
    page.keyboard.press("9")  # no grade of this scale
    page.keyboard.press("?")
    expect(page.locator("[data-judging-help]")).to_have_attribute("open", "", timeout=WAIT)
    page.get_by_role("button", name="Turn keys off").click()
    page.keyboard.press("1")
    page.get_by_role("button", name="Turn keys on").click()
    page.keyboard.press("3")
    expect(said).to_have_text("Saved: Fully.", timeout=WAIT)
    expect(page.locator("[data-judging-help]")).to_have_attribute("open", "", timeout=WAIT)
    page.locator("summary", has_text="Add a note").click()
    page.locator("#j-note").press_sequentially("0 and 1")  # keys are letters while one writes
    page.get_by_role("button", name="0 Not relevant").click()
    expect(said).to_have_text("Saved: Not relevant.", timeout=WAIT)
    assert loads[start:] == []
    labels = Label.objects.filter(item__pool=judging.fresh).order_by("id").values_list("labeller", "grade", "comment")
    assert list(labels) == [("anna", 3, ""), ("anna", 0, "0 and 1")]
    assert watch.faults == []
    context.close()


def test_a_lost_connection_loses_no_document(browser: Browser, live_server, judging: SeededJudging) -> None:
    context = browser.new_context(viewport=DESK)
    page = sign_in(context, live_server.url)
    page.goto(f"{live_server.url}/console/ab/judging/{judging.fresh.public_id}/judge/")
    first = page.locator("article").get_attribute("aria-label")
    said = page.locator("[data-judging-said]")

    context.set_offline(True)
    page.keyboard.press("1")
    expect(said).to_contain_text("Not saved", timeout=WAIT)
    expect(page.locator("article")).to_have_attribute("aria-label", first or "")
    context.set_offline(False)
    page.keyboard.press("1")
    expect(said).to_have_text("Saved: Related.", timeout=WAIT)
    assert Label.objects.filter(item__pool=judging.fresh).count() == 1
    context.close()


def test_judging_works_without_script(browser: Browser, live_server, judging: SeededJudging) -> None:
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = sign_in(context, live_server.url)
    page.goto(f"{live_server.url}/console/ab/judging/{judging.fresh.public_id}/judge/")

    page.get_by_role("button", name="2 Partly").click()
    expect(page.get_by_text("Saved: Partly.")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="u Undo").click()
    expect(page.get_by_text("Taken back. Judge it again.")).to_be_visible(timeout=WAIT)
    page.get_by_role("button", name="1 Related").click()
    expect(page.get_by_text("Saved: Related.")).to_be_visible(timeout=WAIT)
    screenshot(page, "judging-without-script")
    assert list(Label.objects.filter(item__pool=judging.fresh).values_list("grade", flat=True)) == [1]
    context.close()
