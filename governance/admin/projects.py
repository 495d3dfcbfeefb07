"""Console pages of a project: quotas, members and keys. Every change is a POST after a page that says what will be."""

import datetime as dt
from typing import Any

from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from governance.admin.pages import Visit, back, clean, page
from governance.domain import figures, formats
from governance.domain.actions import Action, KeyKind, Role
from governance.domain.errors import DomainError, InvalidInput, NotFound
from governance.models import ApiKey, Resource
from governance.selectors import projects as reads
from governance.services import api_keys, members, quotas

RESOURCE_WORDS = {
    Resource.EVENTS: "events this month",
    Resource.RUNS: "runs",
    Resource.DATASETS: "datasets",
    Resource.DATAPOINTS: "datapoints",
    Resource.API_KEYS: "API keys",
    Resource.CORPUS_DOCUMENTS: "corpus documents",
    Resource.COLLECTIONS: "collections",
    Resource.CHUNKS: "chunks",
    Resource.VECTOR_BYTES: "bytes of vectors",
    Resource.AB_TESTS: "A/B tests",
    Resource.EMBEDDING_TOKENS: "embedded tokens this month",
}
LIFETIMES = {"": "never", "30": "in 30 days", "90": "in 90 days", "365": "in one year"}


def _key_state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= timezone.now() else "active"


@page(Action.PROJECT_READ)
def project_page(visit: Visit) -> HttpResponseBase:
    """Who may do what, and how much is left?"""
    today = timezone.now().date()
    limits: list[dict[str, Any]] = []
    for quota in reads.quotas(caller=visit.caller):
        used = reads.used_now(quota, today)
        words = RESOURCE_WORDS.get(Resource(quota.resource), quota.resource)
        share = used / quota.ceiling if quota.ceiling else 1.0
        limits.append(
            {
                "resource": quota.resource,
                "words": words,
                "used": used,
                "ceiling": quota.ceiling,
                "share": formats.rate(used, quota.ceiling),
                "state": "full" if share >= 1 else "warning" if share >= 0.8 else "",
                "bar": figures.bar(used, quota.ceiling, label=f"{words}: {used} of {quota.ceiling} used"),
                "sort": share,
            }
        )
    limits.sort(key=lambda row: -row["sort"])
    people = list(reads.members(caller=visit.caller)[:200])
    keys = []
    if visit.caller.may(Action.KEYS_READ):
        keys = [{"key": key, "state": _key_state(key)} for key in reads.api_keys(caller=visit.caller)[:200]]
    active = sum(1 for row in keys if row["state"] == "active")
    tight = [row["words"] for row in limits if row["state"]]
    return visit.render(
        "console/project.html",
        title="Project",
        limits=limits,
        members=people,
        keys=keys,
        active_keys=active,
        tight=tight,
        role=next((member.role for member in people if str(member.user_id) == visit.caller.actor_id), ""),
    )


@page(Action.KEYS_WRITE, methods=("GET", "POST"))
def new_key(visit: Visit) -> HttpResponseBase:
    """Create a key; its token is in the answer to the POST and nowhere after."""
    post = visit.request.POST
    error: DomainError | None = None
    if visit.request.method == "POST":
        try:
            try:
                kind = KeyKind(post.get("kind", ""))
            except ValueError:
                raise InvalidInput("Choose a kind of key.", field="kind") from None
            days = post.get("days", "")
            if days not in LIFETIMES:
                raise InvalidInput("Choose when the key expires.", field="days")
            expires = timezone.now() + dt.timedelta(days=int(days)) if days else None
            key, token = api_keys.issue_key(
                caller=visit.caller,
                kind=kind,
                name=clean(post.get("name")),
                description=clean(post.get("description"), 2000),
                expires_at=expires,
            )
        except DomainError as refused:
            error = refused
        else:
            return visit.render("console/key_created.html", title="Key created", key=key, token=token)
    return visit.render(
        "console/key_form.html",
        title="New API key",
        kinds=[
            (KeyKind.PROJECT.value, "project", "everything the SDK needs: read and write"),
            (KeyKind.INGESTION.value, "ingestion", "may only send events"),
            (KeyKind.DATA_PLANE.value, "data plane", "for /v1/projects/… only"),
        ],
        lifetimes=list(LIFETIMES.items()),
        values=post,
        error=error,
        status=400 if error else 200,
    )


