"""Which space vectors belong to: one per model, asked for its revision and its canary, new when the model changed."""

import datetime as dt

import pytest
from structlog.testing import capture_logs

from embeddings_ab.domain.provider_errors import ProviderFailed
from embeddings_ab.domain.spec import ArmSpec
from embeddings_ab.domain.statuses import TestStatus
from embeddings_ab.models import AbTest, Collection, Embedding, EmbeddingSpace
from embeddings_ab.services import ab_tests, provider_access, spaces
from governance.models.clock import from_now
from tests.embeddings_ab.factories import QUERIES, TEXTS, make_caller, make_corpus, make_query_set
from tests.embeddings_ab.pipeline import started
from tests.embeddings_ab.provider_server import ProviderServer
from tests.embeddings_ab.remote import BUILD, paid, permit, remote_arm
from tests.governance.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

ONCE = dict.fromkeys([*TEXTS.values(), *QUERIES.values()], 1)


@pytest.fixture
def server():
    with ProviderServer() as running:
        yield running


@pytest.fixture
def material(settings, monkeypatch):
    caller = make_caller()
    permit(caller, settings, monkeypatch)
    corpus = make_corpus(caller, name="wings")
    return caller, corpus, make_query_set(caller, corpus, name="wings/test")


def days_later() -> None:
    """The canaries were looked at long ago."""
    EmbeddingSpace.objects.update(canary_checked_at=from_now(-dt.timedelta(days=3)))


def space_of(caller, server, *, role="document", private="", **changes):
    settings = provider_access.settings_of(ArmSpec.model_validate(remote_arm(server, **changes)))
    with provider_access.opened(project_id=caller.project_id, settings=settings) as access:
        return spaces.current_space(
            project_id=caller.project_id, settings=settings, access=access, role=role, private=private
        )


def test_a_model_changed_silently_behind_its_name_reuses_nothing(material, jobs, server):
    caller, corpus, query_set = material
    server.state.reports_version = False
    arms = {"vector": remote_arm(server)}
    first = started(caller, corpus, query_set, arms=arms)
    jobs.run()
    server.change_model()
    days_later()
    second = started(caller, corpus, query_set, arms=arms)
    with capture_logs() as lines:
        jobs.run()
    assert AbTest.objects.get(pk=second.pk).status == TestStatus.COMPLETED
    assert paid(server) == dict.fromkeys(ONCE, 2)
    changed = [line for line in lines if line["event"] == "model_changed_behind_its_name"]
    assert [(line["log_level"], line["provider"], line["generation"]) for line in changed] == [("warning", "openai", 2)]
    assert changed[0]["least_cosine"] < 0.9999
    old, new = EmbeddingSpace.objects.order_by("generation")
    assert (old.generation, old.is_current, new.generation, new.is_current) == (1, False, 2, True)
    assert old.identity_hash == new.identity_hash
    assert Embedding.objects.filter(space=old).count() == Embedding.objects.filter(space=new).count() == len(ONCE)
    assert second.arms.get().stats["generation"] == 2
    assert not set(first.collection_uses.values_list("collection", flat=True)) & set(
        second.collection_uses.values_list("collection", flat=True)
    )


def test_a_model_that_stayed_is_looked_at_and_reused(material, jobs, server):
    caller, corpus, query_set = material
    server.state.reports_version = False
    arms = {"vector": remote_arm(server)}
    started(caller, corpus, query_set, arms=arms)
    jobs.run()
    days_later()
    before, calls = EmbeddingSpace.objects.get().canary_checked_at, len(server.embed_calls)
    started(caller, corpus, query_set, arms=arms)
    jobs.run()
    assert paid(server) == ONCE
    assert len(server.embed_calls) == calls + 2  # the word that asks for the revision, and the canaries
    assert EmbeddingSpace.objects.get().canary_checked_at > before


