"""Forms and buttons of runs that the server executes, and of configurations: what they do, refuse and keep."""

import re
from html import unescape

import pytest
from django.test import Client

from experiments.models import Configuration, DatapointRun, Experiment, Metric, Run
from governance.models import AuditEntry
from governance.services.providers import create_rule
from governance.services.secrets import create_secret
from tests.console.experiment_seed import SeededExperiments
from tests.console.test_experiment_pages import client as client
from tests.console.test_experiment_pages import made as made
from tests.console.test_experiment_pages import run_url, state, text_of

pytestmark = pytest.mark.django_db
NEW = "/console/runs/new/"


def form_of(made: SeededExperiments, **changes: str) -> dict[str, str]:
    return {
        "name": "by form",
        "dataset": made.seeded.dataset.public_id,
        "kind": "http",
        "http_url": "https://93.184.215.14/answer",
        "http_headers": '{"Authorization": {"secret": "app", "prefix": "Bearer "}}',
        "http_body": '{"question": "{{inputs.question}}"}',
        "e-TOTAL_FORMS": "2",
        "e-INITIAL_FORMS": "0",
        "e-1-what": "builtin:exact_match",
        "e-1-metric_name": "exact",
        "repetitions": "3",
        "concurrency": "4",
        "tags": "nightly, main",
        **changes,
    }


@pytest.fixture
def ready(made: SeededExperiments) -> SeededExperiments:
    """With what the form names: a secret, and a rule that lets the endpoint be called."""
    create_secret(caller=made.caller, name="app", value="s3cret-value")
    create_rule(caller=made.caller, effect="allow", provider="http", model="*", base_url="https://93.184.215.14*")
    return made


def summary_of(page: str) -> str:
    return unescape(page.split('role="alert"')[1].split("</div>")[0]) if 'role="alert"' in page else ""


def test_a_form_shows_the_plan_then_starts_one_run(ready: SeededExperiments, client: Client) -> None:
    before = state()
    plan = client.post(NEW, form_of(ready, do="plan"))
    page = plan.content.decode()
    assert (plan.status_code, summary_of(page)) == (200, "")
    said = "The plan: 11 datapoints × 3 repetitions = 33 calls, at most 99 with retries; 4 at a time."
    assert said in text_of(page)
    assert state() == before

    once = re.search(r'name="once" value="([^"]+)"', page)
    assert once is not None
    for _ in range(2):  # a double click
        started = client.post(NEW, form_of(ready, do="start", once=once[1]))
        assert started.status_code == 302
    experiment = Experiment.objects.latest("pk")
    assert Experiment.objects.filter(spec__name="by form").count() == 1
    assert started["Location"] == f"/console/runs/{experiment.run.public_id}/"
    assert (experiment.status, experiment.datapoint_runs_count, experiment.tags) == ("queued", 33, ["nightly", "main"])
    assert experiment.spec["target"]["headers"] == {"Authorization": {"secret": "app", "prefix": "Bearer "}}
    assert experiment.spec["evaluators"][0]["metric_name"] == "exact"
    assert (experiment.created_by, str(experiment.dataset_version)) == ("anna", "pump questions@2")
    client.post(NEW, form_of(ready, do="start", once=once[1], name="another"))
    assert Run.objects.filter(name="another").count() == 1


