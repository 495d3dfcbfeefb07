"""`hhweb init github`: the workflow is valid, and its steps do what they say, in bash, against a real server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hhweb import __version__
from tests.experiments.sdk.github_server import serve_github

WORKFLOW = Path(".github/workflows/hhweb.yml")
# What a runner's own shell is: https://docs.github.com/actions (defaults.run.shell).
BASH = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]


def steps_of(root):
    """Steps of the workflow that run commands, by name."""
    (job,) = yaml.safe_load((root / WORKFLOW).read_text())["jobs"].values()
    return job["env"], {step["name"]: step for step in job["steps"] if "run" in step}


class Runner:
    """A runner of GitHub for one event: executes steps of the workflow with what GitHub would set."""

    def __init__(self, root, github, home, *, event, secrets, **variables):
        self.root, self.home = root, home
        self.env, self.steps = steps_of(root)
        home.mkdir()
        (home / "event.json").write_text(json.dumps(event))
        for name in ("output", "summary.md"):
            (home / name).touch()
        self.context = {"github.token": github.token} | {f"secrets.{name}": value for name, value in secrets.items()}
        self.variables = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": github.url,
            "GITHUB_EVENT_PATH": str(home / "event.json"),
            "GITHUB_JOB": "experiment",
            "GITHUB_OUTPUT": str(home / "output"),
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_STEP_SUMMARY": str(home / "summary.md"),
            "GITHUB_WORKFLOW": "hhweb",
            "RUNNER_TEMP": str(home),
            "PIP_NO_INDEX": "1",  # what is asked for is installed; nothing may be fetched
            "HHWEB_CONFIG_DIR": str(home / "config"),
            **variables,
        }

    def expanded(self, text):
        """Expressions as GitHub puts them in; a secret that is not there is empty."""
        return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: self.context.get(found[1], ""), text)

    def run(self, name):
        """Execute one step; its exit code and what it printed."""
        step = self.steps[name]
        given = {key: self.expanded(str(value)) for key, value in {**self.env, **step.get("env", {})}.items()}
        script = self.home / "step.sh"
        script.write_text(self.expanded(step["run"]))
        ended = subprocess.run(
            [*BASH, str(script)],
            cwd=self.root,
            env={**self.variables, **given},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        for line in (self.home / "output").read_text().splitlines():
            key, _, value = line.partition("=")
            self.context[f"steps.{step.get('id')}.outputs.{key}"] = value
        return ended.returncode, ended.stdout + ended.stderr


def git(root, *arguments):
    named = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(root), *named, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(alone, lonely):
    """A repository in which `hhweb init github` was called."""
    root = alone / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "trunk")
    result = lonely("init", "github", "--path", root, "--branch", "trunk")
    assert result.exit_code == 0, result.output
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "begin")
    return root


@pytest.mark.process
def test_the_steps_gate_a_pull_request_against_the_base_branch_and_keep_one_comment(repository, server, tmp_path):
    secrets = {"HH_API_URL": server.url, "HH_API_KEY": server.credentials["api_key"]}
    pull = {"event": {"pull_request": {"number": 7}}, "GITHUB_BASE_REF": "trunk", "GITHUB_HEAD_REF": "feature"}
    example = repository / "evals/example.py"
    right = example.read_text()
    with serve_github() as github:
        push = Runner(repository, github, tmp_path / "push", event={}, secrets=secrets, GITHUB_REF_NAME="trunk")
        for name in ("Look for the secrets", "Install", "Run the experiment"):
            assert push.run(name)[0] == 0, (name, push.run(name))
        assert push.context["steps.secrets.outputs.found"] == "true"

        git(repository, "checkout", "-q", "--detach")  # as actions/checkout leaves a pull request
        example.write_text(right.replace("str(sum(numbers))", "str(sum(numbers[:1]))"))
        worse = Runner(repository, github, tmp_path / "worse", secrets=secrets, **pull)
        assert worse.run("Run the experiment")[0] == 0
        code, said = worse.run("Gate")
        assert code == 1, said
        assert "exact: at most 0.05 worse than the baseline: Worse by 1, 95 % interval" in said
        (comment,) = github.comments.values()
        assert comment["body"].startswith("<!-- hhweb gate hhweb experiment -->\n## ❌ hhweb gate: 2 of 5 rules failed")
        assert "hhweb gate: 2 of 5 rules failed" in (tmp_path / "worse/summary.md").read_text()

        example.write_text(right)
        mended = Runner(repository, github, tmp_path / "mended", secrets=secrets, **pull)
        mended.run("Run the experiment")
        code, said = mended.run("Gate")
        assert code == 0, said
        assert mended.run("Report")[0] == 0
        (comment,) = github.comments.values()
        assert "✅ hhweb gate: passed" in comment["body"]
        assert push.context["steps.run.outputs.id"][:8] in comment["body"]  # the base branch's run is the baseline
    assert {path.name for path in (tmp_path / "mended").iterdir()} >= {"hhweb-report.html", "hhweb-gate.xml"}


def test_without_secrets_nothing_runs_and_the_job_says_why(repository, tmp_path):
    with serve_github() as github:
        fork = Runner(repository, github, tmp_path / "fork", event={"pull_request": {"number": 8}}, secrets={})
        code, said = fork.run("Look for the secrets")
    assert (code, fork.context["steps.secrets.outputs.found"]) == (0, "false")
    assert "::notice title=hhweb::No experiment was run" in said
    assert "Pull requests from forks never get them" in (tmp_path / "fork/summary.md").read_text()
    (job,) = yaml.safe_load((repository / WORKFLOW).read_text())["jobs"].values()
    assert [step["if"] for step in job["steps"][1:5]] == ["steps.secrets.outputs.found == 'true'"] * 4
    assert all("steps.run.outputs.id" in step["if"] for step in job["steps"][5:])


def test_the_workflow_is_valid_by_the_published_schema_and_asks_for_no_more_than_it_needs(repository):
    from check_jsonschema.builtin_schemas import get_builtin_schema
    from jsonschema import Draft7Validator

    text = (repository / WORKFLOW).read_text()
    # YAML 1.1 reads the key `on` as a truth.
    document = json.loads(
        json.dumps({{True: "on"}.get(key, key): value for key, value in yaml.safe_load(text).items()})
    )
    schema = get_builtin_schema("vendor.github-workflows")
    assert [error.message for error in Draft7Validator(schema).iter_errors(document)] == []
    assert document["on"] == {"pull_request": None, "push": {"branches": ["trunk"]}}  # never pull_request_target
    assert document["permissions"] == {"contents": "read"}
    (job,) = document["jobs"].values()
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
    # What a stranger may choose (titles, names of branches) is never put into a script.
    assert all("${{" not in step["run"] for step in job["steps"] if "run" in step)
    assert f'"hhweb~={__version__}"' in text
    assert "@@" not in text


def test_what_is_there_is_kept(lonely, alone):
    assert lonely("init", "github").exit_code == 0
    example = alone / "evals/example.py"
    example.write_text("mine = 1\n")
    refused = lonely("init", "github")
    assert (refused.exit_code, "is there already; --force overwrites it" in refused.stderr) == (2, True)
    again = lonely("init", "github", "--force")
    assert (again.exit_code, again.stdout) == (0, "Wrote .github/workflows/hhweb.yml\n")
    assert example.read_text() == "mine = 1\n"


def test_an_experiment_that_is_there_is_taken(lonely, alone):
    (alone / "evals").mkdir()
    (alone / "evals/answers.py").write_text("")
    git(alone, "init", "-q", "-b", "x")
    assert lonely("init", "github").exit_code == 0
    _, steps = steps_of(alone)
    assert steps["Run the experiment"]["env"] == {"EXPERIMENT": "evals/answers.py"}
    assert "--require-pass-rate 0.95" in steps["Gate"]["run"]
    assert not (alone / "evals/example.py").exists()
    assert yaml.safe_load((alone / WORKFLOW).read_text())[True]["push"]["branches"] == ["main"]
    (alone / "evals/others.py").write_text("")
    several = lonely("init", "github", "--force")
    assert (several.exit_code, "Choose one with --experiment" in several.stderr) == (2, True)
    assert lonely("init", "github", "--force", "--experiment", "evals/answers.py:mine").exit_code == 0
    assert steps_of(alone)[1]["Run the experiment"]["env"] == {"EXPERIMENT": "evals/answers.py:mine"}
    missing = lonely("init", "github", "--force", "--experiment", "evals/none.py")
    assert (missing.exit_code, "There is no file evals/none.py" in missing.stderr) == (2, True)


def test_the_base_branch_is_what_origin_says(lonely, alone):
    git(alone, "init", "-q", "-b", "x")
    git(alone, "commit", "-q", "--allow-empty", "-m", "begin")
    git(alone, "update-ref", "refs/remotes/origin/develop", "HEAD")
    git(alone, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/develop")
    assert lonely("init", "github").exit_code == 0
    assert yaml.safe_load((alone / WORKFLOW).read_text())[True]["push"]["branches"] == ["develop"]


def test_a_folder_that_cannot_be_written_is_named(lonely, alone):
    (alone / ".github").write_text("a file")
    result = lonely("init", "github")
    assert (result.exit_code, "cannot be written: " in result.stderr) == (2, True)


def test_without_git_the_base_branch_is_main(lonely, alone, monkeypatch):
    monkeypatch.setenv("PATH", str(alone))
    assert lonely("init", "github").exit_code == 0
    assert yaml.safe_load((alone / WORKFLOW).read_text())[True]["push"]["branches"] == ["main"]
