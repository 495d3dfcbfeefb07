"""The comment on a pull request: one, however often a job runs, and told when it cannot be written."""

import json

import pytest

from experiments.sdk.errors import ConfigurationError, ServerError, Unavailable
from experiments.sdk.gate.github import LONGEST_BODY, keep_comment, pull_request
from tests.experiments.sdk.github_server import serve_github


@pytest.fixture
def github():
    with serve_github() as found:
        yield found


@pytest.fixture
def environment(github, tmp_path):
    """What GitHub sets for a job of pull request 7."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    return {
        "GITHUB_API_URL": github.url,
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": github.token,
        "GITHUB_WORKFLOW": "hhweb --> <b>",
        "GITHUB_JOB": "experiment",
    }


def test_two_runs_leave_one_comment_with_the_later_text(github, environment):
    for number in range(150):  # somebody has been talking: ours is on the second page
        github.add(f"comment {number}")
    github.add("<!-- hhweb gate other job -->\nanother job's")
    target = pull_request(environment)
    first = keep_comment(target, "one")
    second = keep_comment(target, "two")
    assert first == second
    ours = [each["body"] for each in github.comments.values() if each["body"].startswith(target.marker)]
    assert ours == ["<!-- hhweb gate hhweb - -b- experiment -->\ntwo"]
    assert len(github.comments) == 152
    assert [call.split()[0] for call in github.calls] == ["GET", "GET", "POST", "GET", "GET", "PATCH"]


def test_a_strangers_comment_with_our_marker_is_left_alone(github, environment):
    target = pull_request(environment)
    theirs = github.add(f"{target.marker}\nhello", author="User", association="CONTRIBUTOR")
    keep_comment(target, "ours")
    assert github.comments[theirs]["body"] == f"{target.marker}\nhello"
    members = github.add(f"{target.marker}\nby hand", author="User", association="MEMBER")
    github.comments = {key: each for key, each in github.comments.items() if key in (theirs, members)}
    keep_comment(target, "again")
    assert github.comments[members]["body"] == f"{target.marker}\nagain"


def test_a_body_too_long_for_github_is_shortened(github, environment):
    keep_comment(pull_request(environment), "x" * 100_000)
    (comment,) = github.comments.values()
    assert len(comment["body"]) <= LONGEST_BODY
    assert comment["body"].endswith("x\n\n… (shortened)")


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (None, "GitHub answered 401: Bad credentials."),
        (
            (403, b'{"message": "Resource not accessible"}'),
            "GitHub answered 403: Resource not accessible. The job needs `permissions: pull-requests: write`.",
        ),
        ((502, b"<html>"), "GitHub answered 502: no reason given."),
    ],
)
def test_refusals_are_told_with_the_remedy(github, environment, refusal, said):
    github.refusal = refusal
    with pytest.raises(ServerError) as caught:
        keep_comment(pull_request({**environment, "GITHUB_TOKEN": "wrong"}), "text")
    assert str(caught.value) == said
    assert "wrong" not in repr(pull_request({**environment, "GITHUB_TOKEN": "wrong"}))


def test_silence_is_told(environment):
    target = pull_request({**environment, "GITHUB_API_URL": "http://127.0.0.1:9"})
    with pytest.raises(Unavailable, match=r"No answer from http://127\.0\.0\.1:9"):
        keep_comment(target, "text")


def test_only_jobs_of_pull_requests_have_one(environment, tmp_path):
    push = tmp_path / "push.json"
    push.write_text('{"ref": "refs/heads/main"}')
    assert pull_request({}) is None
    assert pull_request({**environment, "GITHUB_EVENT_PATH": str(push)}) is None
    assert pull_request({**environment, "GITHUB_EVENT_PATH": str(tmp_path / "none")}) is None
    with pytest.raises(ConfigurationError, match="No GITHUB_TOKEN"):
        pull_request({**environment, "GITHUB_TOKEN": ""})
    with pytest.raises(ConfigurationError, match="should be owner/name"):
        pull_request({**environment, "GITHUB_REPOSITORY": "o/r/../x"})
