"""The formatters of `governance.domain.formats` as filters of the console's templates."""

import datetime as dt
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from governance.domain import formats

register = template.Library()

for _formatter in (
    formats.score,
    formats.difference,
    formats.exact,
    formats.p_value,
    formats.count,
    formats.latency,
    formats.money,
    formats.size,
    formats.utc,
    formats.short_id,
    formats.preview,
    formats.pretty_json,
):
    register.filter(_formatter.__name__, _formatter)

CHIP_MARKS = {
    "completed": "✓",
    "passed": "✓",
    "verified": "✓",
    "active": "✓",
    "running": "◐",
    "pending": "…",
    "failed": "✖",
    "crashed": "✖",
    "broken": "✖",
    "full": "✖",
    "revoked": "⊘",
    "cancelled": "⊘",
    "expired": "!",
    "suspended": "!",
    "warning": "!",
    "better": "▲",
    "worse": "▼",
    "same": "■",
}


@register.simple_tag
def chip(kind: str, text: str = "") -> SafeString:
    """A status or direction as mark and word."""
    return format_html(
        '<span class="hh-chip hh-chip-{}"><span aria-hidden="true">{}</span>{}</span>',
        kind,
        CHIP_MARKS.get(kind, "○"),
        text or kind,
    )


@register.simple_tag
def when(moment: dt.datetime | None) -> SafeString | str:
    """Relative time with the exact one as title."""
    if moment is None:
        return formats.UNDEFINED
    return format_html(
        '<time datetime="{}" title="{}" data-relative>{}</time>',
        moment.isoformat(),
        formats.utc(moment),
        formats.ago(moment, timezone.now()),
    )


@register.filter
def figure(text: str) -> SafeString:
    """SVG of `governance.domain.figures`, which escapes the names it is given."""
    return mark_safe(text)  # noqa: S308


@register.filter
def entry(mapping: Any, key: Any) -> Any:
    """`mapping[key]`, or None."""
    return mapping.get(key) if hasattr(mapping, "get") else None


@register.simple_tag(takes_context=True)
def query_with(context: template.Context, **changes: Any) -> str:
    """The present query string with some parameters changed; empty ones are left out."""
    parameters = context["request"].GET.copy()
    for name, value in changes.items():
        parameters.pop(name, None)
        if value not in (None, ""):
            parameters[name] = str(value)
    return f"?{parameters.urlencode()}"


@register.simple_tag
def rate_of(part: int, whole: int) -> str:
    """`71.6 %`."""
    return formats.rate(part, whole)


@register.simple_tag
def rate_of_mean(mean: float | None) -> str:
    """The mean of booleans as the share that is true."""
    return formats.UNDEFINED if mean is None else f"{mean * 100:.1f} %"
