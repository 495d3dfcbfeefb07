"""`Idempotency-Key`: a repeated create returns the first answer, under any concurrency."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import IntegrityError, transaction

from governance.domain.caller import Caller
from governance.domain.errors import Conflict, InvalidInput
from governance.models import IdempotentAnswer

_KEY_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and JSON body of a create, and whether they are those of an earlier request."""

    status: int
    body: Any
    is_replayed: bool = False


def request_hash(body: Any) -> str:
    """SHA-256 of a decoded body; the order of keys does not matter."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def answer_once(
    *, caller: Caller, key: str | None, route: str, body: Any, create: Callable[[], tuple[int, Any]]
) -> Answer:
    """Run `create` (which returns status and JSON body) unless this key was answered on this route before.

    The key's row is inserted first, in the transaction of the create: a concurrent double waits at the
    unique constraint until the first one has committed (then it is replayed) or failed (then it creates).
    The same key with another body is a `Conflict`. Without a key, `create` just runs.
    """
    if key is None:
        return Answer(*create())
    if not key.strip() or len(key) > _KEY_LIMIT:
        raise InvalidInput(
            f"Header 'Idempotency-Key' must have 1 to {_KEY_LIMIT} characters; a UUID is a good choice.",
            field="Idempotency-Key",
            value=key[:200],
        )
    said = request_hash(body)
    with transaction.atomic():
        try:
            with transaction.atomic():
                row = IdempotentAnswer.objects.create(
                    project_id=caller.project_id, key=key, route=route, request_hash=said
                )
        except IntegrityError:
            return _replayed(caller, key, route, said)
        status, answer = create()
        IdempotentAnswer.objects.filter(pk=row.pk).update(status=status, body=answer)
    return Answer(status, answer)


def _replayed(caller: Caller, key: str, route: str, said: str) -> Answer:
    stored = IdempotentAnswer.objects.filter(project_id=caller.project_id, key=key, route=route).first()
    if stored is None:  # swept away in this very moment
        raise Conflict("This Idempotency-Key has just expired; send the request again.", field="Idempotency-Key")
    if stored.request_hash != said:
        raise Conflict(
            f"Idempotency-Key {key!r} was used for a different request body. Choose a new key for a new request.",
            field="Idempotency-Key",
            value=key,
        )
    return Answer(stored.status, stored.body, is_replayed=True)
