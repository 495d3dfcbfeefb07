"""The pages that compare in the system's Chromium: policy, accessibility, both widths and themes, one journey."""

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser

from governance.services.projects import create_project
from tests.console import test_browser
from tests.console.compare_seed import Compared, seed_runs
from tests.console.test_browser import DESK, Watch, sign_in, walk
from tests.console.test_browser import browser as browser
from tests.console.test_compare_pages import COMPARE, of_pair, pages_of

pytestmark = test_browser.pytestmark


@pytest.fixture
def compared() -> Compared:
    anna = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    return seed_runs(create_project(name="support answers", owner=anna), skills=(0.55, 0.7, 0.56))


def test_every_comparing_page_is_clean_and_accessible(browser: Browser, live_server, compared: Compared) -> None:
    many = "&".join(f"run={run.public_id}" for run in compared.runs)
    pages = {**pages_of(compared), "many": f"{COMPARE}?{many}&pairs=1"}
    walked = {name: pages[name] for name in ("slices", "many", "side by side", "trends")}
    opened = "document.querySelectorAll('main details').forEach((part) => (part.open = true))"
    walk(browser, live_server.url, walked, {"slices", "many"}, prepare=opened)


def test_a_large_comparison_loads_itself_and_leads_to_both_outputs(
    browser: Browser, live_server, compared: Compared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.admin.comparison_answers.LARGE", 10)
    context = browser.new_context(viewport=DESK)
    page = sign_in(context, live_server.url)
    watch = Watch(page, live_server.url)

    page.goto(f"{live_server.url}{of_pair(compared)}")
    page.wait_for_selector(".hh-verdict", timeout=60_000)
    assert "prompt v4 beats prompt v3 by" in page.inner_text(".hh-verdict")
    page.click("nav[aria-label=Outcomes] a:has-text('Losses')")
    page.click(".hh-outputs a:has-text('side by side') >> nth=0")
    page.wait_for_selector("section[aria-label=Candidate]")
    assert "Baseline: prompt v3" in page.inner_text("section[aria-label=Baseline]")
    page.click("a:has-text('Back to the comparison')")
    page.click("summary:has-text('Settings')")
    page.fill("input[name='margin.answer_f1']", "0.5")
    page.click("button:has-text('Apply settings')")
    page.wait_for_selector("summary:has-text('Settings (changed)')", timeout=60_000)
    assert re.search(r"margin\.answer_f1=0\.5", page.url)
    context.close()
    assert watch.faults == []
