"""How numbers, times and ids read, in the console and in reports. Undefined is a dash, never 0."""

import datetime as dt
import json
import math
from typing import Any

UNDEFINED = "–"
_SHORT_FROM = 100_000


def is_defined(value: object) -> bool:
    """Whether `value` is a finite number; NaN and infinities are undefined."""
    return isinstance(value, int | float) and math.isfinite(value)


def score(value: float | None, decimals: int = 3) -> str:
    """A score with a fixed number of decimals and a real minus; from 100 on with one decimal."""
    if value is None or not is_defined(value):
        return UNDEFINED
    if abs(value) >= 100:
        decimals = min(decimals, 1)
    text = f"{abs(value):,.{decimals}f}"
    return f"−{text}" if value < 0 and float(text.replace(",", "")) else text


def difference(value: float | None, decimals: int = 3) -> str:
    """A difference: sign always, except for what rounds to zero."""
    text = score(value, decimals)
    return f"+{text}" if value is not None and value > 0 and text.strip("0.,") else text


def rate(part: int | None, whole: int | None) -> str:
    """`71.6 %`; of nothing it is undefined."""
    return f"{part / whole * 100:.1f} %" if part is not None and whole else UNDEFINED


def p_value(value: float | None) -> str:
    """`0.003`; `<0.001` below; never `0.000`."""
    if value is None or not is_defined(value):
        return UNDEFINED
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def decimals_for(low: float | None, high: float | None) -> int:
    """Three, and more (at most five) where the interval is so narrow that three would hide it."""
    decimals = 3
    if low is None or high is None:
        return decimals
    half = (high - low) / 2
    while 0 < half < 0.5 * 10**-decimals and decimals < 5:
        decimals += 1
    return decimals


def interval(low: float | None, high: float | None, *, signed: bool = False, decimals: int = 3) -> str:
    """`[0.386, 0.438]`; empty where there is none."""
    if low is None or high is None:
        return ""
    shown = difference if signed else score
    return f"[{shown(low, decimals)}, {shown(high, decimals)}]"


def percent(share: float | None) -> str:
    """`71.6 %` of a share of 0 to 1."""
    return f"{share * 100:.1f} %" if share is not None and is_defined(share) else UNDEFINED


def percents(low: float | None, high: float | None) -> str:
    """`[65.3, 77.1]`, the interval of a share in percent; empty where there is none."""
    return "" if low is None or high is None else f"[{low * 100:.1f}, {high * 100:.1f}]"


def exact(value: int | None) -> str:
    """`1,240,113`."""
    return UNDEFINED if value is None else f"{value:,}".replace("-", "−")


def count(value: int | None) -> str:
    """`1,240`; from 100,000 `124 k`, from a million `1.2 M`, from a billion `1.2 G`."""
    if value is None or abs(value) < _SHORT_FROM:
        return exact(value)
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M")):
        if abs(value) >= size:
            return f"{value / size:.1f} {unit}".replace("-", "−")
    return f"{round(value / 1000):,} k".replace("-", "−")


def latency(milliseconds: float | None) -> str:
    """`812 ms`, from one second `1.84 s`, from two minutes `4 min 12 s`; below 10 ms with one decimal."""
    if milliseconds is None or not is_defined(milliseconds) or milliseconds < 0:
        return UNDEFINED
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms" if milliseconds else "0 ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 120:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def money(dollars: float | None) -> str:
    """`$12.40`, below one cent two significant digits `$0.0041`."""
    if dollars is None or not is_defined(dollars):
        return "no price"
    if dollars == 0 or abs(dollars) >= 0.01:
        return f"${dollars:,.2f}"
    places = 1 - math.floor(math.log10(abs(dollars)))
    return f"${dollars:.{min(places, 12)}f}"


def size(number_of_bytes: int | None) -> str:
    """Decimal units: `2.2 MB`."""
    if number_of_bytes is None:
        return UNDEFINED
    value = float(number_of_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def utc(moment: dt.datetime | None) -> str:
    """`2026-11-21 03:18:10 UTC`."""
    return UNDEFINED if moment is None else moment.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def ago(moment: dt.datetime | None, now: dt.datetime) -> str:
    """`12 min ago`; after seven days the date; `in 3 d` for what is to come."""
    if moment is None:
        return UNDEFINED
    seconds = (now - moment).total_seconds()
    amount = abs(seconds)
    if amount >= 7 * 86400:
        return moment.astimezone(dt.UTC).strftime("%Y-%m-%d")
    if amount < 60:
        text = f"{amount:.0f} s" if amount < 59.5 else "59 s"
    elif amount < 3600:
        text = f"{amount // 60:.0f} min"
    elif amount < 86400:
        text = f"{amount // 3600:.0f} h"
    else:
        text = f"{amount // 86400:.0f} d"
    return f"in {text}" if seconds < 0 else f"{text} ago"


def short_id(value: object) -> str:
    """`7f3kab…9q2x`: shortened in the middle when longer than 16 characters."""
    text = str(value)
    return text if len(text) <= 16 else f"{text[:8]}…{text[-4:]}"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 datapoint`, `2 datapoints`, with the count's format."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def preview(value: Any, limit: int = 160) -> str:
    """One line of a JSON value: bare text as it is, an object with one entry as that entry."""
    while isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if value is None or value == {} or value == []:
        return UNDEFINED
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def pretty_json(value: Any, limit: int = 200_000) -> str:
    """JSON on indented lines in stored order; what is over `limit` characters is cut and says so."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return text if len(text) <= limit else f"{text[:limit]}\n… {len(text) - limit:,} more characters, not shown"


def metric_value(value: float | None, *, is_boolean: bool = False) -> str:
    """One measured value: booleans as words, whole numbers without decimals."""
    if value is None or not is_defined(value):
        return UNDEFINED
    if is_boolean:
        return "true" if value else "false"
    return f"{value:,.0f}".replace("-", "−") if float(value).is_integer() and abs(value) > 1 else score(value)
