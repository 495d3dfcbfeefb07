"""The `Retry-After` header, for the server's guarded client and for the SDK."""

import datetime as dt

LONGEST_HEADER = 64  # characters


def retry_after_seconds(value: str | None, *, now: dt.datetime) -> float | None:
    """Seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3: seconds or HTTP-date); None for nonsense."""
    from email.utils import parsedate_to_datetime  # slow to load, and rarely needed

    text = (value or "").strip()
    if not text or len(text) > LONGEST_HEADER:
        return None
    try:
        if text.isascii() and text.replace(".", "", 1).isdigit():
            return float(text)
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0.0, (moment - now).total_seconds())