@page(Action.KEYS_WRITE, methods=("GET", "POST"))
def revoke_key(visit: Visit, key_id: str) -> HttpResponseBase:
    """Confirm, then revoke."""
    key = ApiKey.objects.filter(project_id=visit.caller.project_id, public_id=key_id).first()
    if key is None:
        raise NotFound(f"API key {key_id!r} does not exist in this project.", field="key_id", value=key_id)
    if visit.request.method == "POST":
        api_keys.revoke_key(caller=visit.caller, public_id=key_id)
        visit.tell(f"Key revoked: {key.name}. Requests with it are refused from now on.")
        return back("console_project")
    used = f"It was last used {formats.ago(key.last_used_at, timezone.now())}." if key.last_used_at else ""
    return visit.render(
        "console/confirm.html",
        title=f"Revoke key {key.name}?",
        what=f"Every request with the key {key.prefix}… is refused at once. {used}",
        stays="Events and runs that came through it stay. Its audit entries stay.",
        undo="This cannot be undone; create a new key instead.",
        button="Revoke key",
        way_out=(reverse("admin:console_project"), "Keep key"),
    )


@page(Action.QUOTAS_WRITE, methods=("GET", "POST"))
def change_quota(visit: Visit, resource: str) -> HttpResponseBase:
    """Before, after, and the way it is used now."""
    quota = reads.quotas(caller=visit.caller).filter(resource=resource).first()
    if quota is None:
        raise NotFound(f"There is no quota of {resource!r}.", field="resource", value=resource)
    error: DomainError | None = None
    typed = clean(visit.request.POST.get("ceiling"), 30)
    if visit.request.method == "POST":
        try:
            digits = typed.replace(",", "").replace(" ", "")
            if not (digits.isascii() and digits.isdigit()):
                raise InvalidInput("Type a whole number, for example 2,000,000.", field="ceiling", value=typed)
            changed = quotas.set_ceiling(caller=visit.caller, resource=resource, ceiling=int(digits))
        except DomainError as refused:
            error = refused
        else:
            visit.tell(f"Quota changed: {resource} {formats.exact(quota.ceiling)} → {formats.exact(changed.ceiling)}.")
            return back("console_project")
    return visit.render(
        "console/quota_form.html",
        title="Change quota",
        quota=quota,
        words=RESOURCE_WORDS.get(Resource(quota.resource), quota.resource),
        typed=typed or quota.ceiling,
        error=error,
        status=400 if error else 200,
    )


@page(Action.MEMBERS_WRITE, methods=("GET", "POST"))
def edit_member(visit: Visit, username: str = "") -> HttpResponseBase:
    """Add a member, or change the role of one, or take it away."""
    post = visit.request.POST
    member = reads.members(caller=visit.caller).filter(user__username=username).first() if username else None
    if username and member is None:
        raise NotFound(f"{username!r} is not a member of this project.", field="username", value=username)
    error: DomainError | None = None
    if visit.request.method == "POST":
        try:
            if member is not None and post.get("remove"):
                members.remove_member(caller=visit.caller, username=username)
                visit.tell(f"Member removed: {username}.")
                return back("console_project")
            try:
                role = Role(post.get("role", ""))
            except ValueError:
                raise InvalidInput("Choose a role.", field="role") from None
            if member is not None:
                members.change_role(caller=visit.caller, username=username, role=role)
                visit.tell(f"Role changed: {username} is now {role.value}.")
            else:
                added = clean(post.get("username"), 150)
                members.add_member(caller=visit.caller, username=added, role=role)
                visit.tell(f"Member added: {added} as {role.value}.")
            return back("console_project")
        except DomainError as refused:
            error = refused
    return visit.render(
        "console/member_form.html",
        title=f"Member {username}" if member else "Add member",
        member=member,
        roles=[
            (Role.OWNER.value, "everything, members included"),
            (Role.MAINTAINER.value, "everything but members and project settings"),
            (Role.EVALUATOR.value, "reads all, writes events, datasets, runs and metrics"),
            (Role.VIEWER.value, "reads"),
            (Role.AUDITOR.value, "reads, the audit trail and keys included; writes nothing"),
        ],
        values=post,
        error=error,
        status=400 if error else 200,
    )
