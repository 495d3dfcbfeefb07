"""Which Python callables the operator lets experiments run, read from `HHWEB_CALLABLES`. Pure.

An item is `name=module:attribute`, or the bare name of an entry point in the group `hhweb.callables`. What is not
listed does not run, installed or not.
"""

import re
from collections.abc import Iterable
from importlib.metadata import entry_points

from governance.domain.errors import InvalidInput

GROUP = "hhweb.callables"
_OBJECT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def registered(items: Iterable[str]) -> dict[str, str]:
    """Name → `module:attribute` of everything allowed. Entry points that are not installed are left out.

    Raises ValueError for an item that cannot be read: the operator wrote it.
    """
    found: dict[str, str] = {}
    bare: list[str] = []
    for item in items:
        name, is_pair, place = (part.strip() for part in item.partition("="))
        if not is_pair:
            bare.append(name)
        elif not name or not _OBJECT.fullmatch(place):
            raise ValueError(f"HHWEB_CALLABLES: {item!r} is not name=module:attribute")
        else:
            found[name] = place
    if bare:
        installed = {point.name: point.value for point in entry_points(group=GROUP)}
        found |= {name: installed[name].split("[")[0].strip() for name in bare if name in installed}
    return found


def place_of(name: str, items: Iterable[str], *, field: str) -> str:
    """`module:attribute` of an allowed callable. InvalidInput naming `field` for every other name."""
    allowed = registered(items)
    if name not in allowed:
        there = f"There are {', '.join(sorted(allowed))}." if allowed else "None is allowed so far."
        raise InvalidInput(
            f"Field '{field}': no callable {name[:100]!r} may run on this server. {there} An operator allows more with "
            "HHWEB_CALLABLES (name=module:attribute).",
            field=field,
            value=name[:100],
        )
    return allowed[name]