def test_every_fault_stands_beside_its_field_and_nothing_typed_is_lost(
    ready: SeededExperiments, client: Client
) -> None:
    wrong = [
        ({"name": ""}, "name", "missing"),
        ({"dataset": ""}, "dataset", "missing"),
        ({"dataset": "nothing"}, "dataset", "no dataset 'nothing'"),
        ({"dataset_version": "7"}, "dataset_version", "no version '7'"),
        ({"http_url": ""}, "http_url", "missing"),
        ({"http_url": "ftp://x"}, "http_url", "http"),
        ({"http_headers": '{\n  "a": 1,,\n}'}, "http_headers", "(line 2, column 10)"),
        ({"http_headers": '{"a": {"secret": "gone"}}'}, "http_headers", "gone"),
        ({"http_body": "{{inputs}}"}, "http_body", "not JSON"),
        ({"http_body": '"{{nobody}}"'}, "http_body", "nobody"),
        ({"repetitions": "0"}, "repetitions", "at least 1 and at most 100"),
        ({"repetitions": "many"}, "repetitions", "integer"),
        ({"concurrency": "65"}, "concurrency", "at most 64"),
        ({"max_attempts": "99"}, "max_attempts", "at most 10"),
        ({"deadline_seconds": "301"}, "deadline_seconds", "at most 300"),
        ({"first_delay_seconds": "50", "longest_delay_seconds": "1"}, "first_delay_seconds", "longest_delay_seconds"),
        ({"bounds": '{"exact": [1, 0]}'}, "bounds", "lowest value first"),
        ({"metadata": "[1"}, "metadata", "not JSON"),
        ({"baseline_run_id": "nothing", "do": "start"}, "baseline_run_id", "does not exist"),
        ({"e-1-what": "builtin:nothing"}, "e-1-what", "nothing"),
        ({"e-1-options": "{,}"}, "e-1-options", "(line 1, column 2)"),
        ({"e-0-what": "builtin:contains", "e-0-metric_name": "exact"}, "e-1-metric_name", "stored as 'exact'"),
        ({"kind": "chat"}, "chat_configuration", "missing"),
        ({"kind": "chat", "chat_configuration": "x", "chat_base_url": "https://x.org"}, "chat_configuration", "'x'"),
        ({"kind": "callable", "callable_name": "rm"}, "callable_name", "HHWEB_CALLABLES"),
        ({"kind": "callable", "callable_name": "rm", "callable_options": "["}, "callable_options", "not JSON"),
    ]  # fmt: skip
    before = state()
    for change, field, words in wrong:
        sent = form_of(ready, **{"do": "plan", **change})
        answer = client.post(NEW, sent)
        page = unescape(answer.content.decode())
        assert answer.status_code in (400, 404), change
        assert f'<a href="#n-{field}">' in page, (change, summary_of(page))
        assert words in page.split(f'id="n-{field}_error"')[1].split("</div>")[0], change
        described = re.search(rf'<[^>]+ id="n-{field}"[^>]*>', page)
        assert described is not None, change
        assert 'aria-invalid="true"' in described[0], change
        assert f"n-{field}_error" in described[0], change
        for name, typed in sent.items():
            if typed and name != "do":
                assert typed in page, (change, name)
    assert state() == before


def test_all_faults_of_a_form_are_told_at_once(ready: SeededExperiments, client: Client) -> None:
    page = client.post(NEW, form_of(ready, do="plan", name="", repetitions="0", concurrency="0")).content.decode()
    assert "3 things are not right:" in summary_of(page)
    mixed = form_of(ready, do="plan", name="", http_body="{", metadata="{", **{"e-1-options": "["})
    told = summary_of(client.post(NEW, mixed).content.decode())
    assert "4 things are not right:" in told
    assert ">Evaluator 2, Options (JSON)</a>" in told


def test_rows_of_evaluators_grow_without_scripts(ready: SeededExperiments, client: Client) -> None:
    page = client.post(NEW, form_of(ready, do="row", name="")).content.decode()
    assert 'name="e-TOTAL_FORMS" value="3"' in page
    assert "e-2-what" in page
    assert summary_of(page) == ""  # who adds a row is not finished yet
    assert re.search(r'value="builtin:exact_match" selected', page)


def test_evaluators_of_the_project_are_offered(ready: SeededExperiments, client: Client) -> None:
    Metric.objects.create(project=ready.seeded.project, name="judged", type="HUMAN")
    page = client.get(NEW).content.decode()
    assert 'value="metric:answer_f1"' in page
    assert "metric:judged" not in page  # a person is no evaluator
    assert 'value="builtin:rouge_l"' in page
    assert "s3cret-value" not in page


