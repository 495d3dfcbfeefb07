"""What patterns match, above all what they do not match, and what follows from all rules."""

import pytest

from governance.domain.errors import InvalidInput
from governance.domain.provider_patterns import Rule, canonical_url, check_patterns, decide, matches

HOST = "https://api.example.com"


def hits(pattern: str, url: str) -> bool:
    return matches(Rule("allow", "*", base_url=pattern), provider="p", model="m", base_url=url)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        (f"{HOST}*", f"{HOST}/v1"),
        (f"{HOST}*", HOST),
        (HOST, f"{HOST}/v1/embeddings"),
        (HOST, "HTTPS://API.EXAMPLE.COM:443/v1"),
        (f"{HOST}:443/v1*", f"{HOST}./v1"),
        (f"{HOST}/v1", f"{HOST}/v1"),
        (f"{HOST}/v1", f"{HOST}/v1/embeddings"),
        (f"{HOST}/v1/", f"{HOST}/v1"),
        (f"{HOST}/v1*", f"{HOST}/v1beta"),
        (f"{HOST}/v[12]/*", f"{HOST}/v2/x"),
        ("http://[::1]:8080*", "http://[::1]:8080/x"),
        ("*", "http://anything.example/"),
        ("*", ""),
        ("", ""),
    ],
)
def test_addresses_that_match(pattern, url):
    check_patterns(Rule("allow", "p", base_url=pattern))
    assert hits(pattern, url)


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        (f"{HOST}*", f"{HOST}.evil/v1"),
        (f"{HOST}*", "https://api.example.com.evil"),
        (f"{HOST}*", "https://api.example.community/"),
        (f"{HOST}*", "https://x.api.example.com/"),
        (f"{HOST}*", "http://api.example.com/"),
        (f"{HOST}*", f"{HOST}:8443/"),
        ("https://api.exam*", f"{HOST}/"),
        (f"{HOST}/v1", f"{HOST}/v10"),
        (f"{HOST}/v1*", f"{HOST}/V1"),
        (f"{HOST}/v1/*", f"{HOST}/v2/v1/"),
        ("", HOST),
        (HOST, ""),
    ],
)
def test_addresses_that_do_not_match(pattern, url):
    assert not hits(pattern, url)


@pytest.mark.parametrize(
    "url",
    [
        f"{HOST}/v1/../admin",
        f"{HOST}/v1/%2e%2e/admin",
        f"{HOST}/./v1",
        f"{HOST}//v1",
        f"{HOST}/v1?x=1",
        f"{HOST}/v1#x",
        f"{HOST}\\@evil.example/",
        "https://api.example.com@evil.example/",
        "https://api.example.com%00.evil.example/",
        "https://api.example.com:x/",
        "ftp://api.example.com/",
        "api.example.com",
        "https://",
        "https://exämple.com",
        "https://api.example.com/a b",
    ],
)
def test_addresses_that_can_be_read_in_two_ways_are_refused_whatever_the_rules(url):
    with pytest.raises(InvalidInput, match="base_url") as refused:
        decide([Rule("allow", "*")], provider="openai", model="m", base_url=url)
    assert refused.value.details["field"] == "base_url"


@pytest.mark.parametrize(
    "pattern",
    [
        "https://*.example.com/",
        "https://*",
        "https://api.example.co?/",
        "http*://api.example.com/",
        "https://api.[ab].com/",
        "https://api.example.com:*/",
        "*://api.example.com",
        "**",
        "api.example.com*",
        "https://api.example.com/../*",
        "https://api.example.com/" + "x" * 500,
    ],
)
def test_patterns_over_hosts_are_refused(pattern):
    with pytest.raises(InvalidInput) as refused:
        check_patterns(Rule("allow", "p", base_url=pattern))
    assert refused.value.details["field"] == "base_url"


@pytest.mark.parametrize(
    ("field", "value"), [("provider", " "), ("model", ""), ("provider", "x" * 201), ("model", "a\n")]
)
def test_patterns_need_letters(field, value):
    with pytest.raises(InvalidInput) as refused:
        check_patterns(Rule(**{"effect": "allow", "provider": "p", field: value}))
    assert refused.value.details["field"] == field


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("text-embedding-3*", "text-embedding-3-large", True),
        ("TEXT-*", "text-x", True),
        ("text-embedding-3*", "my-text-embedding-3", False),
        ("m", "mm", False),
        ("*", "", True),
    ],
)
def test_names_are_matched_whole_and_without_regard_to_case(pattern, name, expected):
    assert matches(Rule("allow", "*", pattern), provider="p", model=name, base_url="") is expected
    assert matches(Rule("allow", pattern), provider=name, model="m", base_url="") is expected


def test_local_providers_are_allowed_until_denied_and_remote_ones_the_other_way_round():
    for local in ("synthetic", "minilm", "wordllama"):
        assert decide([], provider=local, model="m").is_allowed
        assert not decide([], provider=local, model="m", base_url=HOST).is_allowed
        assert not decide([Rule("deny", local)], provider=local, model="m").is_allowed
    assert decide([], provider="openai", model="m", base_url=HOST).reason == "no rule of the project allows it"
    assert decide([Rule("allow", "openai")], provider="openai", model="m", base_url=HOST).is_allowed
    assert not decide([Rule("allow", "openai")], provider="cohere", model="m", base_url=HOST).is_allowed


def test_deny_wins_in_any_order():
    rules = [Rule("allow", "*"), Rule("deny", "openai", "gpt*"), Rule("allow", "openai")]
    for order in (rules, rules[::-1]):
        decision = decide(order, provider="OpenAI", model="GPT-4", base_url=HOST)
        assert not decision.is_allowed
        assert decision.reason == "the rule 'deny openai gpt* *' forbids it"
        assert decide(order, provider="openai", model="ada", base_url=HOST).is_allowed


def test_an_address_has_one_canonical_form():
    assert canonical_url("HTTP://Api.Example.com.") == ("http://api.example.com:80", "/")
    assert canonical_url("https://[2001:DB8::1]:8443/x") == ("https://[2001:db8::1]:8443", "/x")
