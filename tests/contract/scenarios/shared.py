"""What the scenarios share: reading events back, and printing the answer for the test."""

import json
from typing import Any

from honeyhive import HoneyHive


def events_of(client: HoneyHive, field: str, value: str) -> list[dict[str, Any]]:
    """All events whose `field` is `value`, as plain dictionaries, oldest first."""
    condition = {"field": field, "operator": "is", "value": value, "type": "string"}
    answer = client.events.export(filters=[condition], limit=7500)
    assert answer.total_events == len(answer.events)
    return [event.model_dump(mode="json") for event in answer.events]


def show(**answer: Any) -> None:
    """Print the answer as the last line of the program."""
    print(json.dumps(answer, default=lambda value: value.model_dump(mode="json")))