def test_a_chat_model_with_a_judge_is_planned_and_started(ready: SeededExperiments, client: Client) -> None:
    create_rule(caller=ready.caller, effect="allow", provider="openai", base_url="https://93.184.215.14*")
    Metric.objects.create(
        project=ready.seeded.project,
        name="polite",
        type="LLM",
        criteria="Is {{outputs.content}} polite?",
        model_provider="openai",
        model_name="gpt-4o-mini",
        return_type="boolean",
    )
    chat = {"kind": "chat", "chat_configuration": "support answers", "chat_secret": "app", "e-0-what": "metric:polite"}
    chat |= {"chat_base_url": "https://93.184.215.14/v1", "e-0-base_url": "https://93.184.215.14/v1"}
    form = form_of(ready, **chat, **{"e-0-secret": "app", "repetitions": "", "http_url": "", "max_attempts": "1"})
    page = client.post(NEW, {**form, "do": "plan"}).content.decode()
    assert summary_of(page) == ""
    assert "The plan: 11 datapoints = 11 calls; 4 at a time." in text_of(page)
    assert "Judges add 11 calls." in text_of(page)
    assert client.post(NEW, {**form, "do": "start"}).status_code == 302
    spec = Experiment.objects.latest("pk").spec
    assert (spec["target"]["kind"], spec["target"]["configuration"]) == ("chat", "support answers")
    assert [each["name"] for each in spec["evaluators"]] == ["polite", "exact_match"]
    assert Experiment.objects.latest("pk").pinned["target"]["version"] == 2


def test_registered_callables_are_offered_and_started(ready: SeededExperiments, client: Client, settings) -> None:
    settings.CALLABLES = ["echo=experiments.sdk.canonical:canonical_json"]
    page = client.get(NEW).content.decode()
    assert '<option value="echo">echo</option>' in page
    assert 'value="callable:echo"' in page
    form = form_of(ready, kind="callable", callable_name="echo", callable_options='{"deep": [1]}', do="start")
    assert client.post(NEW, form).status_code == 302
    assert Experiment.objects.latest("pk").spec["target"]["options"] == {"deep": [1]}


def test_odd_bytes_and_numbers_break_no_form(ready: SeededExperiments, client: Client) -> None:
    odd = form_of(ready, name="a\x00b", do="start", tags=",,", http_headers="", repetitions="1")
    assert client.post(NEW, odd).status_code == 302
    assert Run.objects.latest("pk").name == "a\ufffdb"
    for total in ("9" * 5000, "x", "-1"):
        answer = client.post(NEW, form_of(ready, **{"do": "row", "e-TOTAL_FORMS": total}))
        assert (answer.status_code, 'name="e-TOTAL_FORMS"' in answer.content.decode()) == (200, True)
    deep = client.post(NEW, form_of(ready, do="plan", metadata='{"a": ' + "[" * 100 + "]" * 100 + "}"))
    assert "nested deeper" in summary_of(deep.content.decode())


def test_a_new_experiment_begins_with_an_earlier_one(ready: SeededExperiments, client: Client) -> None:
    first = ready.by_status["completed"]
    page = client.get(f"{NEW}?from={first.run.public_id}").content.decode()
    assert re.search(rf'value="{ready.seeded.dataset.public_id}" selected', page)
    assert 'value="https://app.example.com/answer"' in page
    assert re.search(r'name="dataset_version" value="2"', page)
    assert re.search(rf'value="{first.run.run_key}" selected', page)  # compared with what it comes from
    assert 'value="builtin:exact_match" selected' in page
    assert 'name="seed" value="' not in page
    named = client.get(f"{NEW}?configuration=support+answers").content.decode()
    assert 'value="support answers" selected' in named
    assert re.search(r'value="chat"[^>]* checked', named)


