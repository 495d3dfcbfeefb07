"""Variant 2 of the demo's task: written numbers, months by name, thousands, days relative to the message.

Same finders and canonical forms as variant 1. What it still cannot do (weekdays, words spelled out, addresses in
words, fractions, ranges that share a month) stays a failure in the results.
"""

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

CURRENCIES = {"€": "EUR", "$": "USD", "£": "GBP", "EUR": "EUR", "USD": "USD", "GBP": "GBP", "CHF": "CHF"}
UNITS = {
    "kilograms": "kg", "kilogram": "kg", "kg": "kg", "mg": "mg", "g": "g", "t": "t",
    "km": "km", "cm": "cm", "mm": "mm", "m²": "m²", "m": "m",
    "litres": "L", "litre": "L", "mL": "mL", "L": "L",
    "hours": "h", "hour": "h", "h": "h", "minutes": "min", "min": "min", "ms": "ms", "s": "s",
    "°C": "°C", "bar": "bar", "kWh": "kWh", "kW": "kW", "GB": "GB", "MB": "MB",
}  # fmt: skip
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
RELATIVE_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}

NUMBER = r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?"
MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
ISO_DATE = re.compile(r"(?<![\w-])(?P<year>\d{4})-(?P<number>\d{2})-(?P<day>\d{2})(?![\w-])")
DAY_FIRST = re.compile(r"(?<![\w./])(?P<day>\d{1,2})(?P<dot>[./])(?P<number>\d{1,2})(?P=dot)(?P<year>\d{4})(?!\w)")
DAY_AND_NAME = re.compile(rf"(?<!\w)(?P<day>\d{{1,2}})(?:st|nd|rd|th)? {MONTH}(?: (?P<year>\d{{4}}))?(?!\w)", re.I)
NAME_AND_DAY = re.compile(rf"(?<!\w){MONTH} (?P<day>\d{{1,2}})(?:, (?P<year>\d{{4}}))?(?!\w)", re.I)
SIGN_FIRST = re.compile(rf"(?P<sign>[€$£]|\b(?:EUR|USD|GBP|CHF) )\s?(?P<number>{NUMBER})(?P<kilo>k\b)?")
SIGN_LAST = re.compile(rf"(?<![\w.,])(?P<number>{NUMBER})\s?(?P<sign>€|\b(?:EUR|USD|GBP|CHF)\b)")
EMAIL = re.compile(r"[\w.+'-]+@[\w-]+(?:\.[\w-]+)+")
UNIT = "|".join(sorted(UNITS, key=len, reverse=True))
QUANTITY = re.compile(rf"(?<![\w.,/-])(?P<minus>-)?(?P<number>{NUMBER})\s?(?P<unit>{UNIT})(?![\w²])")


def real_date(year: int, month: int, day: int) -> date | None:
    """The date, or nothing when the calendar has no such day."""
    try:
        return date(year, month, day)
    except ValueError:
        return None


def find_dates(text: str, sent: str) -> list[str]:
    """Numeric dates day first, months by name (year of the message when missing), yesterday to tomorrow."""
    message_day = date.fromisoformat(sent)
    found: list[date | None] = []
    for match in [*ISO_DATE.finditer(text), *DAY_FIRST.finditer(text)]:
        found.append(real_date(int(match["year"]), int(match["number"]), int(match["day"])))
    for match in [*DAY_AND_NAME.finditer(text), *NAME_AND_DAY.finditer(text)]:
        month = MONTHS.index(match["month"].lower()) + 1
        found.append(real_date(int(match["year"] or message_day.year), month, int(match["day"])))
    for word, days in RELATIVE_DAYS.items():
        if re.search(rf"\b{word}\b", text, re.I):
            found.append(message_day + timedelta(days=days))
    return sorted({day.isoformat() for day in found if day is not None})


def amount_value(number: str) -> Decimal:
    """The value of a price: the last mark is the decimal one unless exactly three digits follow it."""
    marks = [mark for mark in number if mark in ".,"]
    if not marks or len(number) - number.rfind(marks[-1]) - 1 == 3:
        return Decimal(number.replace(",", "").replace(".", ""))
    whole, _, cents = number.rpartition(marks[-1])
    return Decimal(f"{whole.replace(',', '').replace('.', '')}.{cents}")


def find_amounts(text: str, sent: str) -> list[str]:
    """Sign or code before or behind a number with any marks, and `k` for thousands."""
    found = set()
    for match in [*SIGN_FIRST.finditer(text), *SIGN_LAST.finditer(text)]:
        value = amount_value(match["number"]) * (1000 if match.groupdict().get("kilo") else 1)
        found.add(f"{CURRENCIES[match['sign'].strip()]} {value:.2f}")
    return sorted(found)


def find_emails(text: str, sent: str) -> list[str]:
    """Addresses with dots, plus, hyphen and apostrophe, in lower case."""
    return sorted({address.lower() for address in EMAIL.findall(text)})


def measured_value(number: str) -> str:
    """The value of a measurement: a comma before exactly three digits marks thousands, any other mark decimals."""
    whole, comma, rest = number.rpartition(",")
    if comma and len(rest) == 3 and whole != "0":
        number = whole.replace(",", "") + rest
    value = Decimal(number.replace(",", "."))
    return f"{value.normalize():f}"


def find_quantities(text: str, sent: str) -> list[str]:
    """Signed numbers with decimals and a unit, the unit in its short form."""
    return sorted(
        {
            f"{match['minus'] or ''}{measured_value(match['number'])} {UNITS[match['unit']]}"
            for match in QUANTITY.finditer(text)
        }
    )


FINDERS: dict[str, Callable[[str, str], list[str]]] = {
    "dates": find_dates,
    "amounts": find_amounts,
    "emails": find_emails,
    "quantities": find_quantities,
}
