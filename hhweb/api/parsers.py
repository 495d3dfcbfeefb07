"""How the native API reads bodies; named by settings."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, UnreadablePostError
from rest_framework.parsers import BaseParser

from experiments.domain.otlp import inflate
from governance.domain.errors import InvalidInput, PayloadTooLarge
from governance.domain.json_bodies import decode_json


class JsonBody(BaseParser):
    """JSON within the size limits, plain or packed (Content-Encoding), by the same rules as the protocol's bodies."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The decoded body, or a refusal with status 400 or 413."""
        try:
            # DRF hands over the request itself unless its body was read before; only `.body` minds the size limit.
            raw = stream.body if isinstance(stream, HttpRequest) else stream.read()
        except RequestDataTooBig:
            raise PayloadTooLarge("The request body is larger than this server accepts; send less at once.") from None
        except UnreadablePostError:
            raise InvalidInput("The request body ended early; send it again.", field="body") from None
        encoding = parser_context["request"].headers.get("Content-Encoding", "") if parser_context else ""
        return decode_json(inflate(raw, encoding, limit=settings.MAX_INFLATED_BYTES))
