"""Allowed moves of an audit verification, as data."""

PREDECESSORS: dict[str, tuple[str, ...]] = {
    "pending": ("running",),  # its lease ran out
    "running": ("pending",),
    "verified": ("running",),
    "broken": ("running",),
}
