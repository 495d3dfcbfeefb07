"""Plain factories of what every app's tests start from."""

import itertools

from django.test import Client

from governance.domain.actions import KeyKind
from governance.models import Project
from governance.services.api_keys import issue_key
from governance.services.projects import create_project, system_caller

_numbers = itertools.count(1)


def make_project(name: str = "") -> Project:
    """A project made by the service, quotas and audit entry included."""
    return create_project(name=name or f"project {next(_numbers)}")


def make_token(project: Project, *, kind: KeyKind = KeyKind.PROJECT, scopes: list[str] | None = None) -> str:
    """The token of a new key of `project`."""
    _, token = issue_key(caller=system_caller(project), kind=kind, name=f"key {next(_numbers)}", scopes=scopes)
    return token


def make_client(token: str) -> Client:
    """A test client with a bearer token; answers exceptions as the server would, with 500."""
    return Client(headers={"authorization": f"Bearer {token}"}, raise_request_exception=False)
