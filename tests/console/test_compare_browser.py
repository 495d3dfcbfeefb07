"""The pages that compare in the system's Chromium: policy, accessibility, both widths and themes, one journey."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Browser

from governance.services.projects import create_project
from tests.console import test_browser
from tests.console.compare_seed import Compared, seed_runs
from tests.console.test_browser import DESK, PHONE, Watch, screenshot, sign_in
from tests.console.test_browser import browser as browser
from tests.console.test_compare_pages import COMPARE, of_pair, pages_of

pytestmark = test_browser.pytestmark


@pytest.fixture
def compared() -> Compared:
    anna = User.objects.create_superuser("anna", "anna@example.org", "anna-anna")
    return seed_runs(create_project(name="support answers", owner=anna), skills=(0.55, 0.7, 0.56))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_comparing_page_is_clean_and_accessible(
    browser: Browser, live_server, compared: Compared, theme: str
) -> None:
    size = DESK if theme == "light" else PHONE
    context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")
    page = sign_in(context, live_server.url)
    watch = Watch(page, live_server.url)
    axe = Axe()
    serious: list[str] = []
    many = "&".join(f"run={run.public_id}" for run in compared.runs)
    pages = {**pages_of(compared), "many": f"{COMPARE}?{many}&pairs=1"}

    for name in ("slices", "many") if theme == "dark" else ("slices", "many", "side by side", "trends"):
        url = pages[name]
        page.goto(f"{live_server.url}{url}")
        page.wait_for_selector("html:not([x-cloak])", state="attached")
        page.evaluate("document.querySelectorAll('main details').forEach((part) => (part.open = true))")
        screenshot(page, f"compare {name}-{theme}-{size['width']}")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            serious.append(f"{name}: {width} px wide")
        for violation in axe.run(page).response["violations"]:
            if violation["impact"] in {"serious", "critical"}:
                nodes = [f"{node['target']} {node['html'][:160]}" for node in violation["nodes"][:3]]
                serious.append(f"{name}: {violation['id']} {nodes}")
    context.close()
    assert watch.faults == []
    assert "\n".join(serious) == ""


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
