"""Which commit ran: branch, commit and whether files had been changed, for baselines and for people."""

import os
import subprocess
from typing import Any

_TIMEOUT_SECONDS = 2.0


def git_context() -> dict[str, Any]:
    """`{commit, branch, is_dirty}` of the working folder; empty where there is no repository or no git.

    In a CI job the checkout has no branch; the job's own variables name it then. No remote address is read: it may
    hold a password.
    """
    shown = _git("status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if shown is None:
        return {}
    lines = shown.splitlines()
    heads = dict(line[9:].split(" ", 1) for line in lines if line.startswith("# branch.") and " " in line[9:])
    branch = heads.get("head", "")
    if branch in ("", "(detached)"):
        names = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME", "BRANCH_NAME")
        branch = next((value for name in names if (value := os.environ.get(name))), "")
    found: dict[str, Any] = {"is_dirty": any(not line.startswith("#") for line in lines)}
    if heads.get("oid", "(initial)") != "(initial)":
        found["commit"] = heads["oid"]
    if branch:
        found["branch"] = branch
    return found


def _git(*arguments: str) -> str | None:
    try:
        ended = subprocess.run(  # noqa: S603 - our own words
            ["git", *arguments],  # noqa: S607 - the user's git, wherever it is
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return ended.stdout if ended.returncode == 0 else None
