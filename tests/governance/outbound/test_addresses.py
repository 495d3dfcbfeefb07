"""Which addresses may be called, in every form they can be spelled."""

import ipaddress
import threading

import pytest

from governance.outbound import addresses
from governance.outbound.addresses import checked_addresses, require_public, target_of, why_refused
from governance.outbound.errors import OutboundFailed, OutboundRefused

PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"]
REFUSED = {
    "127.0.0.1": "loopback",
    "127.8.9.1": "loopback",
    "10.1.2.3": "private",
    "172.31.0.1": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "private",
    "198.18.0.1": "private",
    "192.0.0.8": "private",
    "192.88.99.1": "private",
    "240.0.0.1": "private",
    "255.255.255.255": "private",
    "169.254.169.254": "metadata",
    "169.254.1.1": "link-local",
    "168.63.129.16": "metadata",
    "100.100.100.200": "metadata",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "::": "unspecified",
    "::1": "loopback",
    "fe80::1": "link-local",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:169.254.169.254": "metadata",
    "::127.0.0.1": "loopback",
    "2002:7f00:1::": "loopback",
    "2002:a9fe:a9fe::": "metadata",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b::a00:1": "private",
    "64:ff9b:1::5db8:d70e": "private",
    "2001:0:5ef5:79fb::1": "private",
    "2001:db8::1": "private",
    "4000::1": "IPv6",
}


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_may_be_called(text):
    assert why_refused(ipaddress.ip_address(text)) == ""


@pytest.mark.parametrize("text", REFUSED)
def test_all_others_may_not(text):
    why = why_refused(ipaddress.ip_address(text))
    assert REFUSED[text] in why or (why and REFUSED[text] in {"private", "IPv6"} and "reserved" in why), why


@pytest.mark.parametrize("text", ["127.0.0.1", "10.0.0.1", "fd00::1", "::1", "100.64.0.1", "::ffff:10.0.0.1"])
def test_an_allowed_name_opens_the_own_network(text):
    assert why_refused(ipaddress.ip_address(text), is_allowed=True) == ""


@pytest.mark.parametrize("text", ["169.254.169.254", "fe80::1", "0.0.0.0", "224.0.0.1", "::ffff:169.254.169.254"])
def test_an_allowed_name_never_opens_link_local_and_metadata(text):
    assert why_refused(ipaddress.ip_address(text), is_allowed=True) != ""


def test_an_allowed_address_is_opened_unless_it_is_no_single_machine():
    named = {"is_allowed": True, "is_named": True}
    assert why_refused(ipaddress.ip_address("169.254.1.1"), **named) == ""
    assert why_refused(ipaddress.ip_address("224.0.0.1"), **named) == "a multicast address"


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0", "1.2.3", "[::ffff:0:0]%251", "017700000001"],
)
def test_numbers_that_are_no_canonical_address_are_refused(host):
    with pytest.raises(OutboundRefused) as refused:
        target_of(f"http://{host}/", field="arms.a.base_url")
    assert refused.value.details["field"] == "arms.a.base_url"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com",
        "example.com",
        "//example.com/",
        "http://",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://example.com@127.0.0.1/",
        "http://exa mple.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://exämple.com/",
        "http://example.com/\n",
        "http://[fe80::1%25eth0]/",
        "http://[::1",
        "http://example.com/" + "x" * 2_048,
    ],
)
def test_addresses_that_can_be_misread_are_refused(url):
    with pytest.raises(OutboundRefused, match=r"Field 'url'"):
        target_of(url)


def test_targets_are_told_in_one_form():
    assert target_of("HTTPS://API.Example.com./v1") == addresses.Target("https", "api.example.com", 443)
    assert target_of("http://[0:0:0:0:0:0:0:1]:8080/") == addresses.Target("http", "::1", 8080)


@pytest.mark.parametrize(
    ("host", "port", "allowed", "expected"),
    [
        ("tei.internal", 80, {"tei.internal"}, True),
        ("tei.internal", 8080, {"tei.internal:8080"}, True),
        ("tei.internal", 80, {"tei.internal:8080"}, False),
        ("x.tei.internal", 80, {"tei.internal"}, False),
        ("tei.internal.evil.com", 80, {"tei.internal"}, False),
        ("::1", 80, {"[::1]"}, True),
        ("::1", 80, {"[::1]:80"}, True),
        ("::1", 81, {"[::1]:80"}, False),
    ],
)
def test_hosts_are_allowed_exactly(host, port, allowed, expected):
    assert addresses.is_allowed_host(host, port, frozenset(allowed)) is expected


def test_one_bad_address_among_good_ones_refuses_the_host():
    with pytest.raises(OutboundRefused, match=r"10\.0\.0\.5"):
        checked_addresses("mixed.example", 443, allowed=frozenset(), resolver=lambda *_: [PUBLIC[0], "10.0.0.5"])
    found = checked_addresses("good.example", 443, allowed=frozenset(), resolver=lambda *_: PUBLIC[:2])
    assert found == PUBLIC[:2]


def test_a_name_without_addresses_and_a_resolver_that_fails_are_failures_that_may_heal():
    def broken(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    for resolver in (broken, lambda *_: []):
        with pytest.raises(OutboundFailed) as failed:
            checked_addresses("gone.example", 443, allowed=frozenset(), resolver=resolver)
        assert (failed.value.cause, failed.value.is_transient) == ("connection", True)


def test_a_resolver_that_hangs_is_not_waited_for():
    never = threading.Event()
    with pytest.raises(OutboundFailed) as failed:
        checked_addresses(
            "slow.example", 443, allowed=frozenset(), resolver=lambda *_: [str(never.wait(60))], seconds=0.05
        )
    never.set()
    assert failed.value.cause == "timeout"


def test_the_system_resolver_answers_with_addresses():
    assert "127.0.0.1" in addresses.resolve("127.0.0.1", 80)


def test_what_could_never_be_called_is_refused_before_anything_is_built(settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["tei.internal"]
    for url in ("http://127.0.0.1/", "http://2130706433/", "http://[::ffff:10.0.0.1]/", "ftp://a.example/"):
        with pytest.raises(OutboundRefused, match=r"Field 'arms\.a\.base_url'") as refused:
            require_public(url, field="arms.a.base_url")
        assert refused.value.status == 400
        assert refused.value.details["field"] == "arms.a.base_url"
    require_public("https://api.example/v1", resolver=lambda *_: [PUBLIC[0]])
    require_public("http://tei.internal:8080/", resolver=lambda *_: ["10.0.0.5"])
    require_public("https://unknown.example/v1", resolver=lambda *_: [])
