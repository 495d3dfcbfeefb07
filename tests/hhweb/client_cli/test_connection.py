"""How client commands find a server, and how they say that they cannot reach it."""

import json

import pytest

from hhweb.client_cli import connection

pytestmark = pytest.mark.process

NOBODY = "http://127.0.0.1:9"  # the discard port: nobody listens


def test_a_data_folder_said_on_the_line_wins_over_the_environment(run, server, monkeypatch):
    monkeypatch.setenv("HH_API_URL", NOBODY)
    monkeypatch.setenv("HH_API_KEY", "hh_wrong")

    assert run("datasets", "list", "--data", server.data).exit_code == 0


def test_the_data_folder_beside_us_is_found_without_a_word(lonely, alone, server):
    (alone / "data").mkdir()
    (alone / "data" / "credentials.json").write_text(json.dumps(server.credentials))

    assert lonely("datasets", "list").exit_code == 0


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), ("{}", "holds no url and api_key"), ("?", "holds no")]
)
def test_a_data_folder_without_credentials_is_refused_by_name(lonely, alone, content, said):
    (alone / "other").mkdir()
    if content is not None:
        (alone / "other" / "credentials.json").write_text(content)

    result = lonely("runs", "list", "--data", "other")

    assert result.exit_code == 2
    assert "other/credentials.json" in result.stderr
    assert said in result.stderr


def test_no_server_at_all_is_one_sentence_with_the_options_to_give(lonely):
    result = lonely("runs", "list")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "give --api-key, set HH_API_KEY, or type `hhweb login`" in result.stderr
    assert "…" not in result.stderr


def test_a_server_that_is_away_is_one_sentence_within_seconds(lonely):
    result = lonely("runs", "list", "--url", NOBODY, "--api-key", "hh_any", "--json")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"No answer from {NOBODY}" in result.stderr


def test_a_wrong_key_is_refused_in_the_servers_words(run):
    result = run("runs", "list", "--api-key", "hh_wrong")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert "key" in result.stderr


def test_an_interrupt_ends_with_its_own_exit_code(run, monkeypatch):
    def interrupted(settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, "open_client", interrupted)

    result = run("runs", "list")

    assert result.exit_code == 130
    assert result.stderr == "Interrupted.\n"
