"""Console pages of A/B tests: every page for every kind of visitor, what they say, what they cost in queries."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client

from embeddings_ab.admin import search
from embeddings_ab.models import AbTest, Arm, Collection, QueryResult
from governance.domain.actions import Role
from governance.models import AuditEntry
from governance.services.projects import create_project, system_caller
from tests.console.ab_seed import METRICS, SeededAb, seed_ab
from tests.console.seed import Seeded, seed
from tests.console.test_pages import member, signed_in

pytestmark = pytest.mark.django_db
TABS = ("metrics", "significance", "exploratory", "latency", "cost", "losses", "slices", "settings")


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
    return {
        "ab tests": "/console/ab/",
        "ab tests filtered": "/console/ab/?name=nothing&status=failed&corpus=x",
        "ab test": f"/console/ab/{done}/",
        **{f"ab {tab}": f"/console/ab/{done}/?tab={tab}" for tab in TABS},
        **{f"ab test {status}": f"/console/ab/{row.public_id}/" for status, row in test.items()},
        "ab test plan": f"/console/ab/{test['created'].public_id}/?plan=1",
        "ab live": f"/console/ab/{test['running'].public_id}/live/",
        "ab queries": f"/console/ab/{done}/queries/",
        "ab queries lost": f"/console/ab/{done}/queries/?a=bm25&b=minilm&tab=losses",
        "ab queries failed": f"/console/ab/{test['incomplete'].public_id}/queries/?tab=failed&b=minilm",
        "ab query": f"/console/ab/{done}/queries/3/?a=bm25&b=convex",
        "ab query unjudged": f"/console/ab/{done}/queries/0/",
        "ab query failed": f"/console/ab/{test['incomplete'].public_id}/queries/3/?b=minilm&depth=50",
        "ab query not run": f"/console/ab/{test['running'].public_id}/queries/3/",
        "collections": "/console/ab/collections/",
        "collections filtered": "/console/ab/collections/?status=deleted&kind=lexical",
        "collections part": "/console/ab/collections/?part=live",
        **{f"collection {row.status}": f"/console/ab/collections/{row.public_id}/" for row in ab.collections},
        "corpora": "/console/ab/corpora/?name=cran",
        "corpus": f"/console/ab/corpora/{ab.corpus.public_id}/",
        "query sets": "/console/ab/query-sets/?name=cran",
        "query set": f"/console/ab/query-sets/{ab.query_set.public_id}/",
    }


def writing_pages_of(ab: SeededAb) -> dict[str, str]:
    return {
        "new ab test": "/console/ab/new/?corpus=cranfield@1",
        "cancel ab test": f"/console/ab/{ab.tests['running'].public_id}/cancel/",
        "delete ab test": f"/console/ab/{ab.done.public_id}/delete/",
    }


LISTS = {"ab tests", "ab tests filtered", "collections", "collections filtered", "corpora", "query sets"}
PARTS = {"ab live", "collections part"}


def state() -> tuple[object, ...]:
    return (
        list(AbTest.objects.order_by("pk").values_list("pk", "status")),
        list(Arm.objects.order_by("pk").values_list("pk", "status")),
        list(Collection.objects.order_by("pk").values_list("pk", "status")),
        QueryResult.objects.count(),
        AuditEntry.objects.count(),
    )


def body(page: str) -> str:
    return page.split('<main id="hh-main"')[1].split("</main>")[0]


def text_of(page: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", body(page)).split()))


def test_owner_opens_every_page_and_reading_changes_nothing(client: Client, ab: SeededAb) -> None:
    before = state()
    for name, url in {**pages_of(ab), **writing_pages_of(ab)}.items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        page = answer.content.decode()
        assert len(page) < 120_000, name
        assert "style=" not in (page if name in PARTS else body(page)), name
    assert state() == before


def test_anonymous_visitors_are_sent_to_the_login(ab: SeededAb) -> None:
    for name, url in {**pages_of(ab), **writing_pages_of(ab)}.items():
        assert Client().get(url).status_code == 302, name


def test_members_of_another_project_get_404_for_every_foreign_object(ab: SeededAb) -> None:
    other = User.objects.create_user("other", is_staff=True)
    create_project(name="another project", owner=other)
    client = signed_in(other)

    for name, url in {**pages_of(ab), **writing_pages_of(ab)}.items():
        answer = client.get(url)
        own = LISTS | {"collections part", "new ab test"}
        assert answer.status_code == (200 if name in own else 404), name
        shown = answer.content.decode()
        assert "hybrid against bm25" not in shown, name
        assert "cranfield/test" not in shown, name


def test_viewers_read_and_see_no_writing_button(seeded: Seeded, ab: SeededAb) -> None:
    client, before = member(seeded, Role.VIEWER), state()

    for name, url in pages_of(ab).items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        assert not re.search(r">(Delete|Start|Cancel|Resume|New) test<|>Run failed", answer.content.decode()), name
    start = f"/console/ab/{ab.tests['created'].public_id}/start/"
    for name, url in {**writing_pages_of(ab), "start": start}.items():
        assert client.post(url).status_code == 403, name
        assert client.get(url).status_code == (405 if name == "start" else 403), name
    assert state() == before


def test_the_first_thing_on_a_decided_test_is_the_verdict(client: Client, ab: SeededAb) -> None:
    page = unescape(client.get(f"/console/ab/{ab.done.public_id}/").content.decode())
    rows = {row["arm"]: row for row in ab.done.report["comparisons"] if row["role"] == "primary"}

    assert rows["convex"]["verdict"] == "better"
    assert page.index(rows["convex"]["sentence"]) < page.index("nDCG@10 of every arm") < page.index("Every metric")
    for row in rows.values():
        assert row["sentence"] in page
    shown = text_of(page)
    for arm, entry in ab.done.report["arms"].items():
        mean = entry["metrics"]["nDCG@10"]["mean"]
        assert f"{arm} control {mean:.3f}" in shown or f"{arm} {mean:.3f}" in shown
    assert body(page).count('role="img"') >= 4  # axis and one interval per arm beside the control
    assert f"{rows['minilm']['difference']:+.3f}".replace("-", "−") in page


def test_numbers_of_every_tab_are_those_of_the_report(client: Client, ab: SeededAb) -> None:
    url = f"/console/ab/{ab.done.public_id}/"
    pages = {tab: text_of(client.get(url, {"tab": tab}).content.decode()) for tab in TABS}

    for metric in METRICS:
        assert f"{ab.done.report['arms']['hybrid']['metrics'][metric]['mean']:.3f}" in pages["metrics"]
    assert "Mean over 23 queries (1 more undefined)" in pages["metrics"]
    assert "As little as" in pages["metrics"]
    assert "<0.001 ≠" in pages["significance"]
    assert "Exploratory. Fixed at the start was nDCG@10 alone." in pages["exploratory"]
    assert "R@10 ↑" in pages["exploratory"]
    assert "5.4 / 11.9 / 20.0" in pages["latency"]
    assert "bm25, hybrid, convex are on the front" in pages["latency"]
    assert "reused" in pages["cost"]
    assert "129.0 kB" in pages["cost"]
    assert "embeds nothing" in pages["cost"]
    assert re.search(r"bm25 20 0 30 9 0 0 39", pages["losses"])
    assert "difficulty = hard" in pages["slices"]
    assert "15 queries are few" in pages["slices"]
    for fact in (ab.done.registration_hash, ab.done.report_hash, str(ab.done.seed)):
        assert fact in pages["settings"]


def test_another_exploratory_metric_is_a_link(client: Client, ab: SeededAb) -> None:
    url = f"/console/ab/{ab.done.public_id}/?tab=exploratory"
    assert "MRR@10 ↑" in client.get(f"{url}&metric=MRR@10").content.decode()
    assert "R@10 ↑" in client.get(f"{url}&metric=nonsense").content.decode()


def test_there_is_no_verdict_before_the_end(client: Client, ab: SeededAb) -> None:
    running = ab.tests["running"]
    AbTest.objects.filter(pk=running.pk).update(report=ab.done.report)  # left from before a resume
    page = client.get(f"/console/ab/{running.public_id}/").content.decode()

    assert "There is no verdict before the end." in page
    assert "hh-verdicts" not in page
    assert "hh-forest" not in page
    assert "no verdict yet" in client.get("/console/ab/?name=chunk").content.decode()


def test_an_incomplete_test_says_what_is_missing_and_offers_to_run_it_again(client: Client, ab: SeededAb) -> None:
    page = client.get(f"/console/ab/{ab.tests['incomplete'].public_id}/").content.decode()

    shown = text_of(page)
    assert "minilm lacks 2 queries." in shown
    assert "convex failed." in shown
    assert "neither 0 nor dropped" in shown
    assert "Run failed part again" in shown
    assert "✖ 2 failed" in shown
    assert "failed: no results" in shown


def test_a_failed_test_names_cause_and_remedy(client: Client, ab: SeededAb) -> None:
    shown = text_of(client.get(f"/console/ab/{ab.tests['failed'].public_id}/").content.decode())

    assert "Provider refused the key (401)." in shown
    assert "Replace the project secret, then resume the test." in shown
    assert "Resume test" in shown


def test_the_live_part_is_answered_by_304_until_something_changes(client: Client, ab: SeededAb) -> None:
    running = ab.tests["running"]
    url = f"/console/ab/{running.public_id}/live/"
    first = client.get(url)
    assert first["X-Live"] == "running"
    assert "896 of 1,400" in first.content.decode()

    again = client.get(url, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    Arm.objects.filter(test=running, name="minilm").update(queries_done=10)
    changed = client.get(url, headers={"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert "10 of 24" in changed.content.decode()
    AbTest.objects.filter(pk=running.pk).update(status="cancelled")
    assert client.get(url)["X-Live"] == "ended"


def test_collections_refresh_while_one_is_built(client: Client, ab: SeededAb) -> None:
    part = client.get("/console/ab/collections/?part=live")
    assert part["X-Live"] == "running"
    same = client.get("/console/ab/collections/?part=live", headers={"If-None-Match": part["ETag"]})
    assert (same.status_code, same["X-Live"]) == (304, "running")
    assert "data-live=" in client.get("/console/ab/collections/").content.decode()
    Collection.objects.filter(status__in=["building", "pending"]).update(status="ready")
    assert client.get("/console/ab/collections/?part=live")["X-Live"] == "ended"
    assert "data-live=" not in client.get("/console/ab/collections/").content.decode()


def test_lists_are_filtered_and_say_so(client: Client, ab: SeededAb) -> None:
    assert "hybrid against bm25" in client.get("/console/ab/?name=AGAINST&corpus=cranfield").content.decode()
    page = client.get("/console/ab/?status=failed").content.decode()
    assert "openai large" in page
    assert "chunk sizes" not in page
    assert "No tests match these filters." in client.get("/console/ab/?name=zzz").content.decode()
    shown = text_of(client.get("/console/ab/collections/?status=failed").content.decode())
    assert "cranfield@1 · cohere" in shown
    assert "bm25s" not in shown
    assert "No collections match" in client.get("/console/ab/collections/?status=deleting").content.decode()
    assert "No corpus's name contains" in client.get("/console/ab/corpora/?name=zzz").content.decode()


def test_queries_are_listed_by_how_far_they_moved(client: Client, ab: SeededAb) -> None:
    page = client.get(f"/console/ab/{ab.done.public_id}/queries/?a=bm25&b=convex").content.decode()

    stored = {
        arm: {
            row.query.external_id: row.metrics["nDCG@10"]
            for row in QueryResult.objects.filter(test=ab.done, arm__name=arm).select_related("query")
        }
        for arm in ("bm25", "convex")
    }
    moves = {query: stored["convex"][query] - value for query, value in stored["bm25"].items() if value is not None}
    wins, losses = sum(m > 1e-12 for m in moves.values()), sum(m < -1e-12 for m in moves.values())
    assert f"convex wins {wins} of 23 queries on nDCG@10, loses {losses}" in text_of(page)
    order = re.findall(r'hh-mono">(q\d+)<', page)
    assert [round(abs(moves[query]), 9) for query in order[:-1]] == sorted(
        (round(abs(move), 9) for move in moves.values()), reverse=True
    )
    assert order[-1] == "q000"  # undefined: nothing is judged
    assert "1 is undefined" in text_of(page)


def test_tabs_of_queries_show_their_kind_only(client: Client, ab: SeededAb) -> None:
    url = f"/console/ab/{ab.tests['incomplete'].public_id}/queries/?a=bm25&b=minilm"
    failed = client.get(f"{url}&tab=failed").content.decode()
    assert re.findall(r'hh-mono">(q\d+)<', failed) == ["q003", "q004"]
    assert "hh-chip-better" not in body(client.get(f"{url}&tab=losses").content.decode()).split("<tbody>")[1]
    assert "No query is among the" in client.get(f"{url}&tab=wins&from=999").content.decode()
    # An arm against itself: nothing but ties.
    same = text_of(client.get(f"/console/ab/{ab.done.public_id}/queries/?a=bm25&b=bm25").content.decode())
    assert "bm25 wins 0 of 23" in same
    assert "ties 23" in same


def test_a_query_shows_both_rankings_and_what_moved(client: Client, ab: SeededAb) -> None:
    page = client.get(f"/console/ab/{ab.done.public_id}/queries/3/?a=bm25&b=convex").content.decode()

    for name in ("bm25", "convex"):
        ranked = QueryResult.objects.get(test=ab.done, arm__name=name, query__ordinal=3).ranked_ids[:10]
        part = page.split(f"</span>{name}")[1].split("</ol>")[0]
        assert re.findall(r"<code>(d\d+)</code>", part) == ranked
    grades = dict(ab.query_set.queries.get(ordinal=3).judgments.values_list("document_id", "grade"))
    relevant = [document for document, grade in grades.items() if grade > 0]
    assert f"{len(relevant)} of {len(grades)} judged documents are relevant" in text_of(page)
    assert "unjudged" in page
    assert "Previous" in page
    assert "enters" in page or "leaves" in page or "The same relevant documents" in page


def test_a_query_that_failed_shows_its_cause_not_zero(client: Client, ab: SeededAb) -> None:
    shown = text_of(client.get(f"/console/ab/{ab.tests['incomplete'].public_id}/queries/3/?b=minilm").content.decode())
    assert "minilm failed on this query." in shown
    assert "Provider did not answer in 60 s." in shown


def test_unknown_ids_and_odd_parameters_are_answered(client: Client, ab: SeededAb) -> None:
    done = ab.done.public_id
    for path in (
        "nothing",
        "collections/nothing",
        "corpora/nothing",
        "query-sets/nothing",
        f"{done}/queries/24",
        "a%00",
    ):
        assert client.get(f"/console/ab/{path}/").status_code == 404, path
    assert client.get(f"/console/ab/{done}/queries/99999999999999999999/").status_code == 404
    for query in ("tab=x&metric=%00", "a=nobody&b=nobody&from=-3", "depth=7&plan=1"):
        assert client.get(f"/console/ab/{done}/?{query}").status_code == 200
        assert client.get(f"/console/ab/{done}/queries/?{query}").status_code == 200
        assert client.get(f"/console/ab/{done}/queries/3/?{query}").status_code == 200
    corpus = f"/console/ab/corpora/{ab.corpus.public_id}/"
    assert "d050" in client.get(f"{corpus}?from=50").content.decode()
    assert "First page" in client.get(f"{corpus}?from=50").content.decode()
    assert "d000" in client.get(f"{corpus}?from=x").content.decode()


def test_names_of_people_are_text_not_markup(client: Client, ab: SeededAb) -> None:
    evil = '<script>"&'
    AbTest.objects.filter(pk=ab.done.pk).update(name=evil)
    Arm.objects.filter(test=ab.done, name="convex").update(name=evil)
    report = ab.done.report
    for row in report["comparisons"]:
        row["arm"] = evil if row["arm"] == "convex" else row["arm"]
    report["arms"][evil] = report["arms"].pop("convex")
    AbTest.objects.filter(pk=ab.done.pk).update(report=report)

    for tab in TABS:
        page = client.get(f"/console/ab/{ab.done.public_id}/", {"tab": tab}).content.decode()
        assert evil not in page
        assert "&lt;script&gt;" in page
    assert evil not in client.get(f"/console/ab/{ab.done.public_id}/queries/?b={evil}").content.decode()


def test_queries_do_not_grow_with_rows(client: Client, ab: SeededAb, django_assert_max_num_queries) -> None:
    names = ["ab tests", "ab test", "ab significance", "ab test running", "ab live", "ab queries", "ab query",
             "collections", "corpora", "corpus", "query sets", "query set"]  # fmt: skip
    urls, before = pages_of(ab), {}
    for name in names:
        client.get(urls[name])
        with django_assert_max_num_queries(20) as taken:
            client.get(urls[name])
        before[name] = len(taken)
    seed_ab_more(ab)
    for name in names:
        with django_assert_max_num_queries(before[name]):
            client.get(urls[name])


def seed_ab_more(ab: SeededAb) -> None:
    """More tests, arms, collections, versions and documents than before."""
    for number in range(5):
        AbTest.objects.create(
            project=ab.done.project, name=f"more {number}", corpus=ab.corpus, query_set=ab.query_set, spec={"arms": {}},
            registration_hash="0" * 64, primary_metric="nDCG@10", control="bm25", seed=1,
        )  # fmt: skip
        Arm.objects.create(
            test=ab.done, name=f"arm {number}", position=10 + number, spec={}, status="completed",
            documents=ab.collections[0],
        )  # fmt: skip
        Arm.objects.create(
            test=ab.tests["running"], name=f"arm {number}", position=10 + number, spec={}, status="building",
            documents=ab.collections[3],
        )  # fmt: skip
        Collection.objects.create(
            project=ab.done.project, kind="documents", corpus=ab.corpus, content_hash=f"f{number:063}", recipe={}
        )


def test_the_sidebar_lights_one_entry(client: Client, ab: SeededAb) -> None:
    for url, lit in (
        ("/console/ab/", "A/B tests"),
        ("/console/ab/collections/", "Collections"),
        ("/console/runs/", "Runs"),
    ):
        page = client.get(url).content.decode()
        side = page.split('id="nav-sidebar"')[1].split('<main id="hh-main"')[0]
        active = [part for part in re.split(r"<a ", side) if "active" in part.split(">")[0].split()]
        assert lit in side
        assert len(active) <= 1, url


def test_the_palette_finds_tests_corpora_and_query_sets(seeded: Seeded, client: Client, ab: SeededAb) -> None:
    found = client.get("/console/search/?s=HYBRID&extended=1").content.decode()
    assert f"/console/ab/{ab.done.public_id}/" in found
    found = client.get("/console/search/?s=cran&extended=1").content.decode()
    assert f"/console/ab/corpora/{ab.corpus.public_id}/" in found
    assert f"/console/ab/query-sets/{ab.query_set.public_id}/" in found
    other = User.objects.create_user("other", is_staff=True)
    create_project(name="another project", owner=other)
    assert "/console/ab/" not in signed_in(other).get("/console/search/?s=cran&extended=1").content.decode()
    assert search.matches(caller=system_caller(seeded.project), term=" \x00") == []
