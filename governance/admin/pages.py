"""What every page of the console shares: the caller in the chosen project, refusals in the frame, key-set paging."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from governance.domain.actions import Action, Role
from governance.domain.caller import Caller
from governance.domain.errors import DomainError, Forbidden, NotFound
from governance.models import Member, Project
from governance.services.projects import user_caller

PAGE_SIZE = 50
REMEMBERED = "console_project"
Row = TypeVar("Row", bound=Model)
View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page: who looks, in which project, and in which frame the answer stands."""

    request: HttpRequest
    caller: Caller
    project: Project
    frame: dict[str, Any] = field(repr=False)

    def render(self, template: str, *, title: str, status: int = 200, **context: Any) -> HttpResponse:
        """A page in the console's frame."""
        may = {action.name.lower(): True for action in self.caller.allowed}
        page = {**self.frame, "title": title, "project": self.project, "may": may, **context}
        return TemplateResponse(self.request, template, page, status=status)

    def tell(self, text: str) -> None:
        """A sentence at the top of the next page."""
        messages.success(self.request, text)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of one page of a list, and the tokens of its neighbours (empty: none)."""

    rows: list[Row]
    older: str = ""
    newer: str = ""


def projects_of(user: User) -> list[Project]:
    """Projects a user may choose, by name; at most 200 are offered."""
    found = Project.objects.all() if user.is_superuser else Project.objects.filter(members__user=user)
    return list(found.order_by("name")[:200])


def chosen_project(request: HttpRequest) -> Project:
    """The project of `?project=` or of the form, else the remembered one, else the first. `NotFound` without any.

    Forms name the project they were shown for: another tab may have switched the remembered one meanwhile.
    """
    if (known := getattr(request, "console_project", None)) is not None:
        return known  # type: ignore[no-any-return]
    user = request.user
    if not isinstance(user, User):
        raise NotFound("This page needs a signed-in user.")
    offered = projects_of(user)
    request.console_projects = offered  # type: ignore[attr-defined]
    asked = clean(request.GET.get("project") or request.POST.get("project"))
    wanted = asked or str(request.session.get(REMEMBERED, ""))
    found = next((project for project in offered if project.public_id == wanted), None)
    if found is None and wanted and len(offered) == 200:
        mine = Project.objects.all() if user.is_superuser else Project.objects.filter(members__user=user)
        found = mine.filter(public_id=wanted).first()
    if found is None and asked:
        raise NotFound("This project does not exist or you are not a member of it.")
    if found is None and not offered:
        raise NotFound("You are not a member of any project. Ask an owner to add you.")
    found = found or offered[0]
    if request.session.get(REMEMBERED) != found.public_id:
        request.session[REMEMBERED] = found.public_id
    request.console_project = found  # type: ignore[attr-defined]
    return found


def _frame(request: HttpRequest) -> dict[str, Any]:
    each_context: Callable[[HttpRequest], dict[str, Any]] = request.console_frame  # type: ignore[attr-defined]
    return each_context(request)


def refusal(request: HttpRequest, error: DomainError, *, caller: Caller | None = None) -> HttpResponse:
    """The page that says why not: no permission with role and owners, or not found."""
    owners: list[str] = []
    role = ""
    if isinstance(error, Forbidden) and caller is not None:
        members = Member.objects.filter(project_id=caller.project_id).select_related("user")[:200]
        owners = [member.user.get_username() for member in members if member.role == Role.OWNER]
        role = next((member.role for member in members if str(member.user_id) == caller.actor_id), "")
    context = {
        **_frame(request),
        "title": {403: "No permission", 404: "Not found", 409: "Not possible now"}.get(error.status, "Not done"),
        "error": error,
        "role": role,
        "owners": owners,
        "caller": caller,
        "request_id": structlog.contextvars.get_contextvars().get("request_id", ""),
    }
    return TemplateResponse(request, "console/refusal.html", context, status=error.status)


def page(action: Action, *, methods: tuple[str, ...] = ("GET",)) -> Callable[[Callable[..., HttpResponseBase]], View]:
    """Make a console page of a function of `visit` and path parameters. Asks governance for `action`."""

    def decorate(function: Callable[..., HttpResponseBase]) -> View:
        @functools.wraps(function)
        def view(request: HttpRequest, **path: Any) -> HttpResponseBase:
            if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
                return HttpResponseNotAllowed(methods)
            caller = None
            try:
                if "\x00" in request.path:  # no id holds it, and PostgreSQL cannot even be asked for one
                    raise NotFound("There is nothing at this address.")
                project = chosen_project(request)
                user = request.user
                if not isinstance(user, User):
                    raise NotFound("This page needs a signed-in user.")
                caller = user_caller(
                    user,
                    project,
                    request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
                    address=str(request.META.get("REMOTE_ADDR", "")),
                )
                request.console_caller = caller  # type: ignore[attr-defined]
                caller.require(action)
                answer = function(Visit(request, caller, project, _frame(request)), **path)
                if isinstance(answer, TemplateResponse):
                    answer.render()  # what selectors refuse while a template iterates is answered here too
            except DomainError as error:
                return refusal(request, error, caller=caller)
            return answer

        return view

    return decorate


def back(name: str, **path: Any) -> HttpResponse:
    """After a POST: to a page by its name."""
    answer: HttpResponse = redirect(f"admin:{name}", **path)
    return answer


def page_of(rows: QuerySet[Row], request: HttpRequest, *, key: str = "pk", size: int = PAGE_SIZE) -> Page[Row]:
    """Newest first by a unique integer column, paged by `?before=` and `?after=`: no OFFSET and no count."""
    before, after = _integer(request.GET.get("before")), _integer(request.GET.get("after"))
    if after is not None:
        found = list(rows.filter(Q(**{f"{key}__gt": after})).order_by(key)[: size + 1])
        has_newer = len(found) > size
        shown = list(reversed(found[:size]))
        has_older = bool(shown)
    else:
        if before is not None:
            rows = rows.filter(Q(**{f"{key}__lt": before}))
        found = list(rows.order_by(f"-{key}")[: size + 1])
        shown, has_older, has_newer = found[:size], len(found) > size, before is not None
    if not shown:
        return Page([])
    name = "id" if key == "pk" else key
    older = str(getattr(shown[-1], name)) if has_older else ""
    newer = str(getattr(shown[0], name)) if has_newer else ""
    return Page(shown, older=older, newer=newer)


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def clean(text: str | None, limit: int = 200) -> str:
    """A text parameter, stripped, bounded, without NUL."""
    return (text or "").replace("\x00", "").strip()[:limit]
