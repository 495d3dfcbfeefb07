"""The command that cleans up now, or says what would go."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from embeddings_ab.domain.statuses import CollectionStatus
from embeddings_ab.models import Collection
from tests.embeddings_ab.factories import make_caller, make_corpus, make_query_set
from tests.embeddings_ab.pipeline import started


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_names_what_would_go_and_leaves_it(jobs):
    caller = make_caller()
    corpus = make_corpus(caller)
    test = started(caller, corpus, make_query_set(caller, corpus), clean_up={"on_complete": True})
    jobs.run()

    def clean_up(*options: str) -> dict:
        out = StringIO()
        call_command("clean_up_ab", *options, stdout=out)
        return json.loads(out.getvalue())

    assert clean_up("--dry-run")["released"] == [test.public_id]
    assert test.collection_uses.count() == 3
    assert clean_up()["released"] == [test.public_id]
    assert test.collection_uses.count() == 0
    # Free, but used a moment ago: they stay for the next test.
    assert clean_up("--dry-run")["deleted"] == []
    assert set(Collection.objects.values_list("status", flat=True)) == {CollectionStatus.READY}
