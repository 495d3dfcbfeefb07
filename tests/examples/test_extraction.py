"""The demo's two extractors: what each finds, misses and makes up."""

import pytest

from examples.demo import extract_v1, extract_v2

SENT = "2026-03-05"


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("on 2026-03-31", ["2026-03-31"], ["2026-03-31"]),
        ("on 31/03/2026", ["2026-03-31"], ["2026-03-31"]),
        ("am 31.03.2026", [], ["2026-03-31"]),
        ("on 9 February", [], ["2026-02-09"]),
        ("on 3rd June 2027", [], ["2027-06-03"]),
        ("on Oct 12, 2026", [], ["2026-10-12"]),
        ("before June 15", [], ["2026-06-15"]),
        ("yesterday and Tomorrow", [], ["2026-03-04", "2026-03-06"]),
        ("next Friday", [], []),
        ("part A2026-03-31", ["2026-03-31"], []),
    ],
)
def test_dates(text, first, second):
    assert extract_v1.find_dates(text, SENT) == first
    assert extract_v2.find_dates(text, SENT) == second


@pytest.mark.parametrize("text", ["30/02/2026", "part 2026-13-45"])
def test_impossible_dates_raise_in_the_first_variant_and_are_left_out_by_the_second(text):
    with pytest.raises(ValueError, match=r"out of range|must be in"):
        extract_v1.find_dates(text, SENT)
    assert extract_v2.find_dates(text, SENT) == []


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("€15.00", ["EUR 15.00"], ["EUR 15.00"]),
        ("€1,250.00", ["EUR 1.00"], ["EUR 1250.00"]),
        ("1.250,00 €", [], ["EUR 1250.00"]),
        ("€2.670", ["EUR 2.67"], ["EUR 2670.00"]),
        ("EUR 480.00", [], ["EUR 480.00"]),
        ("CHF 64.90", [], ["CHF 64.90"]),
        ("$2.4k", ["USD 2.00"], ["USD 2400.00"]),
        ("75.50 GBP", ["GBP 75.50"], ["GBP 75.50"]),
        ("12 EUR or 12 EUR", ["EUR 12.00", "EUR 12.00"], ["EUR 12.00"]),
        ("two hundred euros", [], []),
    ],
)
def test_amounts(text, first, second):
    assert extract_v1.find_amounts(text, SENT) == first
    assert extract_v2.find_amounts(text, SENT) == second


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("to a@b.example.", ["a@b.example"], ["a@b.example"]),
        ("jo.meyer@trust.example", ["meyer@trust.example"], ["jo.meyer@trust.example"]),
        ("Max@Web-Mail.example", [], ["max@web-mail.example"]),
        ("m.o'neill+x@f.co.example", ["x@f.co"], ["m.o'neill+x@f.co.example"]),
        ("the @handle", [], []),
    ],
)
def test_emails(text, first, second):
    assert extract_v1.find_emails(text, SENT) == first
    assert extract_v2.find_emails(text, SENT) == second


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("25 kg", ["25 kg"], ["25 kg"]),
        ("2.5 kg", ["5 kg"], ["2.5 kg"]),
        ("12,500 L", ["500 L"], ["12500 L"]),
        ("0,125 g", ["125 g"], ["0.125 g"]),
        ("3,4 bar", [], ["3.4 bar"]),
        ("-18 °C", ["18 °C"], ["-18 °C"]),
        ("15 minutes", [], ["15 min"]),
        ("64 m²", [], ["64 m²"]),
        ("M10 stops", [], []),
    ],
)
def test_quantities(text, first, second):
    assert extract_v1.find_quantities(text, SENT) == first
    assert extract_v2.find_quantities(text, SENT) == second
