"""Members of a project and their roles. A project always keeps one owner."""

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from governance.domain.actions import Action, Role
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput, NotFound
from governance.models import Member
from governance.services import audit


@transaction.atomic
def add_member(*, caller: Caller, username: str, role: Role) -> Member:
    """Give a user of this installation a role in the caller's project."""
    caller.require(Action.MEMBERS_WRITE)
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise InvalidInput(
            f"There is no active user {username!r}; an operator creates users in the console.",
            field="username",
            value=username[:150],
        )
    try:
        with transaction.atomic():
            member = Member.objects.create(project_id=caller.project_id, user=user, role=role.value)
    except IntegrityError:
        raise Conflict(f"{username!r} is a member already; change the role instead.", field="username") from None
    _record(caller, "member.add", user, before=None, after=role)
    return member


@transaction.atomic
def change_role(*, caller: Caller, username: str, role: Role) -> Member:
    """Give a member another role. The last owner stays owner."""
    caller.require(Action.MEMBERS_WRITE)
    owners = _locked_owners(caller)
    member = _member(caller, username)
    before = Role(member.role)
    if before == role:
        return member
    if role != Role.OWNER:
        _require_another_owner(member, owners)
    member.role = role.value
    member.save(update_fields=["role"])
    _record(caller, "member.change_role", member.user, before=before, after=role)
    return member


@transaction.atomic
def remove_member(*, caller: Caller, username: str) -> None:
    """Take a member's role away. The last owner stays."""
    caller.require(Action.MEMBERS_WRITE)
    owners = _locked_owners(caller)
    member = _member(caller, username)
    _require_another_owner(member, owners)
    member.delete()
    _record(caller, "member.remove", member.user, before=Role(member.role), after=None)


def _locked_owners(caller: Caller) -> set[int]:
    """Keys of the owners' rows, locked in one order: two owners who remove each other do it one after the other."""
    owners = Member.objects.select_for_update().filter(project_id=caller.project_id, role=Role.OWNER.value)
    return {member.pk for member in owners.order_by("pk")}


def _require_another_owner(member: Member, owners: set[int]) -> None:
    if owners == {member.pk}:
        raise Conflict(
            f"{member.user.get_username()!r} is the last owner; make another member an owner first.", field="username"
        )


def _member(caller: Caller, username: str) -> Member:
    # `of`: the lock is on the member's row, not on the user's.
    members = Member.objects.select_for_update(of=("self",)).select_related("user")
    member = members.filter(project_id=caller.project_id, user__username=username).first()
    if member is None:
        raise NotFound(f"{username!r} is not a member of this project.", field="username", value=username[:150])
    return member


def _record(caller: Caller, action: str, user: User, *, before: Role | None, after: Role | None) -> None:
    audit.record(
        caller=caller,
        action=action,
        target_kind="member",
        target_id=str(user.pk),
        target_label=user.get_username(),
        before={"role": before.value} if before else None,
        after={"role": after.value} if after else None,
    )
