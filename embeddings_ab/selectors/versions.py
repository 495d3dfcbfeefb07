"""How `name`, `name@3` and public ids are looked up, alike for corpora and query sets."""

from typing import Any, TypeVar

from django.db.models import QuerySet

from embeddings_ab.domain.names import reference
from embeddings_ab.models import Corpus
from embeddings_ab.models import QuerySet as StoredQuerySet
from governance.domain.errors import NotFound

Versioned = TypeVar("Versioned", Corpus, StoredQuerySet)


def find_version(rows: "QuerySet[Versioned]", text: str, *, noun: str, field: str) -> Versioned:
    """The version `text` means (the newest of a bare name), or `NotFound`: the same for ids of other projects."""
    if "\x00" not in text:
        wanted = reference(text)
        named = rows.filter(name=wanted.text).order_by("-version")
        if wanted.version is not None:
            found: Any = named.filter(version=wanted.version).first()
        else:
            found = named.first() or rows.filter(public_id=wanted.text).first()
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise NotFound(
        f"Field {field!r}: this project has no {noun} {text[:80]!r}. Give a name, name@version or id; "
        f"GET /api/v1/ab/{_ADDRESSES[noun]} lists them.",
        field=field,
        value=text[:200],
    )


_ADDRESSES = {"corpus": "corpora", "query set": "query-sets"}
