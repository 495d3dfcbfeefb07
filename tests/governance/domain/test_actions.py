"""Roles, kinds of keys, and the tables about them in the documentation."""

from pathlib import Path

import pytest

from governance.domain.actions import ALLOWED_BY_KEY_KIND, ALLOWED_BY_ROLE, Action, KeyKind, Role
from governance.domain.caller import Caller
from governance.domain.errors import Forbidden

TEXT = (Path(__file__).parents[3] / "docs" / "governance.md").read_text(encoding="utf-8")


def table(name: str) -> list[list[str]]:
    """Rows of a marked table, without its header."""
    text = TEXT.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_the_documented_roles_are_the_real_ones():
    header = TEXT.partition("<!-- roles -->\n")[2].splitlines()[0]
    roles = [Role(cell.strip()) for cell in header.strip("|").split("|")[1:]]
    assert roles == list(Role)
    documented = {
        row[0]: {role for role, cell in zip(roles, row[1:], strict=True) if cell == "yes"} for row in table("roles")
    }
    real = {action.value: {role for role in Role if action in ALLOWED_BY_ROLE[role]} for action in Action}
    assert documented == real


def test_the_documented_kinds_of_keys_are_the_real_ones():
    rows = {row[0]: row[2] for row in table("keys")}
    assert set(rows) == {kind.value for kind in KeyKind}
    assert rows["ingestion"] == "events.write` only"
    assert ALLOWED_BY_KEY_KIND[KeyKind.INGESTION] == {Action.EVENTS_WRITE}
    for kind in (KeyKind.PROJECT, KeyKind.DATA_PLANE):
        assert rows[kind.value] == "everything a maintainer may"
        assert ALLOWED_BY_KEY_KIND[kind] == ALLOWED_BY_ROLE[Role.MAINTAINER]


def test_no_key_changes_members_or_the_project():
    for allowed in ALLOWED_BY_KEY_KIND.values():
        assert not allowed & {Action.MEMBERS_WRITE, Action.PROJECT_WRITE}


def test_a_refusal_names_actor_action_and_project():
    caller = Caller(1, "p", "spine", "user", "7", "ada", frozenset({Action.RUNS_READ}))
    assert caller.is_authenticated
    assert caller.may(Action.RUNS_READ)
    caller.require(Action.RUNS_READ)
    with pytest.raises(Forbidden, match=r"ada may not do 'runs\.write' in project 'spine'") as refusal:
        caller.require(Action.RUNS_WRITE)
    assert refusal.value.details == {"action": "runs.write"}
