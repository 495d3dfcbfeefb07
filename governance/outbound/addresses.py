"""Which addresses may be called: public ones, and those an operator allowed by name. Decided on resolved addresses.

Every form a URL can spell an address in ends here as an `ipaddress` object, and whatever carries another address
inside (mapped, 6to4, NAT64, Teredo) is judged by both.
"""

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from governance.outbound.errors import OutboundFailed, OutboundRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]

LONGEST_URL = 2_048
_PORTS = {"http": 80, "https": 443}
_IPV6_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_IPV4_COMPATIBLE = ipaddress.IPv6Network("::/96")
# Services of clouds about the machine itself that have an address which looks public.
_METADATA = {ipaddress.ip_address(text) for text in ("168.63.129.16", "100.100.100.200", "169.254.169.254")}
_NOT_GLOBAL = [
    ipaddress.ip_network(text)
    for text in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4", "2001:db8::/32")
]
# What an operator means by allowing a name: machines of the own network. Never link-local, where metadata lives.
_OWN_NETWORK = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "fc00::/7", "::1/128")
]


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be spelled this way. `host` is lower case, without brackets and trailing dot."""

    scheme: str
    host: str
    port: int


def allowed_hosts() -> frozenset[str]:
    """What `HHWEB_OUTBOUND_ALLOWED_HOSTS` says: `host` for every port of it, or `host:port`."""
    return frozenset(settings.OUTBOUND_ALLOWED_HOSTS)


def target_of(url: str, *, field: str = "url") -> Target:
    """Scheme, host and port of a URL, or `OutboundRefused`: anything that two readers could read differently."""

    def refuse(why: str) -> OutboundRefused:
        return OutboundRefused(
            f"Field '{field}': {why} Give an address like https://api.example.com/v1.", field=field, value=url[:200]
        )

    if len(url) > LONGEST_URL:
        raise refuse(f"the address has {len(url)} characters, at most {LONGEST_URL} are read.")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise refuse("the address contains spaces, backslashes, control characters or characters beyond ASCII.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise refuse("the address cannot be read.") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise refuse(f"the scheme {scheme or 'is missing; it'!r} is not allowed, only http and https are."[:120])
    if "@" in parts.netloc:
        raise refuse("user names and passwords in an address are not allowed; store a secret and name it.")
    host = (parts.hostname or "").rstrip(".")
    if not host or "%" in parts.netloc or port == 0:
        raise refuse("the address names no host, or names one in a form that is not allowed.")
    literal = literal_address(host)
    if literal is None and _looks_numeric(host):
        raise refuse(f"{host!r} is a number instead of a name; write an IPv4 address as four decimal numbers.")
    return Target(scheme, str(literal) if literal else host, _PORTS[scheme] if port is None else port)


def literal_address(host: str) -> Address | None:
    """The address a host spells in canonical form; None for names and for everything else."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _looks_numeric(host: str) -> bool:
    """Forms that `inet_aton` reads as an address: 2130706433, 0x7f.1, 0177.0.0.1, 127.1."""
    last = host.rsplit(".", 1)[-1]
    return last.isdigit() or last.startswith("0x") or ":" in host


def why_refused(address: Address, *, is_allowed: bool = False, is_named: bool = False) -> str:
    """Why an address may not be called, as part of a sentence; empty when it may.

    `is_allowed`: an operator allowed the host, which opens private and loopback addresses. `is_named`: and allowed
    this very address, which opens all but multicast and unspecified ones.
    """
    for inner in _carried(address):
        if inner.is_multicast:
            return "a multicast address"
        if inner.is_unspecified or inner in ipaddress.ip_network("0.0.0.0/8" if inner.version == 4 else "::/128"):
            return "an unspecified address"
        if is_named:
            continue
        if inner in _METADATA:
            return "an address of a cloud's metadata service"
        if inner.is_link_local:
            return "a link-local address"
        if is_allowed and any(inner in network for network in _OWN_NETWORK if network.version == inner.version):
            continue
        if inner.is_loopback:
            return "a loopback address"
        if (
            inner.is_private
            or not inner.is_global
            or any(inner in network for network in _NOT_GLOBAL if network.version == inner.version)
        ):
            return "a private or reserved address"
    if address.version == 6 and not (is_allowed or is_named) and not _is_public_ipv6(address):
        return "a reserved IPv6 address"
    return ""