def test_a_reported_revision_is_part_of_the_space(material, server):
    caller, *_ = material
    first = space_of(caller, server)
    assert (first.model, first.revision, first.dimensions, first.generation) == ("m", "m-1", 64, 1)
    days_later()
    server.change_model()
    second = space_of(caller, server)
    assert (second.revision, second.generation) == ("m-2", 1)
    assert first.identity_hash != second.identity_hash
    # Both were current a moment ago (replicas in the middle of an upgrade): only the provider can say which it is now.
    EmbeddingSpace.objects.update(canary_checked_at=from_now(dt.timedelta()))
    assert space_of(caller, server) == second


def test_a_space_that_was_just_looked_at_costs_no_call(material, server):
    caller, *_ = material
    first = space_of(caller, server)
    calls = len(server.calls)
    assert space_of(caller, server) == first
    assert space_of(caller, server, role="query") == first  # this form has no roles and no prefix was given
    assert space_of(caller, server, revision="m-1") == first  # pinned to what is there
    assert len(server.calls) == calls
    assert space_of(caller, server, dimensions=32).dimensions == 32  # W8: was hashed and never asked for
    assert space_of(caller, server, query_prefix="query: ", role="query") != first
    assert space_of(caller, server, private="a test") != first
    with pytest.raises(ProviderFailed, match="'m-0' was asked for"):
        space_of(caller, server, revision="m-0")
    assert len({space.identity_hash for space in EmbeddingSpace.objects.all()}) == 4


def test_normalising_is_no_other_space(material, server):
    caller, *_ = material
    assert space_of(caller, server) == space_of(caller, server, normalise=False)


def test_spaces_of_projects_are_their_own(material, server, settings, monkeypatch):
    caller, *_ = material
    other = make_caller()
    permit(other, settings, monkeypatch)
    assert space_of(caller, server) != space_of(other, server)


def test_workers_that_look_at_once_make_one_space(material, server):
    caller, *_ = material
    server.state.delay_seconds = 0.05
    found = at_once(4, lambda _: space_of(caller, server).pk)
    assert found == [EmbeddingSpace.objects.get().pk] * 4


def test_workers_that_find_a_changed_model_at_once_begin_one_generation(material, server):
    caller, *_ = material
    server.state.reports_version = False
    space_of(caller, server)
    days_later()
    server.change_model()
    server.state.delay_seconds = 0.05
    found = at_once(4, lambda _: space_of(caller, server).pk)
    current = EmbeddingSpace.objects.get(is_current=True)
    assert current.generation == 2
    assert found == [current.pk] * 4
    assert EmbeddingSpace.objects.count() == 2


def test_a_model_that_changes_during_the_build_fails_it_and_the_next_start_takes_the_new_one(material, jobs, server):
    caller, corpus, query_set = material
    test = started(caller, corpus, query_set, arms={"vector": remote_arm(server)})
    jobs.run(until=BUILD)
    server.change_model()
    jobs.run()
    test.refresh_from_db()
    assert (test.status, test.error_code) == (TestStatus.FAILED, "bad_answer")
    assert "'m-2' with 64 dimensions" in test.error_message
    assert Embedding.objects.count() == 0
    ab_tests.start_test(caller=caller, test_id=test.public_id)
    jobs.run()
    test.refresh_from_db()
    assert test.status == TestStatus.COMPLETED
    assert test.arms.get().stats["revision"] == "m-2"
    assert set(Collection.objects.filter(status="ready").values_list("space__revision", flat=True)) == {"m-2"}
    assert Embedding.objects.count() == len(ONCE)


def test_a_local_model_is_never_asked_again(material, jobs):
    caller, corpus, query_set = material
    arms = {"vector": {"retrieval": "vector", "provider": "synthetic", "dimensions": 32}}
    started(caller, corpus, query_set, arms=arms)
    jobs.run()
    days_later()
    before = EmbeddingSpace.objects.get().canary_checked_at
    started(caller, corpus, query_set, arms=arms)
    jobs.run()
    assert EmbeddingSpace.objects.get().canary_checked_at == before