def test_a_form_that_names_what_is_gone_shows_it(ready: SeededExperiments, client: Client) -> None:
    spec = ready.by_status["completed"].spec
    target = {"kind": "chat", "configuration": "gone", "base_url": "https://x.org", "secret": "old", "version": 3}
    Experiment.objects.filter(pk=ready.by_status["completed"].pk).update(spec={**spec, "target": target})
    page = client.get(f"{NEW}?from={ready.by_status['completed'].run.public_id}").content.decode()
    assert "gone (not offered any more)" in page
    assert "old (not offered any more)" in page


def test_buttons_do_what_their_pages_say(made: SeededExperiments, client: Client) -> None:
    running, paused = made.by_status["running"], made.by_status["paused"]

    asked = text_of(client.get(run_url(made, "running", "cancel/")).content.decode())
    assert "Cancel run server running?" in asked
    assert "5 datapoints will not be executed, 1 call under way included." in asked
    assert "Keep running" in asked
    told = client.post(run_url(made, "running", "cancel/"), follow=True).content.decode()
    assert "Run cancelled: server running. 6 of 11 datapoints are kept." in told
    running.refresh_from_db()
    assert (running.status, running.run.status) == ("cancelled", "cancelled")

    told = client.post(run_url(made, "paused", "resume/"), follow=True).content.decode()
    assert "Run resumed: server paused." in told
    told = client.post(run_url(made, "paused", "pause/"), follow=True).content.decode()
    assert "Run paused: server paused." in told
    paused.refresh_from_db()
    assert paused.status == "paused"

    asked = text_of(client.get(run_url(made, "completed", "retry/")).content.decode())
    assert "2 datapoints that failed are called again: at most 6 calls, about $0.0019." in asked
    told = client.post(run_url(made, "completed", "retry/"), follow=True).content.decode()
    assert "Failed ones retried: 2 datapoints of server completed." in told
    assert not DatapointRun.objects.filter(experiment=made.by_status["completed"], status="failed").exists()
    actions = (
        AuditEntry.objects.filter(action__startswith="experiment.").order_by("pk").values_list("action", flat=True)
    )
    wanted = ["experiment.cancel", "experiment.resume", "experiment.pause", "experiment.retry_failed"]
    assert list(actions)[-4:] == wanted


def test_a_run_is_repeated_over_the_same_version(ready: SeededExperiments, client: Client) -> None:
    target = {"kind": "http", "url": "https://93.184.215.14/answer"}
    cancelled = ready.by_status["cancelled"]
    Experiment.objects.filter(pk=cancelled.pk).update(spec={**cancelled.spec, "target": target}, pinned={})
    asked = text_of(client.get(run_url(ready, "cancelled", "rerun/")).content.decode())
    assert "A new run over pump questions@1 starts: 12 calls, at most 36 with retries." in asked
    answer = client.post(run_url(ready, "cancelled", "rerun/"))
    again = Experiment.objects.latest("pk")
    assert answer["Location"] == f"/console/runs/{again.run.public_id}/"
    assert (again.dataset_version_id, again.seed) == (cancelled.dataset_version_id, cancelled.seed)


@pytest.mark.parametrize(
    ("status", "button"),
    [("completed", "cancel"), ("paused", "pause"), ("running", "resume"), ("queued", "retry"), ("paused", "retry")],
)
def test_what_is_not_possible_now_says_why(made: SeededExperiments, client: Client, status: str, button: str) -> None:
    before = state()
    for answer in (client.get(run_url(made, status, f"{button}/")), client.post(run_url(made, status, f"{button}/"))):
        assert answer.status_code == 409
        assert f"&#x27;server {status}&#x27; is {status}" in answer.content.decode()
    assert state() == before


CONFIGURATION = {
    "name": "brief answers",
    "provider": "openai",
    "model": "gpt-4o-mini",
    "hyperparameters": '{"temperature": 0}',
    "tags": "support",
    "m-TOTAL_FORMS": "3",
    "m-INITIAL_FORMS": "0",
    "m-0-role": "system",
    "m-0-content": "Be brief.\r\nBe kind.",
    "m-1-role": "",
    "m-1-content": "",
    "m-2-role": "user",
    "m-2-content": "{{question}}",
    "do": "save",
}
CONFIGURATIONS = "/console/configurations"


