"""Console pages of A/B tests: every page for every kind of visitor, what they say, what they cost in queries."""

import pytest
from django.test import Client

from tests.console.ab_seed import SeededAb, seed_ab
from tests.console.seed import Seeded, seed
from tests.console.test_pages import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeded() -> Seeded:
    return seed(size=4)


@pytest.fixture
def ab(seeded: Seeded) -> SeededAb:
    return seed_ab(seeded.project)


@pytest.fixture
def client(seeded: Seeded) -> Client:
    return signed_in(seeded.admin)


def pages_of(ab: SeededAb) -> dict[str, str]:
    done, test = ab.done.public_id, ab.tests
    tabs = ("metrics", "significance", "exploratory", "latency", "cost", "losses", "slices", "settings")
    return {
        "ab tests": "/console/ab/",
        "ab tests filtered": "/console/ab/?name=nothing&status=failed&corpus=x",
        "ab test": f"/console/ab/{done}/",
        **{f"ab {tab}": f"/console/ab/{done}/?tab={tab}" for tab in tabs},
        **{f"ab test {status}": f"/console/ab/{row.public_id}/" for status, row in test.items()},
        "ab live": f"/console/ab/{test['running'].public_id}/live/",
        "ab queries": f"/console/ab/{done}/queries/",
        "ab queries lost": f"/console/ab/{done}/queries/?a=bm25&b=minilm&tab=losses",
        "ab queries failed": f"/console/ab/{test['incomplete'].public_id}/queries/?tab=failed&b=minilm",
        "ab query": f"/console/ab/{done}/queries/3/?a=bm25&b=convex",
        "ab query unjudged": f"/console/ab/{done}/queries/0/",
        "ab query failed": f"/console/ab/{test['incomplete'].public_id}/queries/3/?b=minilm&depth=50",
        "ab query not run": f"/console/ab/{test['running'].public_id}/queries/3/",
        "collections": "/console/ab/collections/",
        "collections part": "/console/ab/collections/?part=live",
        **{f"collection {row.status}": f"/console/ab/collections/{row.public_id}/" for row in ab.collections},
        "corpora": "/console/ab/corpora/",
        "corpus": f"/console/ab/corpora/{ab.corpus.public_id}/",
        "query sets": "/console/ab/query-sets/",
        "query set": f"/console/ab/query-sets/{ab.query_set.public_id}/",
    }


def writing_pages_of(ab: SeededAb) -> dict[str, str]:
    return {
        "new ab test": "/console/ab/new/?corpus=cranfield@1",
        "cancel ab test": f"/console/ab/{ab.tests['running'].public_id}/cancel/",
        "delete ab test": f"/console/ab/{ab.done.public_id}/delete/",
    }


def test_owner_opens_every_page(client: Client, ab: SeededAb) -> None:
    for name, url in {**pages_of(ab), **writing_pages_of(ab)}.items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        page = answer.content.decode()
        assert len(page) < 120_000, name
        if name not in ("ab live", "collections part"):
            assert '<main id="hh-main"' in page, name
