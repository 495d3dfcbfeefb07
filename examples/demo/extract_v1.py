"""Variant 1 of the demo's task: the patterns one writes first. Its faults are real and on purpose kept.

Each finder takes the message's text and the ISO day on which it was sent, and returns facts in canonical form:
dates `2026-03-31`, amounts `EUR 1250.00`, e-mail addresses in lower case, quantities `2.5 kg`.
"""

import re
from collections.abc import Callable
from datetime import date

CURRENCY_OF_SIGN = {"€": "EUR", "$": "USD", "£": "GBP"}


def find_dates(text: str, sent: str) -> list[str]:
    """ISO dates and day/month/year; raises `ValueError` on digits that look like a date and are none."""
    found = [date(int(y), int(m), int(d)) for y, m, d in re.findall(r"(\d{4})-(\d{2})-(\d{2})", text)]
    found += [date(int(y), int(m), int(d)) for d, m, y in re.findall(r"(\d{1,2})/(\d{1,2})/(\d{4})", text)]
    return [day.isoformat() for day in found]


def find_amounts(text: str, sent: str) -> list[str]:
    """A sign before or a code behind a plain number."""
    found = [
        f"{CURRENCY_OF_SIGN[sign]} {float(number):.2f}" for sign, number in re.findall(r"([€$£])(\d+(?:\.\d\d)?)", text)
    ]
    found += [f"{code} {float(number):.2f}" for number, code in re.findall(r"(\d+(?:\.\d\d)?) (EUR|USD|GBP)", text)]
    return found


def find_emails(text: str, sent: str) -> list[str]:
    """Word, at, word, dot, word."""
    return re.findall(r"\w+@\w+\.\w+", text)


def find_quantities(text: str, sent: str) -> list[str]:
    """A whole number and one of the commonest units."""
    return [f"{number} {unit}" for number, unit in re.findall(r"(\d+) (kg|g|km|cm|m|L|mL|h|min|s|°C|kWh)\b", text)]


FINDERS: dict[str, Callable[[str, str], list[str]]] = {
    "dates": find_dates,
    "amounts": find_amounts,
    "emails": find_emails,
    "quantities": find_quantities,
}
