"""Pages of runs on the server in the system's Chromium: policy, accessibility, themes, live parts, no JavaScript."""

import pytest
from playwright.sync_api import Browser

from experiments.models import DatapointRun, Experiment, Run
from governance.services.providers import create_rule
from tests.console import test_browser, test_experiment_pages
from tests.console.experiment_seed import SeededExperiments, seed_experiments
from tests.console.seed import seed
from tests.console.test_browser import DESK, Watch, sign_in, walk
from tests.console.test_browser import browser as browser
from tests.console.test_experiment_pages import run_url

pytestmark = test_browser.pytestmark
# One page of each template and of each kind of its parts.
WALKED = (
    "run running", "run completed", "run failed", "executions", "version", "version diff", "versions", "schedules",
    "schedule", "configurations", "configuration", "configuration diff", "new experiment", "cancel", "new schedule",
    "change configuration",
)  # fmt: skip
IN_BOTH_THEMES = {"run running", "version diff", "schedules", "new experiment"}


@pytest.fixture
def made() -> SeededExperiments:
    return seed_experiments(seed(size=12))


def test_every_page_is_clean_and_accessible(browser: Browser, live_server, made: SeededExperiments) -> None:
    pages = {**test_experiment_pages.pages_of(made), **test_experiment_pages.writing_pages_of(made)}
    walk(browser, live_server.url, {name: pages[name] for name in WALKED}, IN_BOTH_THEMES)


def test_a_run_refreshes_itself_until_its_end(browser: Browser, live_server, made: SeededExperiments) -> None:
    context = browser.new_context(viewport=DESK)
    page = sign_in(context, live_server.url)
    watch = Watch(page, live_server.url)
    running = made.by_status["running"]
    rows = DatapointRun.objects.filter(experiment=running)

    page.goto(f"{live_server.url}{run_url(made, 'running')}")
    assert "6 / 11" in page.inner_text("[data-live]")
    waiting = rows.filter(status="pending", error_class="").first()
    assert waiting is not None
    rows.filter(pk=waiting.pk).update(status="completed")
    page.locator("[data-live]", has_text="7 / 11").wait_for(timeout=60_000)
    page.locator("[data-live-status]", has_text="Running: 7 of 11 datapoints done, 1 failed.").wait_for()
    rows.exclude(status="failed").update(status="completed")
    Run.objects.filter(pk=running.run_id).update(status="completed", finished_at=running.started_at)
    Experiment.objects.filter(pk=running.pk).update(status="completed", finished_at=running.started_at)
    page.locator("summary", has_text="Executed by the server: 11 of 11 datapoints done").wait_for(timeout=60_000)
    assert not page.locator("[data-live]").count()
    context.close()
    assert watch.faults == []


def test_a_run_is_started_and_cancelled_without_scripts(browser: Browser, live_server, made: SeededExperiments) -> None:
    create_rule(caller=made.caller, effect="allow", provider="http", model="*", base_url="https://93.184.215.14*")
    context = browser.new_context(viewport=DESK, java_script_enabled=False)
    page = sign_in(context, live_server.url)

    page.click("#nav-sidebar a:has-text('New experiment')")
    assert not page.is_visible("#n-chat_base_url")  # the fields of the chosen target alone
    page.fill("#n-name", "without scripts")
    page.select_option("#n-dataset", made.seeded.dataset.public_id)
    page.fill("#n-http_url", "https://93.184.215.14/answer")
    page.select_option("#n-e-0-what", "builtin:exact_match")
    page.click("button:has-text('Add evaluator')")
    assert page.input_value("#n-name") == "without scripts"
    page.select_option("#n-e-2-what", "builtin:json_valid")
    page.press("#n-name", "Enter")  # the plan, not the start
    assert "11 datapoints = 11 calls, at most 33 with retries" in page.inner_text("section[aria-label=Plan]")
    assert not Run.objects.filter(name="without scripts").exists()
    page.click("button:has-text('Start run')")
    assert "Queued." in page.inner_text(".hh-answer")
    page.click("a:has-text('Cancel run')")
    assert "11 datapoints will not be executed" in page.inner_text("main")
    page.click("button:has-text('Cancel run')")
    assert "Run cancelled: without scripts. 0 of 11 datapoints are kept." in page.inner_text("[role=status] >> nth=0")
    page.click("a:has-text('Re-run as new…')")
    assert page.input_value("#n-http_url") == "https://93.184.215.14/answer"
    page.check("input[name=kind][value=chat]")
    assert page.is_visible("#n-chat_base_url")
    assert not page.is_visible("#n-http_url")
    context.close()
