"""The console in the system's Chromium: policy, scripts, accessibility, both themes, both widths, no JavaScript."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from governance.models import AuditEntry
from tests.console.seed import Seeded, seed
from tests.console.test_pages import pages_of, writing_pages_of

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
SCREENS = os.environ.get("CONSOLE_SCREENS", "")
SAME_TEMPLATE = {"runs filtered", "run by its own id", "compare two", "all events", "trace span", "record runs"}
IN_BOTH_THEMES = {"landing", "runs", "run", "compare", "trace", "project", "audit", "new key"}
CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true", reason="no chromium on this machine: apt install chromium"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "CI needs chromium: apt install chromium"
    # Playwright's loop runs in this thread; Django would take the tests for asynchronous callers.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as tools:
        started = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def seeded() -> Seeded:
    return seed(size=60)


def urls_of(seeded: Seeded) -> dict[str, str]:
    entry = AuditEntry.objects.first()
    assert entry is not None
    records = {
        "record list": "/console/governance/project/",
        "record": f"/console/governance/auditentry/{entry.pk}/change/",
        "record runs": "/console/experiments/run/",
        "users": "/console/auth/user/",
        "user": f"/console/auth/user/{seeded.admin.pk}/change/",
        "missing": "/console/runs/no-such-run/",
        "password": "/console/password_change/",
    }
    pages = {**pages_of(seeded), **writing_pages_of(seeded), **records}
    return {name: url for name, url in pages.items() if name not in SAME_TEMPLATE}


def sign_in(context: BrowserContext, server: str) -> Page:
    page = context.new_page()
    page.set_default_timeout(90_000)  # two slow cores shared with other tests
    page.goto(f"{server}/console/")
    page.fill("input[name=username]", "anna")
    page.fill("input[name=password]", "anna-anna")
    page.click("#login-form button[type=submit]")
    page.wait_for_url(f"{server}/console/")
    return page


class Watch:
    """Everything a page did that it should not."""

    def __init__(self, page: Page, server: str) -> None:
        self.faults: list[str] = []
        self.missing_allowed = False
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("console", self._console)
        page.on("request", lambda request: self._origin(request.url, server))

    def _console(self, message) -> None:
        if message.type == "error" and not (self.missing_allowed and "404" in message.text):
            self.faults.append(f"console: {message.text}")

    def _origin(self, url: str, server: str) -> None:
        if urlsplit(url).scheme in {"http", "https"} and not url.startswith(server):
            self.faults.append(f"left the server: {url}")


def screenshot(page: Page, name: str) -> None:
    if SCREENS:
        Path(SCREENS).mkdir(exist_ok=True)
        page.screenshot(path=f"{SCREENS}/{name.replace(' ', '-')}.png")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_clean_and_accessible(browser: Browser, live_server, seeded: Seeded, theme: str) -> None:
    size = DESK if theme == "light" else PHONE
    context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")
    page = sign_in(context, live_server.url)
    watch = Watch(page, live_server.url)
    axe = Axe()
    serious: list[str] = []

    for name, url in urls_of(seeded).items():
        watch.missing_allowed = name == "missing"
        page.goto(f"{live_server.url}{url}")
        page.wait_for_selector("html:not([x-cloak])", state="attached")
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


def test_the_frame_works_under_the_policy(browser: Browser, live_server, seeded: Seeded) -> None:
    context = browser.new_context(viewport=DESK)
    page = sign_in(context, live_server.url)
    watch = Watch(page, live_server.url)

    page.goto(f"{live_server.url}/console/runs/")
    header = page.request.get(f"{live_server.url}/console/runs/").headers["content-security-policy"]
    assert "script-src 'self'" in header
    assert "unsafe-eval" not in header
    # The frame's scripts start after the page is loaded; keys pressed before are lost.
    page.wait_for_selector("html:not([x-cloak])", state="attached")
    page.keyboard.press("Control+k")
    page.wait_for_selector("#search-input-command", state="visible")
    page.locator("#search-input-command").press_sequentially("prompt")
    page.wait_for_selector("#command-results li a[href*='/console/runs/']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/runs/*/")
    page.wait_for_selector("html:not([x-cloak])", state="attached")
    page.keyboard.press("Control+e")
    page.click("text=dock_to_right >> visible=true")
    page.wait_for_selector("#nav-sidebar", state="hidden")
    page.reload()
    page.wait_for_selector("html:not([x-cloak])", state="attached")
    assert not page.is_visible("#nav-sidebar")
    context.close()
    assert watch.faults == []


def test_an_engineer_walks_from_a_run_to_its_worst_mover(browser: Browser, live_server, seeded: Seeded) -> None:
    context = browser.new_context(viewport=DESK)
    page = sign_in(context, live_server.url)

    page.click("text=prompt v4")
    assert "of 60 datapoints passed" in page.inner_text(".hh-answer")
    page.click("text=Compare with…")
    page.click("button:has-text('Compare runs')")
    assert "prompt v4 beats prompt v3 by" in page.inner_text(".hh-answer")
    page.click("a:has-text('candidate') >> nth=0")
    assert "4 events in" in page.inner_text(".hh-answer")
    page.click(".hh-tree a:has-text('search_manual')")
    assert "pump" in page.inner_text("#event")
    context.close()


def test_pages_read_without_scripts(browser: Browser, live_server, seeded: Seeded) -> None:
    context = browser.new_context(viewport=DESK, java_script_enabled=False)
    page = sign_in(context, live_server.url)

    for name in ("landing", "run", "compare", "trace", "project"):
        page.goto(f"{live_server.url}{pages_of(seeded)[name]}")
        assert page.is_visible("main#hh-main"), name
        assert page.is_visible(".hh-answer"), name
        assert not page.is_visible("#search-input-command"), name
        screenshot(page, f"{name}-no-script")
    context.close()
