"""Projects: created by the installation's operator, with their quotas and their owner."""

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.domain.actions import ALLOWED_BY_ROLE, Action, Role
from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput, NotFound
from governance.models import Member, Project, ProjectStatus
from governance.services import audit, quotas


def system_caller(project: Project, *, label: str = "system", request_id: str = "") -> Caller:
    """A caller with every right in one project, for commands and workers acting by themselves."""
    return Caller(
        project_id=project.pk,
        project_public_id=project.public_id,
        project_name=project.name,
        actor_kind="system",
        actor_id="",
        actor_label=label,
        allowed=frozenset(Action),
        request_id=request_id,
    )


def user_caller(user: User, project: Project, *, request_id: str = "", address: str = "") -> Caller:
    """A console user's caller in one project; superusers have the owner's rights. No role: 404, not 403."""
    if user.is_superuser:
        allowed = ALLOWED_BY_ROLE[Role.OWNER]
    else:
        member = Member.objects.filter(user=user, project=project).first()
        if member is None:
            raise NotFound("This project does not exist or you are not a member of it.")
        allowed = ALLOWED_BY_ROLE[Role(member.role)]
    return Caller(
        project_id=project.pk,
        project_public_id=project.public_id,
        project_name=project.name,
        actor_kind="user",
        actor_id=str(user.pk),
        actor_label=user.get_username(),
        allowed=allowed,
        request_id=request_id,
        address=address,
    )


@transaction.atomic
def create_project(*, name: str, owner: User | None = None, description: str = "") -> Project:
    """A new project with default quotas; `owner` becomes its first member."""
    if not name.strip():
        raise InvalidInput("Field 'name' is empty; give the project a name.", field="name", value=name)
    if len(name.strip()) > 200:
        raise InvalidInput(
            f"Field 'name' has {len(name.strip())} characters; shorten it to 200.", field="name", value=name[:200]
        )
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name.strip(), description=description)
    except IntegrityError:
        raise Conflict(f"A project named {name!r} exists already; choose another name.", field="name") from None
    quotas.create_defaults(project_id=project.pk)
    if owner is not None:
        Member.objects.create(project=project, user=owner, role=Role.OWNER.value)
    audit.record(
        caller=system_caller(project),
        action="project.create",
        target_kind="project",
        target_id=project.public_id,
        target_label=project.name,
        after={"name": project.name, "owner": owner.get_username() if owner else None},
    )
    return project


@transaction.atomic
def set_status(*, caller: Caller, status: ProjectStatus) -> Project:
    """Suspend or resume the caller's project. Suspended: every key is answered 403; members still see the console."""
    caller.require(Action.PROJECT_WRITE)
    before = ProjectStatus.SUSPENDED if status == ProjectStatus.ACTIVE else ProjectStatus.ACTIVE
    if Project.objects.filter(pk=caller.project_id, status=before).update(status=status, updated_at=timezone.now()):
        audit.record(
            caller=caller,
            action="project.resume" if status == ProjectStatus.ACTIVE else "project.suspend",
            target_kind="project",
            target_id=caller.project_public_id,
            target_label=caller.project_name,
            before={"status": before.value},
            after={"status": status.value},
        )
    return Project.objects.get(pk=caller.project_id)
