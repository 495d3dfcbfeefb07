"""Takes secrets out of what the other side answered: an endpoint may repeat the headers it was sent. Pure."""

import json
from collections.abc import Iterable
from urllib.parse import quote

SHORTEST = 6  # characters; taking shorter ones out would garble texts and protect nothing
PLACEHOLDER = "[secret]"


class Redaction:
    """Knows the values of secrets. Nothing of it is ever shown: it has no repr of its values."""

    __slots__ = ("_forms",)

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {
            form
            for secret in secrets
            if len(secret) >= SHORTEST
            for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret)[1:-1].replace("/", "\\/"), quote(secret))
        }
        self._forms = sorted(forms, key=len, reverse=True)

    def of_bytes(self, content: bytes) -> bytes:
        """A body without the secrets, as they stand there or written in JSON or in a URL."""
        for form in self._forms:
            content = content.replace(form.encode(), PLACEHOLDER.encode())
        return content

    def of_start(self, text: str) -> str:
        """The beginning of a longer text: a secret that the cut divided is taken out too."""
        for form in self._forms:
            text = text.replace(form, PLACEHOLDER)
            for length in range(min(len(form) - 1, len(text)), SHORTEST - 1, -1):
                if text.endswith(form[:length]):
                    text = text[:-length] + PLACEHOLDER
                    break
        return text
