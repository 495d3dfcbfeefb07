"""`hhweb spool`: what waits is listed, delivered once, or thrown away when asked."""

import json
import uuid

import pytest

from experiments.sdk.transport.records import FinishedDatapoint
from experiments.sdk.transport.spool import Spool
from tests.experiments.sdk.fault_server import FaultServer, answer


@pytest.fixture
def other():
    with FaultServer() as found:
        yield found


def wait_in_spool(url, *, name="waiting", datapoints=2, finished=True):
    """A run in the spool as a client leaves it; its id."""
    run_id = str(uuid.uuid4())
    create = {"run_id": run_id, "name": name, "status": "running"}
    header = {"server_url": url, "name": name, "create": create, "aggregate_function": "average"}
    spooled = Spool().open_run(run_id, header)
    for number in range(datapoints):
        session = {
            "session_name": name,
            "source": "evaluation",
            "start_time": 1.0,
            "end_time": 2.0,
            "inputs": {"n": number},
            "outputs": {},
            "metadata": {"run_id": run_id, "datapoint_id": f"d{number}"},
            "metrics": {},
        }
        spooled.append(FinishedDatapoint(session_id=str(uuid.uuid4()), session=session))
    if finished:
        spooled.finish({"status": "completed", "name": name})
    spooled.close()
    return run_id


def test_an_empty_spool_says_so(lonely):
    assert lonely("spool", "list").stdout == "Nothing waits.\n"
    assert json.loads(lonely("spool", "list", "--json").stdout) == {"runs": []}
    assert lonely("spool", "replay").stdout == "Nothing waits.\n"
    assert json.loads(lonely("spool", "replay", "--json").stdout) == {"runs": []}


def test_what_waits_is_listed_with_its_state(lonely, other):
    first = wait_in_spool(other.url, name="first")
    second = wait_in_spool(other.url, name="second", finished=False)
    held = Spool().reopen(first)

    shown = lonely("spool", "list").stdout
    listed = json.loads(lonely("spool", "list", "--json").stdout)["runs"]
    held.close()

    assert [(run["run_id"], run["datapoints"], run["is_locked"]) for run in listed] == [
        (first, 2, True),
        (second, 2, False),
    ]
    states = {line.split()[0]: line.split()[-1] for line in shown.splitlines() if first in line or second in line}
    assert states == {first: "use", second: "interrupted"}
    assert "complete" in lonely("spool", "list").stdout


def test_the_one_run_that_waits_is_delivered_to_its_own_server_once(lonely, other, monkeypatch):
    run_id = wait_in_spool(other.url)
    monkeypatch.setenv("HH_API_KEY", "any")

    result = lonely("spool", "replay")

    assert result.exit_code == 0
    told = f"run {run_id} (waiting): 2 datapoints delivered. {other.url}/console/runs/{run_id}/\n"
    assert result.stdout == told
    assert other.runs[run_id]["status"] == "completed"
    assert sorted(other.deliveries.values()) == [1, 1]
    assert lonely("spool", "replay").stdout == "Nothing waits.\n"


def test_of_several_runs_one_is_named_or_all_are_meant(lonely, other):
    first, second, third = (wait_in_spool(other.url, name="") for _ in range(3))
    options = ["--url", other.url, "--api-key", "any"]

    unclear = lonely("spool", "replay", *options)
    one = json.loads(lonely("spool", "replay", first[:13], *options, "--json").stdout)
    rest = lonely("spool", "replay", "--all", *options)

    assert unclear.exit_code == 2
    assert "3 runs wait: name one, or deliver them all with --all." in unclear.stderr
    assert [run["run_id"] for run in one["runs"]] == [first]
    assert one["runs"][0]["url"] == f"{other.url}/console/runs/{first}/"
    assert rest.exit_code == 0
    assert {line.split()[1].rstrip(":") for line in rest.stdout.splitlines()} == {second, third}
    assert lonely("spool", "replay", first, "--all").exit_code == 2
    assert "No run waits that begins with 'none'" in lonely("spool", "replay", "none", *options).stderr


def test_the_beginning_of_several_runs_is_refused(lonely, other):
    for _ in range(2):
        wait_in_spool(other.url)

    assert "2 waiting runs begin with ''" in lonely("spool", "replay", "").stderr


def test_a_run_that_still_waits_gives_exit_code_3_and_the_reason(lonely, other):
    run_id = wait_in_spool(other.url)

    without_key = lonely("spool", "replay")
    other.plan(answer(401), path="/opentelemetry")
    refused = lonely("spool", "replay", "--url", other.url, "--api-key", "any")

    assert without_key.exit_code == 3
    assert f"run {run_id} (waiting): 0 datapoints delivered, 2 still wait." in without_key.stdout
    assert "give --api-key, set HH_API_KEY" in without_key.stdout
    assert refused.exit_code == 3
    assert "planned 401" in refused.stdout
    assert lonely("spool", "list", "--json").stdout.count(run_id) > 0


def test_a_run_of_a_server_that_moved_goes_to_its_new_address(lonely, other):
    run_id = wait_in_spool("http://127.0.0.1:9")
    options = ["--url", other.url, "--api-key", "any"]

    told = lonely("spool", "replay", *options)
    moved = lonely("spool", "replay", "--moved", *options)

    assert told.exit_code == 3
    assert f"It waits for http://127.0.0.1:9, not for {other.url}" in told.stdout
    assert moved.exit_code == 0
    assert f"{other.url}/console/runs/{run_id}/" in moved.stdout


def test_an_interrupted_run_is_delivered_with_the_way_to_go_on(lonely, other):
    run_id = wait_in_spool(other.url, finished=False)

    result = lonely("spool", "replay", "--url", other.url, "--api-key", "any")

    assert result.exit_code == 0
    assert f"--resume {run_id}` executes what is missing" in result.stderr


def test_what_the_server_refuses_is_told_and_stays_until_it_is_dropped(lonely, other):
    run_id = wait_in_spool(other.url)
    other.plan(*[answer(422)] * 9, path="/opentelemetry", when=lambda request: b'\\"n\\":1' in request.raw)

    result = lonely("spool", "replay", "--url", other.url, "--api-key", "any")

    assert result.exit_code == 3
    assert "1 datapoints delivered, 1 refused:" in result.stdout
    assert "planned 422" in result.stdout
    assert f"hhweb spool drop {run_id}" in result.stderr
    assert lonely("spool", "drop", run_id, "--yes").stdout == f"run {run_id}: 1 datapoints thrown away\n"


def test_dropping_asks_first(lonely, other):
    run_id = wait_in_spool(other.url)

    asked = lonely("spool", "drop", run_id[:13], input="n\n")
    nobody = lonely("spool", "drop", run_id)
    agreed = lonely("spool", "drop", run_id, "--json", input="y\n")

    assert (asked.exit_code, nobody.exit_code) == (2, 2)
    assert "Throw away 2 datapoints of run" in asked.stderr
    assert "--yes does so without asking" in nobody.stderr
    assert json.loads(agreed.stdout) == {"run_id": run_id, "dropped": 2}
    assert lonely("spool", "list").stdout == "Nothing waits.\n"
    assert other.requests == []


def test_sizes_are_shown_for_people():
    from hhweb.client_cli.spool import _size

    assert [_size(size) for size in (512, 2048, 3 * 1024**2)] == ["0 KiB", "2 KiB", "3.0 MiB"]
