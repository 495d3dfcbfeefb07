"""Walks an audit chain and says where it was first tampered with. Reads only."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Max

from governance.models import AuditChain, AuditEntry
from governance.services.audit import entry_hash

GENESIS = "0" * 64
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk found. `first_bad_sequence` is None when everything holds."""

    chain: str
    checked_through: int
    first_bad_sequence: int | None
    message: str

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return self.first_bad_sequence is None


def verify_chain(*, chain: str, on_batch: Callable[[int], None] | None = None, batch: int = _BATCH) -> Verdict:
    """Recompute every hash of `chain`, in order: gaps, changed entries, a removed tail and foreign entries.

    Safe beside writers: entries appended during the walk are left to the next one. `on_batch` is told the
    last sequence checked after every `batch` entries.
    """
    head = AuditChain.objects.filter(name=chain).first()
    last_sequence, last_hash = (head.last_sequence, head.last_hash) if head else (0, GENESIS)
    expected, previous = 1, GENESIS
    while expected <= last_sequence:
        entries = list(
            AuditEntry.objects.filter(chain=chain, sequence__gte=expected, sequence__lte=last_sequence).order_by(
                "sequence"
            )[:batch]
        )
        if not entries:
            return _bad(chain, expected, f"entries {expected} to {last_sequence} are missing: the tail was removed")
        for entry in entries:
            if entry.sequence != expected:
                return _bad(chain, expected, f"entries {expected} to {entry.sequence - 1} are missing")
            if entry.previous_hash != previous:
                return _bad(chain, expected, f"entry {expected} does not follow from entry {expected - 1}")
            if entry.hash != entry_hash(entry):
                return _bad(chain, expected, f"entry {expected} was changed: its hash does not fit what it says")
            expected, previous = expected + 1, entry.hash
        if on_batch is not None:
            on_batch(expected - 1)
    if previous != last_hash:
        return _bad(chain, max(expected - 1, 1), f"the head of the chain does not fit entry {expected - 1}")
    # Entry and head are committed together, so an entry that is visible now is not beyond a head read later.
    newest = AuditEntry.objects.filter(chain=chain).aggregate(newest=Max("sequence"))["newest"] or 0
    head_now = AuditChain.objects.filter(name=chain).values_list("last_sequence", flat=True).first() or 0
    if newest > head_now:
        return _bad(chain, head_now + 1, f"entry {newest} lies beyond the head of the chain ({head_now})")
    return Verdict(chain, last_sequence, None, f"{last_sequence} entries hold")


def _bad(chain: str, sequence: int, message: str) -> Verdict:
    return Verdict(chain, sequence - 1, sequence, f"Chain {chain}: {message}.")
