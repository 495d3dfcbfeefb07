"""GitHub from inside one of its jobs: one comment on the pull request that is kept up to date."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from experiments.sdk.errors import ConfigurationError, ServerError, Unavailable
from experiments.sdk.transport.connection import LOOPBACK

if TYPE_CHECKING:
    import httpx

MAX_PAGES = 50
PER_PAGE = 100
LONGEST_BODY = 65_536  # characters that GitHub takes
TIMEOUT_SECONDS = 20.0
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One pull request, and with what right we speak there. `key` tells comments of several jobs apart."""

    api_url: str
    repository: str
    number: int
    token: str = field(repr=False)
    key: str = ""

    @property
    def marker(self) -> str:
        """The first line of our comment, which nobody sees."""
        return f"<!-- hhweb gate {re.sub(r'[^A-Za-z0-9 ._]+', '-', self.key).strip('-')} -->"


def pull_request(environment: Mapping[str, str]) -> PullRequest | None:
    """The pull request that a job runs for, from the variables that GitHub sets; None when it runs for none.

    Raises ConfigurationError when there is one, but no GITHUB_TOKEN or not the rest of the variables.
    """
    number = _number(environment.get("GITHUB_EVENT_PATH"))
    if number is None:
        return None
    token, repository = environment.get("GITHUB_TOKEN", ""), environment.get("GITHUB_REPOSITORY", "")
    if not token:
        raise ConfigurationError("No GITHUB_TOKEN: give the step `env: GITHUB_TOKEN: ${{ github.token }}`.")
    if not _REPOSITORY.fullmatch(repository):
        raise ConfigurationError(f"GITHUB_REPOSITORY is {repository!r}; it should be owner/name.")
    return PullRequest(
        api_url=environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/"),
        repository=repository,
        number=number,
        token=token,
        key=f"{environment.get('GITHUB_WORKFLOW', '')} {environment.get('GITHUB_JOB', '')}".strip(),
    )


def keep_comment(target: PullRequest, text: str) -> str:
    """Make our comment on the pull request say `text`: change the one that is there, else write one. Its address.

    Raises ServerError when GitHub refuses, Unavailable when it does not answer.
    """
    import httpx

    body = f"{target.marker}\n{text}"
    if len(body) > LONGEST_BODY:
        body = body[: LONGEST_BODY - 20].rstrip() + "\n\n… (shortened)"
    headers = {
        "Authorization": f"Bearer {target.token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    trust = urlsplit(target.api_url).hostname not in LOOPBACK
    try:
        with httpx.Client(
            base_url=target.api_url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=trust, follow_redirects=True
        ) as github:
            issue = f"/repos/{target.repository}/issues"
            known = _known(github, f"{issue}/{target.number}/comments", target.marker)
            if known is not None:
                answer = github.patch(f"{issue}/comments/{known}", json={"body": body})
            else:
                answer = github.post(f"{issue}/{target.number}/comments", json={"body": body})
            return str(_decoded(answer).get("html_url") or "")
    except httpx.HTTPError as error:
        raise Unavailable(f"No answer from {target.api_url}: {error}.") from error


def _is_trusted(comment: Mapping[str, Any]) -> bool:
    """Whether a bot or a member wrote it: a stranger may write our marker, too, and must not be what we change."""
    kind = (comment.get("user") or {}).get("type")
    return kind == "Bot" or comment.get("author_association") in ("OWNER", "MEMBER", "COLLABORATOR")


def _known(github: "httpx.Client", path: str, marker: str) -> int | None:
    """The id of our comment."""
    for page in range(1, MAX_PAGES + 1):
        found = _decoded(github.get(path, params={"per_page": PER_PAGE, "page": page}))
        for comment in found:
            if str(comment.get("body") or "").startswith(marker) and _is_trusted(comment):
                return int(comment["id"])
        if len(found) < PER_PAGE:
            return None
    return None


def _decoded(answer: "httpx.Response") -> Any:
    if answer.is_success:
        return answer.json()
    try:
        said = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = "no reason given"
    hint = ". The job needs `permissions: pull-requests: write`" if answer.status_code in (403, 404) else ""
    raise ServerError(f"GitHub answered {answer.status_code}: {said}{hint}.", status=answer.status_code)


def _number(event_path: str | None) -> int | None:
    """The pull request's number in the event that started the job."""
    if not event_path:
        return None
    try:
        event = json.loads(Path(event_path).read_text(encoding="utf-8"))
        return int(event["pull_request"]["number"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
