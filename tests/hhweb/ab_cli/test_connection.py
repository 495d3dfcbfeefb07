"""Where the command line finds its server, and how refusals read."""

import json
import socket
import subprocess
import sys

import pytest

from hhweb.ab_cli.connection import Api, Refused, Unreachable, segment
from tests.hhweb.ab_cli.serving import PREFIX, Answer, error

PAGE = {"results": [], "pagination": {"total": 0}}


def test_credentials_of_a_data_folder_are_found_by_themselves(served, run):
    served.answer("GET", "/tests", PAGE)
    assert run("list").exit_code == 0
    assert served.asked[0].headers["authorization"] == "Bearer hh_secret"
    assert served.asked[0].path == f"{PREFIX}/tests?limit=20"


def test_environment_of_the_official_client_is_enough(served, run, tmp_path):
    (tmp_path / "data" / "credentials.json").unlink()
    served.answer("GET", "/tests", PAGE)
    assert run("list", env={"HH_API_URL": served.url + "/", "HH_API_KEY": "hh_env"}).exit_code == 0
    assert served.asked[0].headers["authorization"] == "Bearer hh_env"


def test_a_folder_on_the_line_beats_the_environment_and_options_beat_both(served, run, tmp_path):
    served.answer("GET", "/tests", PAGE)
    elsewhere = {"HH_API_URL": "http://127.0.0.1:9", "HH_API_KEY": "hh_env"}
    assert run("list", "--data", tmp_path / "data", env=elsewhere).exit_code == 0
    assert run("list", "--data", tmp_path / "data", "--api-key", "hh_said", env=elsewhere).exit_code == 0
    assert [one.headers["authorization"] for one in served.asked] == ["Bearer hh_secret", "Bearer hh_said"]


def test_the_key_of_a_folder_is_not_sent_to_another_server(served, run, tmp_path):
    data = tmp_path / "data" / "credentials.json"
    data.write_text(json.dumps({"url": "http://127.0.0.1:9", "api_key": "hh_secret"}))
    result = run("list", "--url", served.url)
    assert result.exit_code == 2
    assert "Which key?" in result.output
    assert served.asked == []


def test_nothing_known_is_said_with_what_to_do(run, tmp_path):
    (tmp_path / "data" / "credentials.json").unlink()
    result = run("list")
    assert result.exit_code == 2
    assert "Which server? Give --url, set HH_API_URL, or point --data at a folder of `hhweb up`." in result.output


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), ("{", "holds no url and api_key"), ("[]", "holds no url"), ('{"url": "x"}', "holds no")],
)
def test_bad_credentials_are_named(run, tmp_path, content, said):
    folder = tmp_path / "other"
    folder.mkdir()
    if content is not None:
        (folder / "credentials.json").write_text(content)
    result = run("list", "--data", folder)
    assert result.exit_code == 2
    assert said in result.output
    assert "credentials.json" in result.output


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://"])
def test_an_address_that_is_none_is_refused(run, url):
    result = run("list", "--url", url, "--api-key", "k")
    assert result.exit_code == 2
    assert "give one like http://127.0.0.1:8000" in result.output


def test_a_refusal_is_one_sentence_with_field_and_remedy(served, run):
    refused = error(400, "Field 'limit' is too much.", field="limit", value=1, remedy="take less")
    served.answer("GET", "/tests", refused)
    result = run("list")
    assert result.exit_code == 2
    assert result.output == "Error: Field 'limit' is too much. (remedy: take less)\n"


def test_a_field_that_the_sentence_leaves_out_is_added(served, run):
    served.answer("GET", "/tests", error(403, "Not allowed.", field="arms.a.provider"))
    assert run("list").output == "Error: Not allowed. (field: arms.a.provider)\n"


def test_a_fault_of_the_server_shows_the_request_id(served, run):
    served.answer("GET", "/tests", error(500, "Something went wrong on our side.", request_id="r-1"))
    assert run("list").output == "Error: Something went wrong on our side. (request r-1)\n"


@pytest.mark.parametrize("answer", [Answer(502, raw=b"<html>"), Answer(502, {"error": "x"}), Answer(502, ["x"])])
def test_an_error_in_no_known_shape_shows_its_status(served, run, answer):
    served.answer("GET", "/tests", answer)
    result = run("list")
    assert result.exit_code == 2
    assert result.output == "Error: The server answered 502 without a reason.\n"


def test_an_answer_that_is_no_json_asks_whether_it_is_hhweb(served, run):
    served.answer("GET", "/tests", Answer(raw=b"<html>welcome</html>"))
    result = run("list")
    assert result.exit_code == 2
    assert "is it hhweb?" in result.output


def test_a_server_that_is_not_there_is_said(run):
    with socket.socket() as held:  # bound, not listening: nobody else can take it
        held.bind(("127.0.0.1", 0))
        result = run("list", "--url", f"http://127.0.0.1:{held.getsockname()[1]}", "--api-key", "k")
    assert result.exit_code == 2
    assert "Does the server run there?" in result.output


def test_large_bodies_travel_packed_and_small_ones_plain(served):
    served.answer("POST", "/x", {"ok": True})
    api = Api(served.url, "k")
    assert api.post("/x", {"text": "a"}) == {"ok": True}
    assert api.post("/x", {"text": "a" * 300_000}) == {"ok": True}
    api.close()
    assert [one.headers.get("content-encoding") for one in served.asked] == [None, "gzip"]
    assert served.asked[1].body == {"text": "a" * 300_000}


def test_a_server_that_takes_no_packed_bodies_gets_it_plain(served):
    served.answer("POST", "/x", error(415, "no"), {"ok": True})
    api = Api(served.url, "k")
    assert api.post("/x", {"text": "a" * 300_000}) == {"ok": True}
    assert [one.headers.get("content-encoding") for one in served.asked] == ["gzip", None]
    served.answer("POST", "/x", error(400, "bad", field="text"))
    with pytest.raises(Refused) as caught:
        api.post("/x", {"text": "a" * 300_000})
    api.close()
    assert (caught.value.status, caught.value.field, len(served.asked)) == (400, "text", 3)


def test_a_download_that_ends_early_is_an_error(served):
    served.answer("GET", "/file", Answer(raw=b"half", length=100))
    api = Api(served.url, "k")
    with pytest.raises(Unreachable), api.download("/file") as pieces:
        list(pieces)
    api.close()


def test_ids_cannot_leave_their_place_in_the_path(served, run):
    assert segment("../tests?x") == "..%2Ftests%3Fx"
    run("start", "a/../b")
    assert served.asked[0].path == f"{PREFIX}/tests/a%2F..%2Fb/start"


def test_the_commands_load_no_server_libraries():
    code = (
        "import hhweb.ab_cli as a\n"
        "import sys\n"
        "assert 'httpx' not in sys.modules\n"
        "[a.ab.get_command(None, name) for name in a.COMMANDS]\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"django", "celery", "numpy", "scipy", "redis", "psycopg", "rest_framework"} & set(loaded)


def test_help_lists_all_commands_and_an_unknown_one_is_refused(run):
    shown = run("--help").output
    assert all(name in shown for name in ("import", "plan", "run", "watch", "results", "compare", "export"))
    assert run("nothing").exit_code == 2
