"""The console in the system's Chromium: policy, scripts, accessibility, both themes, both widths, no JavaScript."""

import os
import shutil
from collections.abc import Container, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from governance.models import AuditEntry
from tests.console.seed import Seeded, seed
from tests.console.test_pages import pages_of, writing_pages_of

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
DESK: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
AXE = Axe()
SCREENS = os.environ.get("CONSOLE_SCREENS", "")
SAME_TEMPLATE = {"runs filtered", "run by its own id", "compare two", "all events", "trace span", "record runs"}
IN_BOTH_THEMES = {"landing", "runs", "run", "compare", "trace", "project", "audit", "new key"}
# The rules that colours and widths decide; the others read the same page a second time.
OF_LOOKS = (
    "color-contrast", "link-in-text-block", "scrollable-region-focusable", "aria-hidden-focus", "label",
    "button-name", "link-name",
)  # fmt: skip
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


def width_fault(page: Page, name: str, size: ViewportSize) -> list[str]:
    width = page.evaluate("document.documentElement.scrollWidth")
    return [f"{name}: {width} px wide at {size['width']}"] if width > size["width"] else []


def violations(page: Page, name: str, rules: tuple[str, ...] = ()) -> list[str]:
    """The serious ones by axe, which is brought along once for each page loaded; by all its rules or some."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.axe_script)
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = page.evaluate("options => axe.run(options)", options)["violations"]
    return [
        f"{name}: {each['id']} {[(node['target'], node['html'][:160]) for node in each['nodes'][:3]]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


def walk(browser: Browser, server: str, pages: dict[str, str], in_both: Container[str], prepare: str = "") -> None:
    """Load each page once: policy, accessibility and width, light on a desk, then dark on a phone.

    The theme is switched as a person switches it, by key: the frame asks for the system's theme only while it loads.
    On the pages of `in_both` what looks decide is examined in the dark, too; `prepare` is a script for all.
    """
    context = browser.new_context(viewport=DESK, color_scheme="light", reduced_motion="reduce")
    page = sign_in(context, server)
    watch = Watch(page, server)
    faults: list[str] = []
    for name, url in pages.items():
        watch.missing_allowed = name == "missing"
        page.set_viewport_size(DESK)
        page.evaluate("localStorage.setItem('adminTheme', '\"light\"')")
        page.goto(f"{server}{url}")
        page.wait_for_selector("html.light:not([x-cloak])", state="attached")
        if prepare:
            page.evaluate(prepare)
        screenshot(page, f"{name}-light-{DESK['width']}")
        faults += width_fault(page, name, DESK) + violations(page, f"{name}, light")
        page.set_viewport_size(PHONE)
        page.keyboard.press("Control+e")
        page.wait_for_selector("html.dark", state="attached", timeout=30_000)
        screenshot(page, f"{name}-dark-{PHONE['width']}")
        faults += width_fault(page, name, PHONE)
        if name in in_both:
            faults += violations(page, f"{name}, dark", OF_LOOKS)
    context.close()
    assert watch.faults == []
    assert "\n".join(faults) == ""


def test_every_page_is_clean_and_accessible(browser: Browser, live_server, seeded: Seeded) -> None:
    walk(browser, live_server.url, urls_of(seeded), IN_BOTH_THEMES)


def test_the_frame_works_under_the_policy(browser: Browser, live_server, seeded: Seeded) -> None:
    context = browser.new_context(viewport=DESK, color_scheme="dark")
    page = sign_in(context, live_server.url)
    watch = Watch(page, live_server.url)

    page.goto(f"{live_server.url}/console/runs/")
    header = page.request.get(f"{live_server.url}/console/runs/").headers["content-security-policy"]
    assert "script-src 'self'" in header
    assert "unsafe-eval" not in header
    # The frame's scripts start after the page is loaded; keys pressed before are lost.
    page.wait_for_selector("html.dark:not([x-cloak])", state="attached")  # as the system's theme
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
