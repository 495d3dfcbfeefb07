"""The append-only, hash-chained audit trail: the last lock every audited service takes."""

import hashlib
import json
from decimal import Decimal
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone

from governance.domain.caller import Caller, Operator
from governance.domain.json_bodies import replace_nul
from governance.models import AuditChain, AuditEntry, Project

INSTALLATION = "installation"


def entry_hash(entry: AuditEntry) -> str:
    """SHA-256 over the canonical JSON of everything the entry says, its predecessor's hash included."""
    said = {
        "chain": entry.chain,
        "sequence": entry.sequence,
        "at": entry.at.isoformat(timespec="microseconds"),
        "actor": [entry.actor_kind, entry.actor_id, entry.actor_label],
        "action": entry.action,
        "target": [entry.target_kind, entry.target_id, entry.target_label],
        "before": _canonical(entry.before),
        "after": _canonical(entry.after),
        "request_id": entry.request_id,
        "address": entry.address,
        "previous_hash": entry.previous_hash,
    }
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _canonical(value: Any) -> Any:
    """The same text for a number before and after the database had it: PostgreSQL turns 1e22 into digits."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"number {Decimal(repr(value or 0)).normalize()}"
    return f"text {value}" if isinstance(value, str) else value


def _storable(value: Any) -> Any:
    """`value` as JSON keeps it, without NUL, which PostgreSQL cannot store. Raises on NaN: that is our mistake."""
    if value is None:
        return None
    return replace_nul(json.loads(json.dumps(value, allow_nan=False)))


def record(
    *,
    caller: Caller | Operator | None,
    action: str,
    target_kind: str,
    target_id: str,
    target_label: str = "",
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry to the chain of the caller's project (an operator or no caller: the installation's chain).

    Must run inside the transaction of the change it records, as its last statement: the head row stays
    locked until commit, which is what orders the chain.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("audit.record() must run in the transaction of the change it records")
    name = caller.project_public_id if isinstance(caller, Caller) else INSTALLATION
    head = AuditChain.objects.select_for_update().filter(name=name).first()
    if head is None:
        project = Project.objects.filter(pk=caller.project_id).first() if isinstance(caller, Caller) else None
        AuditChain.objects.bulk_create([AuditChain(name=name, project=project)], ignore_conflicts=True)
        head = AuditChain.objects.select_for_update().get(name=name)
    entry = AuditEntry(
        chain=name,
        sequence=head.last_sequence + 1,
        at=timezone.now(),
        actor_kind=caller.actor_kind if caller else "system",
        actor_id=caller.actor_id[:64] if caller else "",
        actor_label=(caller.actor_label if caller else "system")[:240],
        action=action,
        target_kind=target_kind,
        target_id=replace_nul(target_id)[:255],
        target_label=replace_nul(target_label)[:255],
        before=_storable(before),
        after=_storable(after),
        # Both can be chosen by the client (X-Request-ID).
        request_id=caller.request_id[:64] if caller else "",
        address=caller.address[:64] if caller else "",
        previous_hash=head.last_hash,
    )
    entry.hash = entry_hash(entry)
    entry.save(force_insert=True)
    AuditChain.objects.filter(pk=head.pk).update(last_sequence=entry.sequence, last_hash=entry.hash)
    return entry
