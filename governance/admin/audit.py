"""Console page of the audit trail: who did what, and can it be trusted?"""

import json

from django.http import HttpResponseBase

from governance.admin.pages import Visit, back, clean, page, page_of
from governance.domain.actions import Action
from governance.models import AuditChain
from governance.selectors import audit as reads
from governance.services.audit_verification_jobs import request_verification

FILTERS = ("actor", "action", "target", "request_id")


def fields_changed(before: object, after: object) -> list[tuple[str, str, str]]:
    """(field, before, after) of an entry, as short text."""
    old = before if isinstance(before, dict) else {}
    new = after if isinstance(after, dict) else {}
    names = [*old, *(name for name in new if name not in old)]

    def text(values: dict[str, object], name: str) -> str:
        if name not in values:
            return "–"
        value = values[name]
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return shown if len(shown) <= 400 else f"{shown[:400]}…"

    return [(name, text(old, name), text(new, name)) for name in names]


@page(Action.AUDIT_READ)
def audit_page(visit: Visit) -> HttpResponseBase:
    """Entries of the project's chain, newest first, and how far they are proven."""
    asked = {name: clean(visit.request.GET.get(name)) for name in FILTERS}
    rows = reads.audit_entries(caller=visit.caller)
    if asked["actor"]:
        rows = rows.filter(actor_label__istartswith=asked["actor"])
    if asked["action"]:
        rows = rows.filter(action__startswith=asked["action"])
    if asked["target"]:
        rows = rows.filter(target_id=asked["target"])
    if asked["request_id"]:
        rows = rows.filter(request_id=asked["request_id"])
    found = page_of(rows, visit.request, key="sequence")
    return visit.render(
        "console/audit.html",
        title="Audit trail",
        page=found,
        entries=[{"entry": entry, "fields": fields_changed(entry.before, entry.after)} for entry in found.rows],
        asked=asked,
        is_filtered=any(asked.values()),
        chain=AuditChain.objects.filter(name=visit.caller.project_public_id).first(),
        latest=reads.verifications(caller=visit.caller).first(),
    )


@page(Action.AUDIT_READ, methods=("POST",))
def verify_now(visit: Visit) -> HttpResponseBase:
    """Ask for a walk over the chain; a worker does it."""
    request_verification(caller=visit.caller)
    visit.tell("Verification requested. A worker walks the chain; this page shows the outcome when it is done.")
    return back("console_audit")
