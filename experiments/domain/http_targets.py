"""What the definition of an HTTP target must keep to, checked before anything is stored. Pure."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from experiments.domain.experiment_spec import HttpTarget, SecretReference
from experiments.domain.templates import check, placeholders
from governance.domain.errors import InvalidInput

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What frames the request, or says where it goes: the client's business.
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect"}
    | {"accept-encoding", "proxy-authorization", "proxy-connection"}
)
_SECRET = re.compile(
    r"(^|[-_.])(auth|authorization|bearer|cookie|credential|credentials|key|apikey|password|passwd|pwd|secret|session|"
    r"signature|sig|token)s?($|[-_.])",
    re.IGNORECASE,
)


def split_at_path(url: str) -> tuple[str, str]:
    """The URL up to its query, and the query with its question mark."""
    base, mark, query = url.partition("?")
    return base, mark + query


def base_url_of(url: str) -> str:
    """What rules about providers are asked for: the URL without query and fragment."""
    return split_at_path(url)[0].partition("#")[0]


def check_target(target: HttpTarget, *, field: str = "target") -> None:
    """Raise InvalidInput naming the field for what could never be called, or would show a secret."""
    _check_url(target.url, f"{field}.url")
    for name, value in target.headers.items():
        _check_header(name, value, f"{field}.headers.{name[:100]}")
    if len({name.lower() for name in target.headers}) != len(target.headers):
        raise InvalidInput(
            f"Field '{field}.headers' names a header twice; upper and lower case are the same.",
            field=f"{field}.headers",
        )
    if target.method == "GET" and target.body not in (
        None,
        HttpTarget.model_fields["body"].get_default(call_default_factory=True),
    ):
        raise InvalidInput(
            f"Field '{field}.body': a GET has no body. Put placeholders into the URL's query, or use POST.",
            field=f"{field}.body",
        )
    check(target.body, field=f"{field}.body")


def secrets_of(headers: Mapping[str, str | SecretReference]) -> dict[str, str]:
    """Header → name of the stored secret it takes its value from."""
    return {name: value.secret for name, value in headers.items() if isinstance(value, SecretReference)}


def _check_url(url: str, field: str) -> None:
    check(url, field=field)
    if "#" in url:
        raise InvalidInput(
            f"Field '{field}': the part behind '#' is never sent; leave it out.", field=field, value=url[:200]
        )
    base, query = split_at_path(url)
    _, _, rest = base.partition("://")
    host, _, _ = rest.partition("/")
    if any(placeholders(host)) or any(placeholders(base[: len(base) - len(rest)])):
        raise InvalidInput(
            f"Field '{field}': scheme, host and port must be fixed; placeholders belong into path or query.",
            field=field,
            value=url[:200],
        )
    for name, value in parse_qsl(query[1:], keep_blank_values=True):
        if _SECRET.search(name) and not any(placeholders(value)):
            raise InvalidInput(
                f"Field '{field}': the query parameter {name[:100]!r} looks like a secret, and addresses are stored "
                "in the open. Send it as a header that names a stored secret.",
                field=field,
            )


def _check_header(name: str, value: str | SecretReference, field: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise InvalidInput(f"Field '{field}' is no name of a header.", field=field, value=name[:100])
    if name.lower() in _OURS:
        raise InvalidInput(f"Field '{field}': this header is set by the server; leave it out.", field=field)
    text = value.prefix if isinstance(value, SecretReference) else value
    if not text.isascii() or (text and not text.isprintable()) or len(text) > 4_000:
        raise InvalidInput(
            f"Field '{field}': the value must be at most 4,000 visible ASCII characters in one line.", field=field
        )
    if isinstance(value, str) and _SECRET.search(name):
        raise InvalidInput(
            f"Field '{field}': this header looks like a secret, and what is written here is stored in the open. Store "
            f'the value as a secret and write {{"secret": "its-name", "prefix": "Bearer "}}.',
            field=field,
        )
