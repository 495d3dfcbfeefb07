"""The A/B pages in the system's Chromium: policy, accessibility, themes, widths, live parts, no JavaScript."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.console import test_ab_pages, test_browser
from tests.console.ab_seed import SeededAb, seed_ab
from tests.console.seed import seed
from tests.console.test_browser import DESK, PHONE, Watch, screenshot, sign_in
from tests.console.test_browser import browser as browser

pytestmark = test_browser.pytestmark
# The same template and parts as another page of the walk.
SEEN_ELSEWHERE = {
    "ab live", "collections part", "ab metrics", "ab queries lost", "ab test completed", "ab test queued",
    "ab test deciding", "ab tests filtered", "collection pending", "ab query not run",
}  # fmt: skip
IN_BOTH_THEMES = {"ab tests", "ab test", "ab test running", "ab queries", "ab query", "collections", "new ab test"}


@pytest.fixture
def ab() -> SeededAb:
    return seed_ab(seed(size=4).project)


def urls_of(ab: SeededAb) -> dict[str, str]:
    pages = {**test_ab_pages.pages_of(ab), **test_ab_pages.writing_pages_of(ab)}
    return {name: url for name, url in pages.items() if name not in SEEN_ELSEWHERE}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_ab_page_is_clean_and_accessible(browser: Browser, live_server, ab: SeededAb, theme: str) -> None:
    size = DESK if theme == "light" else PHONE
    context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")
    page = sign_in(context, live_server.url)
    watch = Watch(page, live_server.url)
    axe = Axe()
    serious: list[str] = []

    for name, url in urls_of(ab).items():
        page.goto(f"{live_server.url}{url}")
        page.wait_for_function("window.Alpine && !document.documentElement.hasAttribute('x-cloak')")
        screenshot(page, f"{name}-{theme}-{size['width']}")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > size["width"]:
            serious.append(f"{name}: {width} px wide")
        if theme == "dark" and name not in IN_BOTH_THEMES:
            continue
        for violation in axe.run(page).response["violations"]:
            if violation["impact"] in {"serious", "critical"}:
                nodes = [f"{node['target']} {node['html'][:160]}" for node in violation["nodes"][:3]]
                serious.append(f"{name}: {violation['id']} {nodes}")
    context.close()
    assert watch.faults == []
    assert "\n".join(serious) == ""
