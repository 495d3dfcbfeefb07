"""Read-only lists of every stored noun, for the installation's operators (superusers) only.

Members work on the console's own pages, which ask governance; these lists cross projects, so no role opens them.
"""

from typing import Any

import structlog
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from governance.domain.caller import Operator
from governance.models import ApiKey, AuditEntry, AuditVerification, IngestionCount, Member, Project, Quota
from governance.services import audit


class UncountedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of big tables without counting them: claims one page more than is known to exist."""

    @cached_property
    def count(self) -> int:
        """Rows up to 1,000; more are not counted, and the list is narrowed by search instead."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:1000].count())


class RecordAdmin(ModelAdmin):  # type: ignore[misc]
    """A list that shows and never changes."""

    list_per_page = 50
    show_full_result_count = False
    actions = None
    paginator = UncountedPaginator
    list_filter_sheet = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ProjectAdmin(RecordAdmin):
    list_display = ["name", "public_id", "status", "created_at"]
    search_fields = ["name", "public_id"]


class MemberAdmin(RecordAdmin):
    list_display = ["user", "project", "role", "created_at"]
    list_select_related = ["user", "project"]
    search_fields = ["user__username", "project__name"]


class ApiKeyAdmin(RecordAdmin):
    list_display = ["name", "project", "kind", "prefix", "created_at", "expires_at", "revoked_at", "last_used_at"]
    list_select_related = ["project"]
    search_fields = ["name", "prefix", "public_id"]
    exclude = ["token_hash"]


class QuotaAdmin(RecordAdmin):
    list_display = ["project", "resource", "used", "ceiling", "period_start"]
    list_select_related = ["project"]
    search_fields = ["project__name"]


class AuditEntryAdmin(RecordAdmin):
    list_display = ["chain", "sequence", "at", "actor_label", "action", "target_kind", "target_label"]
    search_fields = ["request_id", "action", "target_id"]


class AuditVerificationAdmin(RecordAdmin):
    list_display = ["chain", "status", "attempts", "created_at", "finished_at", "checked_through"]


class IngestionCountAdmin(RecordAdmin):
    list_display = ["project", "hour", "key_label", "slot", "requests", "events", "rejected"]
    list_select_related = ["project"]


class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg,misc]
    """Users of the installation: made here by an operator, given roles on the project page by owners."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = []
    list_filter_sheet = False
    filter_horizontal = []
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        ("Person", {"fields": ["first_name", "last_name", "email"]}),
        ("Access", {"fields": ["is_active", "is_staff", "is_superuser"]}),
        ("Times", {"fields": ["last_login", "date_joined"]}),
    ]
    readonly_fields = ["last_login", "date_joined"]
    actions = None

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False  # users are made inactive: audit entries name them

    # The admin calls these two after each addition, change and new password, with what changed.

    def log_addition(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """The admin's own history, and the installation's audit chain."""
        self._audit(request, obj, "user.create", message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        """The admin's own history, and the installation's audit chain."""
        self._audit(request, obj, "user.update", message)
        return super().log_change(request, obj, message)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        """In one transaction with its audit entry."""
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    def _audit(self, request: HttpRequest, user: User, action: str, message: Any) -> None:
        rights = {"active": user.is_active, "staff": user.is_staff, "superuser": user.is_superuser}
        changed = message if isinstance(message, str) else [part for part in message if part]
        audit.record(
            caller=Operator(
                actor_id=str(request.user.pk),
                actor_label=request.user.get_username(),
                request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
                address=str(request.META.get("REMOTE_ADDR", "")),
            ),
            action=action,
            target_kind="user",
            target_id=str(user.pk),
            target_label=user.get_username(),
            after={**rights, "changed": changed},
        )


RECORDS: list[tuple[type[Model], type[Any]]] = [
    (Project, ProjectAdmin),
    (Member, MemberAdmin),
    (ApiKey, ApiKeyAdmin),
    (Quota, QuotaAdmin),
    (AuditEntry, AuditEntryAdmin),
    (AuditVerification, AuditVerificationAdmin),
    (IngestionCount, IngestionCountAdmin),
    (User, UserAdmin),
]
