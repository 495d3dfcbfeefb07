"""A finished datapoint on its way to the server, the same in memory, in the spool and in every dialect."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

# A span that stands for the session itself; our server makes the session event of it.
SESSION_MARK = "hhweb.session_event"


@dataclass(frozen=True, slots=True)
class FinishedDatapoint:
    """One execution of the function on one datapoint, with everything there is to store.

    `session` has session_id, session_name, source, start_time and end_time (epoch ms), inputs, outputs (an object),
    metadata (the four ids, repetition, what the user added), feedback (`ground_truth`), metrics, user_properties, and
    error (text) when the function failed. `spans` are OTLP JSON spans, the root first. Both hold nothing but JSON,
    and both come out the same when the same execution is delivered again.
    """

    session_id: str
    session: Json
    spans: list[Json] = field(default_factory=list)
