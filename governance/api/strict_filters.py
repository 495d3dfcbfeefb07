"""The base of every app's list filters: unknown query parameters are refused, not ignored."""

from typing import Any

import django_filters

from governance.domain.errors import InvalidInput

_ALWAYS_KNOWN = {"page", "limit", "project"}


class StrictFilters(django_filters.FilterSet):  # type: ignore[misc]
    """A mistyped filter must not list everything."""

    def __init__(self, data: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(data, *args, **kwargs)
        known = {*self.base_filters, *_ALWAYS_KNOWN}
        for name in data or ():
            if name not in known:
                raise InvalidInput(
                    f"Query parameter {name[:80]!r} is unknown here; use one of {', '.join(sorted(known))}.",
                    field=name[:200],
                )