def _is_public_ipv6(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return False
    return address in _IPV6_UNICAST or address in _NAT64[0] or address.ipv4_mapped is not None


def _carried(address: Address) -> list[Address]:
    """Every IPv4 address inside, then the address itself unless it only wraps another.

    Inner ones first: patch releases of Python disagree on which wrappers are private, and the reason shall be the same.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    low = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _NAT64[0]:
        return [low]
    if address in _NAT64[1]:
        return [low, address]
    inside: list[Address] = []
    if address.sixtofour is not None:
        inside.append(address.sixtofour)
    if address.teredo is not None:
        inside += address.teredo
    if address in _IPV4_COMPATIBLE and int(address) > 1:
        inside.append(low)
    return [*inside, address]


def is_allowed_host(host: str, port: int, allowed: frozenset[str]) -> bool:
    """Whether the operator allowed exactly this host, on every port or on this one."""
    bracketed = f"[{host}]" if ":" in host else host
    return bool({host, bracketed, f"{bracketed}:{port}"} & allowed)


def resolve(host: str, port: int) -> Sequence[str]:
    """The system's answer, in its order: addresses as text, without scope."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def resolve_within(resolver: Resolver, host: str, port: int, seconds: float) -> Sequence[str]:
    """What `resolver` answers, or `OutboundFailed` after `seconds`: the system's resolver knows no time-out."""
    answers: queue.SimpleQueue[Sequence[str] | BaseException] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolver(host, port))
        except BaseException as error:  # handed to the caller's thread
            answers.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=max(seconds, 0.001))
    except queue.Empty:
        raise OutboundFailed(
            f"The name {host!r} was not resolved in time.", cause="timeout", is_transient=True
        ) from None
    if isinstance(answer, BaseException):
        raise OutboundFailed(
            f"The name {host!r} cannot be resolved.", cause="connection", is_transient=True
        ) from answer
    return answer


def checked_addresses(
    host: str, port: int, *, allowed: frozenset[str], resolver: Resolver = resolve, seconds: float = 5.0
) -> list[str]:
    """Addresses of a host, all of which may be called; `OutboundRefused` when a single one may not.

    One bad address refuses the host: whoever mixes good and bad ones in an answer means the bad ones.
    """
    literal = literal_address(host)
    found = [str(literal)] if literal is not None else resolve_within(resolver, host, port, seconds)
    is_allowed = is_allowed_host(host, port, allowed)
    for text in found:
        why = why_refused(
            ipaddress.ip_address(text), is_allowed=is_allowed, is_named=is_allowed and literal is not None
        )
        if why:
            raise OutboundRefused(
                f"The host {host!r} has {why} ({text}), which may not be called. An operator can allow hosts of the "
                "own network with HHWEB_OUTBOUND_ALLOWED_HOSTS.",
                value=host,
            )
    if not found:
        raise OutboundFailed(f"The name {host!r} has no address.", cause="connection", is_transient=True)
    return list(found)


def require_public(url: str, *, field: str = "url", resolver: Resolver = resolve, seconds: float = 2.0) -> None:
    """Refuse a URL that could never be called, naming `field`: for checks before anything is built.

    A name that does not resolve now is let through: it may later, and the client checks again at every connection.
    """
    target = target_of(url, field=field)
    try:
        checked_addresses(target.host, target.port, allowed=allowed_hosts(), resolver=resolver, seconds=seconds)
    except OutboundRefused as refused:
        raise OutboundRefused(f"Field '{field}': {refused.message}", field=field, value=url[:200]) from None
    except OutboundFailed:
        return
