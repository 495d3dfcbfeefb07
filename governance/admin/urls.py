"""Console pages of governance; `hhweb.console` wraps each into the admin site."""

from collections.abc import Callable
from typing import Any

from governance.admin import audit, projects, providers

PAGES: list[tuple[str, Callable[..., Any], str]] = [
    ("project/", projects.project_page, "console_project"),
    ("project/keys/new/", projects.new_key, "console_key_new"),
    ("project/keys/<str:key_id>/revoke/", projects.revoke_key, "console_key_revoke"),
    ("project/quotas/<str:resource>/", projects.change_quota, "console_quota"),
    ("project/members/new/", projects.edit_member, "console_member_new"),
    ("project/members/<str:username>/", projects.edit_member, "console_member"),
    ("providers/", providers.providers_page, "console_providers"),
    ("providers/rules/new/", providers.new_rule, "console_provider_rule_new"),
    ("providers/rules/<str:rule_id>/delete/", providers.delete_rule, "console_provider_rule_delete"),
    ("providers/prices/new/", providers.new_price, "console_price_new"),
    ("providers/prices/<str:price_id>/delete/", providers.delete_price, "console_price_delete"),
    ("providers/secrets/new/", providers.new_secret, "console_secret_new"),
    ("providers/secrets/<str:secret_id>/delete/", providers.delete_secret, "console_secret_delete"),
    ("audit/", audit.audit_page, "console_audit"),
    ("audit/verify/", audit.verify_now, "console_audit_verify"),
]
