"""Rules about providers: what a pattern matches, and what follows from all rules of a project.

Provider and model patterns are shell patterns (`*`, `?`, `[…]`) over the whole name, without regard to case. A pattern
over base URLs is split first: scheme, host and port must be equal, only the path is a pattern. So no `*` ever reaches
over the end of a host name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal
from urllib.parse import urlsplit

from governance.domain.errors import InvalidInput

# The last is what runs on the server itself: callables that its operator registered.
LOCAL_PROVIDERS = frozenset({"synthetic", "minilm", "wordllama", "callable"})
ANY = "*"
_PORTS = {"http": 80, "https": 443}
_WILD = frozenset("*?[]")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: allow or deny what matches all three patterns."""

    effect: Literal["allow", "deny"]
    provider: str
    model: str = ANY
    base_url: str = ANY


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a provider may be called; `reason` says which rule, or the want of one, decided."""

    is_allowed: bool
    reason: str


def canonical_url(url: str, *, field: str = "base_url") -> tuple[str, str]:
    """`scheme://host:port` and path of a base URL. `InvalidInput` for what could be read in two ways."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _unclear(url, field) from None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    path = parts.path or "/"
    two_ways = "%" in path or "\\" in url or "//" in path or any(part in {".", ".."} for part in path.split("/"))
    if scheme not in _PORTS or not host or "@" in parts.netloc or not url.isascii() or not url.isprintable():
        raise _unclear(url, field)
    if two_ways or " " in url or "%" in host or parts.query or parts.fragment:
        raise _unclear(url, field)
    bracketed = f"[{host}]" if ":" in host else host
    return f"{scheme}://{bracketed}:{_PORTS[scheme] if port is None else port}", path


def check_patterns(rule: Rule) -> None:
    """Refuse patterns that would not mean what they look like."""
    for field, pattern in (("provider", rule.provider), ("model", rule.model)):
        if not pattern.strip() or len(pattern) > 200 or not pattern.isprintable():
            raise InvalidInput(
                f"Field '{field}' must be a name or pattern of 1 to 200 visible characters, for example 'openai' "
                f"or '*'.",
                field=field,
                value=pattern[:200],
            )
    if rule.base_url == ANY or not rule.base_url:
        return
    if len(rule.base_url) > 500:
        raise _unclear(rule.base_url, "base_url")
    _split_pattern(rule.base_url)


def matches(rule: Rule, *, provider: str, model: str, base_url: str) -> bool:
    """Whether a rule speaks of this call. An empty pattern over base URLs matches calls without a base URL only."""
    if not _like(provider, rule.provider) or not _like(model, rule.model):
        return False
    if rule.base_url == ANY:
        return True
    if not rule.base_url or not base_url:
        return rule.base_url == base_url
    wanted, pattern = _split_pattern(rule.base_url)
    origin, path = canonical_url(base_url)
    if origin != wanted:
        return False
    if not _WILD & set(pattern):
        stem = pattern.rstrip("/")
        return path.rstrip("/") == stem or path.startswith(f"{stem}/")
    return fnmatchcase(path, pattern)


def decide(rules: Iterable[Rule], *, provider: str, model: str, base_url: str = "") -> Decision:
    """Deny wins; else a rule must allow; without any, local providers are allowed and remote ones are not.

    Raises `InvalidInput` for a base URL that could be read in two ways.
    """
    if base_url:
        canonical_url(base_url)
    found = [rule for rule in rules if matches(rule, provider=provider, model=model, base_url=base_url)]
    for rule in found:
        if rule.effect == "deny":
            return Decision(False, f"the rule 'deny {rule.provider} {rule.model} {rule.base_url}' forbids it")
    if found:
        return Decision(True, "a rule allows it")
    if provider in LOCAL_PROVIDERS and not base_url:
        return Decision(True, "local providers are allowed unless a rule denies them")
    return Decision(False, "no rule of the project allows it")


def _like(name: str, pattern: str) -> bool:
    return fnmatchcase(name.casefold(), pattern.casefold())


def _split_pattern(pattern: str) -> tuple[str, str]:
    """Origin and path pattern. A `*` right after the host stands for every path of that host."""
    scheme, separator, rest = pattern.partition("://")
    authority, slash, path = rest.partition("/")
    if not slash and authority.endswith("*"):
        authority, path = authority[:-1], "*"
    literal = authority if not authority.startswith("[") else authority[1:].replace("]", "", 1)
    if not separator or not literal or _WILD & set(scheme) or _WILD & set(literal):
        raise InvalidInput(
            f"Field 'base_url': {pattern[:200]!r} must name scheme and host in full; patterns are for the path only, "
            "as in 'https://api.example.com/v1*'. '*' alone matches every address.",
            field="base_url",
            value=pattern[:200],
        )
    origin, _ = canonical_url(f"{scheme}://{authority}")
    if not path:
        return origin, "/*"
    # The path's own letters are held to the same form as those of addresses.
    canonical_url(f"{scheme}://{authority}/{''.join('x' if c in _WILD else c for c in path)}")
    return origin, f"/{path}"


def _unclear(url: str, field: str) -> InvalidInput:
    return InvalidInput(
        f"Field '{field}': {url[:200]!r} is not a plain http or https address without user name, query, percent signs "
        "and dots as path segments. Write it like https://api.example.com/v1.",
        field=field,
        value=url[:200],
    )
