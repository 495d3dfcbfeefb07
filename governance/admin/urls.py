"""Console pages of governance; `hhweb.console` wraps each into the admin site."""

from collections.abc import Callable
from typing import Any

from governance.admin import audit, projects

PAGES: list[tuple[str, Callable[..., Any], str]] = [
    ("project/", projects.project_page, "console_project"),
    ("project/keys/new/", projects.new_key, "console_key_new"),
    ("project/keys/<str:key_id>/revoke/", projects.revoke_key, "console_key_revoke"),
    ("project/quotas/<str:resource>/", projects.change_quota, "console_quota"),
    ("project/members/new/", projects.edit_member, "console_member_new"),
    ("project/members/<str:username>/", projects.edit_member, "console_member"),
    ("audit/", audit.audit_page, "console_audit"),
    ("audit/verify/", audit.verify_now, "console_audit_verify"),
]
