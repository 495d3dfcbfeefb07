"""Members and roles: an owner always stays."""

from dataclasses import replace

import pytest
from django.contrib.auth.models import User

from governance.domain.actions import ALLOWED_BY_ROLE, Action, Role
from governance.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from governance.models import AuditEntry, Member
from governance.services import members
from governance.services.projects import system_caller, user_caller
from tests.factories import make_project
from tests.governance.threads import at_once


@pytest.fixture
def ada(caller) -> User:
    """The only owner."""
    user = User.objects.create_user("ada")
    members.add_member(caller=caller, username="ada", role=Role.OWNER)
    return user


def roles() -> dict[str, str]:
    return dict(Member.objects.order_by("user__username").values_list("user__username", "role"))


def test_a_member_is_added_changed_and_removed_and_all_of_it_audited(caller, project, ada):
    bob = User.objects.create_user("bob")
    members.add_member(caller=caller, username="bob", role=Role.VIEWER)
    assert user_caller(bob, project).allowed == ALLOWED_BY_ROLE[Role.VIEWER]
    members.change_role(caller=caller, username="bob", role=Role.AUDITOR)
    assert user_caller(bob, project).allowed == ALLOWED_BY_ROLE[Role.AUDITOR]
    members.remove_member(caller=caller, username="bob")
    with pytest.raises(NotFound):
        user_caller(bob, project)
    said = AuditEntry.objects.filter(target_label="bob").order_by("sequence").values_list("action", "before", "after")
    assert list(said) == [
        ("member.add", None, {"role": "viewer"}),
        ("member.change_role", {"role": "viewer"}, {"role": "auditor"}),
        ("member.remove", {"role": "auditor"}, None),
    ]


def test_the_last_owner_stays(caller, ada):
    User.objects.create_user("bob")
    members.add_member(caller=caller, username="bob", role=Role.MAINTAINER)
    entries = AuditEntry.objects.count()
    with pytest.raises(Conflict, match="last owner"):
        members.remove_member(caller=caller, username="ada")
    with pytest.raises(Conflict, match="last owner"):
        members.change_role(caller=caller, username="ada", role=Role.VIEWER)
    assert roles() == {"ada": "owner", "bob": "maintainer"}
    assert AuditEntry.objects.count() == entries
    members.change_role(caller=caller, username="bob", role=Role.OWNER)
    members.remove_member(caller=caller, username="ada")
    assert roles() == {"bob": "owner"}


def test_the_same_role_again_changes_nothing(caller, ada):
    entries = AuditEntry.objects.count()
    assert members.change_role(caller=caller, username="ada", role=Role.OWNER).role == "owner"
    assert AuditEntry.objects.count() == entries


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_remove_each_other_leave_one(caller, ada):
    User.objects.create_user("bob")
    members.add_member(caller=caller, username="bob", role=Role.OWNER)
    names = ["ada", "bob"]
    results = at_once(2, lambda number: members.remove_member(caller=caller, username=names[number]))
    assert results.count(None) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert list(roles().values()) == ["owner"]


def test_nobody_is_a_member_twice(caller, ada):
    with pytest.raises(Conflict, match="member already"):
        members.add_member(caller=caller, username="ada", role=Role.VIEWER)
    assert roles() == {"ada": "owner"}


@pytest.mark.parametrize("active", [True, False])
def test_only_active_users_become_members(caller, active):
    if not active:
        User.objects.create_user("gone", is_active=False)
    with pytest.raises(InvalidInput, match="no active user 'gone'"):
        members.add_member(caller=caller, username="gone", role=Role.VIEWER)
    assert roles() == {}


def test_members_of_another_project_are_not_there(caller, ada):
    other = system_caller(make_project())
    with pytest.raises(NotFound):
        members.remove_member(caller=other, username="ada")
    with pytest.raises(NotFound):
        members.change_role(caller=other, username="ada", role=Role.VIEWER)
    assert roles() == {"ada": "owner"}


@pytest.mark.parametrize("role", [role for role in Role if role != Role.OWNER])
def test_only_owners_change_members(caller, ada, role):
    weak = replace(caller, allowed=ALLOWED_BY_ROLE[role])
    for change in (
        lambda: members.add_member(caller=weak, username="ada", role=Role.VIEWER),
        lambda: members.change_role(caller=weak, username="ada", role=Role.VIEWER),
        lambda: members.remove_member(caller=weak, username="ada"),
    ):
        with pytest.raises(Forbidden) as refusal:
            change()
        assert refusal.value.details == {"action": Action.MEMBERS_WRITE.value}
    assert roles() == {"ada": "owner"}


def test_a_superuser_has_the_owners_rights_everywhere(project, db):
    root = User.objects.create_superuser("root")
    assert user_caller(root, project).allowed == ALLOWED_BY_ROLE[Role.OWNER]