def test_a_configuration_is_written_message_by_message(made: SeededExperiments, client: Client) -> None:
    told = client.post(f"{CONFIGURATIONS}/new/", CONFIGURATION, follow=True).content.decode()
    assert "Configuration created: brief answers." in told
    stored = Configuration.objects.get(name="brief answers")
    assert stored.parameters == {
        "call_type": "chat",
        "model": "gpt-4o-mini",
        "hyperparameters": {"temperature": 0},
        "template": [{"role": "system", "content": "Be brief.\nBe kind."}, {"role": "user", "content": "{{question}}"}],
    }
    change = f"{CONFIGURATIONS}/{stored.public_id}/change/"
    assert "Nothing changed: brief answers." in client.post(change, CONFIGURATION, follow=True).content.decode()
    told = client.post(change, {**CONFIGURATION, "m-0-content": "Be very brief.\r\nBe kind."}, follow=True)
    assert "Configuration changed: brief answers. It is version 2 now." in told.content.decode()
    differs = client.get(f"{CONFIGURATIONS}/{stored.public_id}/?version=2&old=1").content.decode()
    assert "Be <ins>very </ins>brief." in differs
    assert "Be very brief." not in client.get(f"{CONFIGURATIONS}/{stored.public_id}/?version=1").content.decode()
    asked = client.get(f"{CONFIGURATIONS}/{stored.public_id}/delete/").content.decode()
    assert "The configuration and its 2 versions go away." in asked
    client.post(f"{CONFIGURATIONS}/{stored.public_id}/delete/")
    assert not Configuration.objects.filter(name="brief answers").exists()


def test_a_configuration_keeps_what_the_form_has_no_field_for(made: SeededExperiments, client: Client) -> None:
    parameters = {
        "call_type": "completion",
        "model": "m",
        "responseFormat": {"type": "json_object"},
        "template": [{"role": "user", "content": "x", "name": "anna"}],
    }
    stored = Configuration.objects.create(project=made.seeded.project, name="odd", provider="x", parameters=parameters)
    change = f"{CONFIGURATIONS}/{stored.public_id}/change/"
    page = client.get(change).content.decode()
    other = unescape(re.search(r'<textarea name="other"[^>]*>(.*?)</textarea>', page, re.DOTALL)[1])
    form = {"name": "odd", "provider": "x", "model": "m2", "other": other, "m-TOTAL_FORMS": "0", "m-INITIAL_FORMS": "0"}
    client.post(change, form)
    stored.refresh_from_db()
    assert stored.parameters == {**parameters, "model": "m2"}


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": ""}, "name", "missing"),
        ({"name": "support answers"}, "name", "exists already"),
        ({"provider": ""}, "provider", "missing"),
        ({"model": ""}, "model", "missing"),
        ({"hyperparameters": "{"}, "hyperparameters", "line 1, column"),
        ({"hyperparameters": "[1]"}, "hyperparameters", "Write an object"),
        ({"other": '{"responseFormat": 7}'}, "other", "responseFormat"),
        ({"m-2-role": "x" * 41}, "m-2-role", "at most 40"),
    ],
)
def test_a_configuration_says_what_is_wrong(
    made: SeededExperiments, client: Client, change: dict[str, str], field: str, words: str
) -> None:
    before = state()
    answer = client.post(f"{CONFIGURATIONS}/new/", {**CONFIGURATION, **change})
    page = unescape(answer.content.decode())
    assert answer.status_code in (400, 409)
    assert words in summary_of(page)
    if field:
        assert f'<a href="#n-{field}">' in page
        assert words in page.split(f'id="n-{field}_error"')[1].split("</div>")[0]
    assert "Be kind." in page
    assert state() == before
