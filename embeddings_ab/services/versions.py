"""How a version of a corpus or query set comes to be: once for each content, under any concurrency."""

from collections.abc import Callable
from typing import TypeVar

from django.db import IntegrityError, transaction

from embeddings_ab.models import Corpus, QuerySet
from governance.domain.errors import Conflict

Versioned = TypeVar("Versioned", Corpus, QuerySet)
_TRIES = 20


def newest_or_next(
    newest: Callable[[], Versioned | None], is_same: Callable[[Versioned], bool], make: Callable[[int], Versioned]
) -> tuple[Versioned, bool]:
    """The newest version when it has this content already, else `make(version)`; and whether it was made.

    Runs inside a transaction. A concurrent import of the same name waits at the unique constraint until the first
    has committed, fails there, and then looks again: equal content is never stored twice.
    """
    for _ in range(_TRIES):
        found = newest()
        if found is not None and is_same(found):
            return found, False
        try:
            with transaction.atomic():
                return make(1 if found is None else found.version + 1), True
        except IntegrityError:
            continue
    raise Conflict("Too many imports of this name at once; send this one again.", field="name")
