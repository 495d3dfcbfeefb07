"""What definitions of HTTP targets must keep to."""

import pytest

from experiments.domain.experiment_spec import HttpTarget
from experiments.domain.http_targets import base_url_of, check_target, secrets_of
from governance.domain.errors import InvalidInput

URL = "https://api.example.com/v1/answer"
SECRET = {"secret": "key", "prefix": "Bearer "}


def target(**fields) -> HttpTarget:
    return HttpTarget.model_validate({"url": URL, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"url": f"{URL}/{{{{inputs.id}}}}?q={{{{inputs.q}}}}"},
        {"headers": {"Authorization": SECRET, "X-Trace": "on"}},
        {"body": {"q": "{{inputs.q}}", "t": "{{ground_truth}}", "h": "{{history}}", "m": "{{metadata.a}}"}},
        {"method": "GET"},
        {"method": "GET", "body": None, "url": f"{URL}?token={{{{inputs.token}}}}"},
    ],
)
def test_good_ones_pass(fields) -> None:
    check_target(target(**fields))


@pytest.mark.parametrize(
    ("fields", "field", "why"),
    [
        ({"url": "https://{{inputs.host}}/v1"}, "target.url", "must be fixed"),
        ({"url": "{{inputs.scheme}}://a.example/v1"}, "target.url", "must be fixed"),
        ({"url": f"{URL}#part"}, "target.url", "never sent"),
        ({"url": f"{URL}?api_key=sk-123"}, "target.url", "looks like a secret"),
        ({"url": f"{URL}?q={{{{question}}}}"}, "target.url", "is unknown"),
        ({"headers": {"Authorization": "Bearer sk-1"}}, "target.headers.Authorization", "looks like a secret"),
        ({"headers": {"X-Api-Key": "sk-1"}}, "target.headers.X-Api-Key", "looks like a secret"),
        ({"headers": {"Cookie": "a=b"}}, "target.headers.Cookie", "looks like a secret"),
        ({"headers": {"Host": "x"}}, "target.headers.Host", "set by the server"),
        ({"headers": {"content-LENGTH": "3"}}, "target.headers.content-LENGTH", "set by the server"),
        ({"headers": {"X Y": "3"}}, "target.headers.X Y", "no name of a header"),
        ({"headers": {"X": "a\r\nY: b"}}, "target.headers.X", "one line"),
        ({"headers": {"X": {"secret": "k", "prefix": "é"}}}, "target.headers.X", "one line"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "target.headers", "twice"),
        ({"method": "GET", "body": {"a": 1}}, "target.body", "GET has no body"),
        ({"body": {"a": ["{{outputs}}"]}}, "target.body", "is unknown"),
    ],
)
def test_bad_ones_are_refused_naming_the_field(fields, field, why) -> None:
    with pytest.raises(InvalidInput, match=why) as raised:
        check_target(target(**fields))
    assert raised.value.details["field"] == field
    assert "sk-1" not in str(raised.value) + str(raised.value.details)


def test_rules_look_at_the_address_without_its_query() -> None:
    assert base_url_of(f"{URL}?q=1") == URL
    assert secrets_of(target(headers={"A": SECRET, "B": "x"}).headers) == {"A": "key"}
