"""Constraints that need two different rows to clash, and rows that must not."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from embeddings_ab.models import Collection, Corpus, EmbeddingSpace
from tests.embeddings_ab.rows import CLASHES, MAKE, a_project

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", CLASHES)
def test_rows_that_differ_elsewhere_clash(name: str) -> None:
    model, given, other = CLASHES[name]
    fields: dict[str, Any] = given()
    MAKE[model](**fields)
    before = model._default_manager.count()

    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        MAKE[model](**{**fields, **other})

    assert name in str(raised.value) or "UNIQUE constraint failed" in str(raised.value)
    assert model._default_manager.count() == before


def test_a_deleted_collection_makes_room_for_its_successor() -> None:
    MAKE[Collection](status="deleted")
    MAKE[Collection](status="ready")

    assert Collection.objects.count() == 2


def test_an_older_generation_of_a_space_stays_beside_the_current_one() -> None:
    MAKE[EmbeddingSpace](is_current=False)
    MAKE[EmbeddingSpace](generation=2)

    assert EmbeddingSpace.objects.filter(is_current=True).count() == 1


def test_the_same_name_and_version_live_in_two_projects() -> None:
    MAKE[Corpus]()
    other = type(a_project()).objects.create(name="other")
    MAKE[Corpus](project=other)

    assert Corpus.objects.filter(name="other", version=1).count() == 2
