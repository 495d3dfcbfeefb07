"""The console: our admin site, its pages, its navigation. Imported by the console's URLs, so only by web processes."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import URLPattern, path, reverse
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

from embeddings_ab.admin.search import matches as ab_matches
from embeddings_ab.admin.urls import PAGES as AB_PAGES
from experiments.admin.records import RECORDS as EXPERIMENT_RECORDS
from experiments.admin.search import matches
from experiments.admin.urls import PAGES as EXPERIMENT_PAGES
from governance.admin.pages import chosen_project, refusal
from governance.admin.records import RECORDS as GOVERNANCE_RECORDS
from governance.admin.urls import PAGES as GOVERNANCE_PAGES
from governance.domain.actions import Action
from governance.domain.errors import DomainError, NotFound
from governance.services.projects import user_caller
from hhweb.landing import landing

WORK = (
    ("Overview", "space_dashboard", "index", Action.PROJECT_READ, ("/console/",)),
    ("Runs", "science", "console_runs", Action.RUNS_READ, ("/console/runs/",)),
    ("New experiment", "add_circle", "console_experiment_new", Action.RUNS_WRITE, ("/console/runs/new/",)),
    ("Compare", "difference", "console_compare", Action.RUNS_READ, ("/console/runs/compare/",)),
    ("Trends", "show_chart", "console_trends", Action.RUNS_READ, ("/console/runs/trends/",)),
    ("Schedules", "schedule", "console_schedules", Action.RUNS_READ, ("/console/schedules/",)),
    ("Configurations", "chat", "console_configurations", Action.METRICS_READ, ("/console/configurations/",)),
    ("Datasets", "dataset", "console_datasets", Action.DATASETS_READ, ("/console/datasets/", "/console/datapoints/")),
    ("Events", "account_tree", "console_events", Action.EVENTS_READ, ("/console/events/", "/console/traces/")),
)
AB = (
    ("A/B tests", "compare_arrows", "console_ab_tests", Action.AB_READ, ("/console/ab/",)),
    ("Collections", "database", "console_ab_collections", Action.AB_READ, ("/console/ab/collections/",)),
    ("Corpora", "library_books", "console_ab_corpora", Action.AB_READ, ("/console/ab/corpora/",)),
    ("Query sets", "manage_search", "console_ab_query_sets", Action.AB_READ, ("/console/ab/query-sets/",)),
    ("Judging", "gavel", "console_ab_judging_pools", Action.AB_READ, ("/console/ab/judging/",)),
)
GOVERN = (
    ("Project", "tune", "console_project", Action.PROJECT_READ, ("/console/project/",)),
    ("Providers", "hub", "console_providers", Action.PROVIDERS_READ, ("/console/providers/",)),
    ("Audit trail", "verified_user", "console_audit", Action.AUDIT_READ, ("/console/audit/",)),
)


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]
    """The theme's admin site with our landing page, our own pages and read-only records."""

    site_title = "hhweb"
    index_title = "Overview"
    enable_nav_sidebar = True

    def extra_urls(self) -> list[URLPattern]:
        """Our own pages, each behind the site's login."""
        return [
            path(route, self.framed(view), name=name)
            for route, view, name in [*EXPERIMENT_PAGES, *AB_PAGES, *GOVERNANCE_PAGES]
        ]

    def framed(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        """A page's view inside the site: signed in, and able to ask for the frame's context."""

        @functools.wraps(view)
        def inner(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
            request.console_frame = self.each_context  # type: ignore[attr-defined]
            request.current_app = self.name
            return view(request, **arguments)

        wrapped: Callable[..., HttpResponseBase] = self.admin_view(inner)
        return wrapped

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """The landing page in place of the admin's list of models."""
        request.console_frame = self.each_context  # type: ignore[attr-defined]
        request.current_app = self.name
        return landing(request)

    def app_index(
        self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Lists of models by app are for operators; others get the page that says so."""
        if not request.user.is_superuser:
            request.console_frame = self.each_context  # type: ignore[attr-defined]
            return refusal(request, NotFound("This page does not exist."))
        answer: HttpResponseBase = super().app_index(request, app_label, extra_context)
        return answer

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """The theme's context plus the project switch."""
        if not hasattr(request, "console_projects") and request.user.is_authenticated:
            with contextlib.suppress(DomainError):
                chosen_project(request)
        context: dict[str, Any] = super().each_context(request)
        context["console_projects"] = getattr(request, "console_projects", [])
        context["console_project"] = getattr(request, "console_project", None)
        return context


def make_site() -> ConsoleSite:
    """The site with every record registered."""
    site = ConsoleSite(name="admin")
    for model, admin in [*GOVERNANCE_RECORDS, *EXPERIMENT_RECORDS]:
        site.register(model, admin)
    return site


site = make_site()


# --- what the theme's settings name


def theme_context(request: HttpRequest) -> dict[str, Any]:
    """No colours in a style element: the policy forbids it."""
    return {"colors": None, "border_radius": None}


def stylesheet(request: HttpRequest) -> str:
    return static("console/console.css")


def shim_script(request: HttpRequest) -> str:
    return static("console/shim.js")


def console_script(request: HttpRequest) -> str:
    return static("console/console.js")


def ab_stylesheet(request: HttpRequest) -> str:
    return static("console/ab.css")


def live_script(request: HttpRequest) -> str:
    return static("console/live.js")


def judging_script(request: HttpRequest) -> str:
    return static("console/judging.js")


def environment_label(request: HttpRequest) -> None:
    """No label yet: nothing tells a production installation from another."""


def _may(request: HttpRequest, action: Action) -> bool:
    caller = getattr(request, "console_caller", None)
    if caller is None:
        try:
            caller = user_caller(request.user, chosen_project(request))  # type: ignore[arg-type]
        except DomainError:
            return False
        request.console_caller = caller  # type: ignore[attr-defined]
    return bool(caller.may(action))


def _lit(here: str, at: tuple[str, ...]) -> bool:
    """Whether an entry is the one of this page: of nested addresses only the longest is."""
    longest = max(
        (known for *_, places in (*WORK, *AB, *GOVERN) for known in places if here.startswith(known)), key=len
    )
    return longest in at


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The sidebar: pages the caller may read in the chosen project, and an operator's records."""

    def item(title: str, icon: str, name: str, active: bool) -> dict[str, Any]:
        return {"title": title, "icon": icon, "link": reverse(f"admin:{name}"), "active": lambda request: active}

    here = request.path
    groups: list[dict[str, Any]] = [
        {
            "title": title,
            "items": [
                item(words, icon, name, here in at if name == "index" else _lit(here, at))
                for words, icon, name, action, at in entries
                if _may(request, action)
            ],
        }
        for title, entries in (("Experiments", WORK), ("Retrieval", AB), ("Govern", GOVERN))
    ]
    if request.user.is_active and getattr(request.user, "is_superuser", False):
        records = [
            ("Users", "group", "auth_user_changelist"),
            ("Projects", "folder", "governance_project_changelist"),
            ("API keys", "key", "governance_apikey_changelist"),
            ("All runs", "science", "experiments_run_changelist"),
            ("All events", "account_tree", "experiments_event_changelist"),
            ("All datasets", "dataset", "experiments_dataset_changelist"),
            ("All audit entries", "receipt_long", "governance_auditentry_changelist"),
        ]
        groups.append(
            {
                "title": "Installation records",
                "separator": True,
                "items": [
                    item(words, icon, name, here.startswith(reverse(f"admin:{name}"))) for words, icon, name in records
                ],
            }
        )
    return groups


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """Palette: what the chosen project has by id or name prefix, 8 of each kind."""
    user = request.user
    try:
        if not isinstance(user, User):
            return []
        caller = user_caller(user, chosen_project(request))
        found = [*matches(caller=caller, term=term), *ab_matches(caller=caller, term=term)]
        return [SearchResult(**line) for line in found]
    except (DomainError, DatabaseError):
        return []


# --- error pages


def _plain(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    if not request.path.startswith("/console"):  # programs read JSON
        body = {"message": text, "errorCode": title.lower().replace(" ", "_")}
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            body["requestId"] = str(request_id)
        return JsonResponse(body, status=status)
    return render(request, "console/error.html", {"title": title, "text": text, "status": status}, status=status)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 without database access, so that it also answers when the database does not."""
    return _plain(request, 404, "Not found", "This page does not exist, or it belongs to a project that is not yours.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403 of the framework: a missing CSRF token or a view's own refusal."""
    return _plain(request, 403, "No permission", "This was refused. Nothing was changed. Go back and try again.")


def failed(request: HttpRequest) -> HttpResponse:
    """500: no database, no frame."""
    return _plain(request, 500, "Something failed", "The server could not answer. What was stored before is safe.")
