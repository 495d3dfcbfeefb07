"""`hhweb report` against a real server, and its file in the system's Chromium: light, dark, phone, paper."""

import json
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from lxml import html
from playwright.sync_api import sync_playwright

from tests.console.test_browser import CHROMIUM, DESK, FLAGS, PHONE
from tests.hhweb.client_cli.seeding import store_run

EVIL = "<script>document.title='x'</script><img src=http://127.0.0.1:9/x>"
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def written(server, server_folder):
    """The file of a comparison in which everything occurs that a report can show."""
    from click.testing import CliRunner

    from experiments.sdk.transport.client import Client
    from hhweb.cli import main

    key = server.credentials["api_key"]
    with Client(server_url=server.url, api_key=key) as client:
        exact = [float(n % 3 > 0) for n in range(40)]
        old = {
            "accuracy": [0.5 + n / 100 for n in range(40)],
            "exact": exact,
            "latency": [100.0 + n for n in range(40)],
        }
        new = {name: [value * 1.05 for value in values] for name, values in old.items()} | {"exact": exact, "f1": [0.5]}
        before = store_run(client, "before", old | {"gone": [1.0]})
        ranges = {"accuracy": {"min": 0.6}, "exact": {"min": 1}}
        options = {
            "crashed": {3: f"ValueError: {EVIL}"},
            "texts": {0: EVIL},
            "branch": "main",
            "passing_ranges": ranges,
        }
        after = store_run(client, f"after {EVIL}", new, **options)
    output = server_folder / "report.html"
    options = ["--baseline", before, "-o", str(output), "--url", server.url, "--api-key", key, "--json"]
    result = CliRunner().invoke(main, ["report", after, *options])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"file": str(output), "bytes": output.stat().st_size}
    return output


def test_the_report_shows_verdicts_intervals_pass_rates_and_links_to_the_console(written, server):
    text = written.read_text()
    document = html.document_fromstring(text)
    assert EVIL not in text
    findings = {each.xpath("string(.//h3)"): each for each in document.xpath("//article[@class='finding']")}
    assert set(findings) == {"accuracy", "exact", "latency"}
    said = findings["latency"].text_content()
    assert "lower is better" in said
    assert "39 datapoints" in said  # the fortieth crashed in one of the runs
    assert len(findings["accuracy"].xpath(".//path[contains(@class, 'whisker')]")) == 1
    assert "% interval" in document.xpath("string(//ul[@class='cards']/li[2])")
    assert "in the baseline" in document.xpath("string(//ul[@class='cards']/li[2])")
    assert "1 crash" in document.xpath("string(//ul[@class='cards']/li[3])")
    notes = [each.text_content() for each in document.xpath("//ul[@class='notes']/li")]
    assert notes[-2:] == [
        "Only in this run, so not compared: f1.",
        "Only in the baseline, so not compared: gone.",
    ]
    assert len({*notes}) == len(notes)  # what is to be said of several metrics is said once
    assert document.xpath("//footer//a/@href")[0].startswith(f"{server.url}/console/runs/")
    assert len(document.xpath("//article[@class='metric'][.//h3='exact']//svg[@class='share']")) == 2


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt install chromium")
def test_the_file_is_clean_accessible_and_fits_every_screen(written, tmp_path):
    alone = shutil.copy(written, tmp_path / "report.html")
    axe, serious, asked, complaints = Axe(), [], [], []
    with sync_playwright() as tools:
        started = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        # axe brings its own script, which the file's policy forbids; everything else is seen under the policy.
        views = [("light", DESK, True), ("dark", PHONE, True), ("dark", DESK, False), ("light", PHONE, False)]
        for theme, size, is_policy_off in views:
            context = started.new_context(viewport=size, color_scheme=theme, bypass_csp=is_policy_off)
            page = context.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: complaints.append(message.text))
            page.goto(Path(alone).as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            assert page.title().startswith("after <script>")
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert colour == ("rgb(15, 22, 36)" if theme == "dark" else "rgb(255, 255, 255)")
            if is_policy_off:
                found = axe.run(page).response["violations"]
                serious += [f"{theme} {each['id']} {each['nodes'][0]['html'][:120]}" for each in found]
            context.close()
        page = started.new_page()
        page.goto(Path(alone).as_uri())
        page.emulate_media(media="print")
        hidden = page.locator("details:not([open]) pre").first
        assert hidden.evaluate("each => each.getBoundingClientRect().height") > 0  # closed blocks are printed
        started.close()
    assert {url.partition(":")[0] for url in asked} == {"file"}
    assert complaints == []
    assert serious == []


def test_a_file_that_cannot_be_written_and_a_run_that_is_not_there_are_refused(run, client, alone):
    new = store_run(client, "plain", {"accuracy": [0.5]})
    result = run("report", new, "-o", alone / "no" / "report.html")
    assert (result.exit_code, "cannot be written: No such file" in result.stderr) == (2, True)
    assert run("report", "nothing-like-it").exit_code == 2
    assert run("report", new).stderr == "Wrote report.html\n"
    assert "The one datapoint passed." in (alone / "report.html").read_text()
    assert [path.name for path in alone.glob("*.part")] == []
