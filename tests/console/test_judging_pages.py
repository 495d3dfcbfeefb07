"""Console pages of judging and of searches: for every kind of visitor, what they say, what they store."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from embeddings_ab.admin.judging_desk import marked
from embeddings_ab.models import AbTest, JudgingItem, JudgingPool, Label, QuerySet, Tuning
from governance.domain.actions import Role
from governance.services.projects import create_project
from tests.console.ab_seed import SeededAb, seed_ab
from tests.console.judging_seed import SeededJudging, judge_called, seed_judging
from tests.console.seed import Seeded, seed
from tests.console.test_pages import member, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeded() -> Seeded:
    return seed(size=4)


@pytest.fixture
def ab(seeded: Seeded) -> SeededAb:
    return seed_ab(seeded.project)


@pytest.fixture
def judging(seeded: Seeded, ab: SeededAb) -> SeededJudging:
    return seed_judging(seeded.project, ab)


@pytest.fixture
def client(seeded: Seeded) -> Client:
    return signed_in(seeded.admin)


def id_of_test(judging: SeededJudging) -> str:
    assert judging.pool.test is not None
    return judging.pool.test.public_id


def pages_of(judging: SeededJudging) -> dict[str, str]:
    test = id_of_test(judging)
    return {
        "judging pools": "/console/ab/judging/",
        "judging pool": f"/console/ab/judging/{judging.pool.public_id}/",
        "judging pool fresh": f"/console/ab/judging/{judging.fresh.public_id}/",
        "searches": f"/console/ab/{test}/tuning/",
        **{
            f"search {status}": f"/console/ab/{test}/tuning/{row.public_id}/" for status, row in judging.tunings.items()
        },
    }


def writing_pages_of(judging: SeededJudging) -> dict[str, str]:
    pool = f"/console/ab/judging/{judging.pool.public_id}"
    return {
        "new pool": f"/console/ab/judging/new/?test={id_of_test(judging)}",
        "judge": f"{pool}/judge/",
        "publish": f"{pool}/publish/",
        "publish models": f"{pool}/publish/?source=llm&rule=mean&overwrite=1",
        "publish nothing": f"/console/ab/judging/{judging.fresh.public_id}/publish/",
        "delete pool": f"{pool}/delete/",
    }


def body(page: str) -> str:
    return page.split('<main id="hh-main"')[1].split("</main>")[0]


def text_of(page: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", body(page)).split()))


def desk(pool: JudgingPool) -> str:
    return f"/console/ab/judging/{pool.public_id}/judge/"


def shown_item(page: str) -> int:
    found = re.search(r'name="item" value="(\d+)"', page)
    assert found
    return int(found[1])


def stored() -> tuple[object, ...]:
    return (
        list(Label.objects.order_by("pk").values_list("pk", "grade", "updated_at")),
        JudgingPool.objects.count(),
        QuerySet.objects.count(),
        Tuning.objects.count(),
        list(JudgingItem.objects.order_by("pk").values_list("pk", "assigned_to")),
    )


def test_owner_opens_every_page_and_reading_stores_nothing(client: Client, judging: SeededJudging) -> None:
    before = stored()
    for name, url in {**pages_of(judging), **writing_pages_of(judging)}.items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        page = answer.content.decode()
        assert len(page) < 120_000, name
        assert "style=" not in body(page), name
    assert stored() == before


def test_anonymous_visitors_are_sent_to_the_login(judging: SeededJudging) -> None:
    for name, url in {**pages_of(judging), **writing_pages_of(judging)}.items():
        assert Client().get(url).status_code == 302, name


def test_members_of_another_project_see_nothing(judging: SeededJudging) -> None:
    other = User.objects.create_user("other", is_staff=True)
    create_project(name="another project", owner=other)
    client, before = signed_in(other), stored()

    for name, url in {**pages_of(judging), **writing_pages_of(judging)}.items():
        answer = client.get(url)
        assert answer.status_code == (200 if name == "judging pools" else 404), name
        assert "first round" not in answer.content.decode(), name
    item = JudgingItem.objects.filter(pool=judging.fresh).first()
    assert item is not None
    assert client.post(desk(judging.fresh), {"item": item.pk, "grade": "1"}).status_code == 404
    assert client.post(f"/console/ab/judging/{judging.pool.public_id}/publish/").status_code == 404
    assert stored() == before


def test_viewers_read_and_see_no_writing_button(seeded: Seeded, judging: SeededJudging) -> None:
    client, before = member(seeded, Role.VIEWER), stored()

    for name, url in pages_of(judging).items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        words = r">(Delete|Make a|New) pool<|>Judge documents<|>Publish labels<|>Deal documents<|>Start search<"
        assert not re.search(words, answer.content.decode()), name
    assign = f"/console/ab/judging/{judging.pool.public_id}/assign/"
    for name, url in {**writing_pages_of(judging), "assign": assign}.items():
        assert client.post(url).status_code == 403, name
    search = f"/console/ab/{id_of_test(judging)}/tuning/"
    assert client.post(search, {"arm": "convex", "alpha": "0 1"}).status_code == 403
    assert stored() == before


def test_a_pool_says_how_far_and_how_far_people_agree(client: Client, judging: SeededJudging) -> None:
    page = text_of(client.get(f"/console/ab/judging/{judging.pool.public_id}/").content.decode())
    items = JudgingItem.objects.filter(pool=judging.pool).count()
    judged = Label.objects.filter(item__pool=judging.pool, labeller="ben").count()

    assert f"{judged} of {items} documents are judged" in page
    assert f"ben person {judged} of {items}" in page
    assert f"judge-model 1.2 model {items} of {items}" in page
    assert re.search(r"People: (substantial|almost perfect) , Krippendorff's alpha 0\.\d{3}", page)
    assert re.search(r"people and models (slight|fair|moderate|substantial|almost perfect) ", page)
    assert re.search(r"people and imported judgments|imported judgments and people", page)
    assert "In doubt between two grades" in page


def test_the_arms_stay_hidden_until_asked_for(client: Client, judging: SeededJudging) -> None:
    page = client.get(desk(judging.fresh)).content.decode()
    before, after = body(page).split("Which arms found it")

    assert "bm25" not in before
    assert "bm25" in after or "minilm" in after or "hybrid" in after or "convex" in after
    assert "<details><summary>Which arms found it" in page


def test_words_of_the_query_are_marked_and_nothing_in_a_text_is_markup() -> None:
    assert marked("Drag & <b>drag</b> of a wing; draggled.", "what is the DRAG of wing?") == (
        "<mark>Drag</mark> &amp; &lt;b&gt;<mark>drag</mark>&lt;/b&gt; of a <mark>wing</mark>; draggled."
    )
    assert marked("a < b", "is it so") == "a &lt; b"
    assert marked("", "wing") == ""


def test_a_grade_is_stored_and_the_next_document_shown(client: Client, judging: SeededJudging) -> None:
    first = shown_item(client.get(desk(judging.fresh)).content.decode())
    answer = client.post(desk(judging.fresh), {"item": first, "grade": "2", "note": "tables only"}, follow=True)

    page = answer.content.decode()
    assert "Saved: Partly." in page
    assert shown_item(page) != first
    label = Label.objects.get(item_id=first)
    assert (label.labeller, label.source, label.grade, label.comment) == ("anna", "human", 2, "tables only")
    undone = client.post(desk(judging.fresh), {"do": "undo"}, follow=True).content.decode()
    assert "Taken back." in undone
    assert shown_item(undone) == first
    assert not Label.objects.filter(item_id=first).exists()
    again = client.post(desk(judging.fresh), {"do": "undo"}, follow=True).content.decode()
    assert "no label of yours" in again


def test_the_part_alone_answers_the_script(client: Client, judging: SeededJudging) -> None:
    first = shown_item(client.get(desk(judging.fresh)).content.decode())
    part = {"headers": {"X-Part": "1"}}
    answer = client.post(desk(judging.fresh), {"item": first, "grade": "3"}, **part)

    assert answer.status_code == 200
    page = answer.content.decode()
    assert "<html" not in page
    assert "Saved: Fully." in page
    second = shown_item(page)
    assert second != first
    refused = client.post(desk(judging.fresh), {"item": second, "grade": "7"}, **part)
    assert refused.status_code == 400
    assert "has 0, 1, 2, 3" in unescape(refused.content.decode())
    assert shown_item(refused.content.decode()) == second


def test_skipped_documents_come_back_when_asked(client: Client, judging: SeededJudging) -> None:
    left_out = list(JudgingItem.objects.filter(pool=judging.fresh))[4:]
    Label.objects.bulk_create(Label(item=item, source="human", labeller="anna", grade=0) for item in left_out)
    url = desk(judging.fresh)
    first = shown_item(client.get(url).content.decode())
    page = client.post(url, {"item": first, "do": "skip"}, follow=True).content.decode()
    assert shown_item(page) != first
    while 'name="item"' in page:
        page = client.post(url, {"item": shown_item(page), "do": "skip"}, follow=True).content.decode()
    assert "Only skipped documents are left" in page
    page = client.post(url, {"do": "unskip"}, follow=True).content.decode()
    assert shown_item(page) == first


@pytest.mark.parametrize(
    "sent", [{}, {"item": "x"}, {"item": "9" * 30}, {"grade": "1"}, {"item": "{}", "grade": "x"}, {"item": "{}"}]
)
def test_nonsense_is_refused(client: Client, judging: SeededJudging, sent: dict[str, str]) -> None:
    item = shown_item(client.get(desk(judging.fresh)).content.decode())
    before = stored()
    data = {name: value.format(item) for name, value in sent.items()}
    assert client.post(desk(judging.fresh), data).status_code == 400
    assert stored() == before


def test_everything_judged_says_so(client: Client, judging: SeededJudging) -> None:
    for item in JudgingItem.objects.filter(pool=judging.fresh):
        Label.objects.create(item=item, source="human", labeller="anna", grade=0)
    page = text_of(client.get(desk(judging.fresh)).content.decode())
    assert "Everything is judged" in page
    assert "All " in text_of(client.get(f"/console/ab/judging/{judging.fresh.public_id}/").content.decode())


def test_a_pool_is_made_of_the_form(client: Client, judging: SeededJudging) -> None:
    url, test = "/console/ab/judging/new/", id_of_test(judging)
    form = {"test": test, "name": "third", "depth": "4", "labels_per_item": "2", "scale": "0 no\n1 yes: answers it"}
    answer = client.post(url, form, follow=True)
    assert "Pool made: third." in answer.content.decode()
    pool = JudgingPool.objects.get(name="third")
    assert (pool.depth, pool.labels_per_item) == (4, 2)
    assert pool.scale == [{"grade": 0, "label": "no", "help": ""}, {"grade": 1, "label": "yes", "help": "answers it"}]
    for change, words in (
        ({"depth": "many"}, "Field 'depth'"),
        ({"depth": "0"}, "Field 'depth'"),
        ({"scale": "yes\nno"}, "is no grade"),
        ({"scale": "0 no"}, "two to ten"),
        ({"name": "third"}, "already"),
    ):
        page = client.post(url, {**form, "name": "fourth", **change})
        assert page.status_code in (400, 409), change
        assert words in unescape(page.content.decode())
    assert JudgingPool.objects.count() == 3


def test_documents_are_dealt_to_people(client: Client, seeded: Seeded, judging: SeededJudging) -> None:
    judge_called(seeded.project, "ben")
    url = f"/console/ab/judging/{judging.fresh.public_id}/assign/"
    assert "dealt to ben" in client.post(url, {"user": ["ben"]}, follow=True).content.decode()
    assert set(JudgingItem.objects.filter(pool=judging.fresh).values_list("assigned_to", flat=True)) == {"ben"}
    assert "Nothing to judge for you now" in client.get(desk(judging.fresh)).content.decode()
    assert "free for everybody" in client.post(url, {}, follow=True).content.decode()


def test_labels_are_published_after_a_preview(client: Client, judging: SeededJudging) -> None:
    url = f"/console/ab/judging/{judging.pool.public_id}/publish/"
    preview = text_of(client.get(url).content.decode())
    assert "Publishing makes cranfield/test@2:" in preview
    assert QuerySet.objects.count() == 1
    page = client.post(url, {"source": "human", "rule": "majority"}, follow=True).content.decode()
    assert "Labels published: cranfield/test@2 has" in page
    assert QuerySet.objects.count() == 2
    again = client.post(url, {"source": "human", "rule": "majority"}, follow=True).content.decode()
    assert "Nothing to publish" in again
    assert client.post(url, {"source": "imported"}).status_code == 400


def test_a_pool_is_deleted_after_a_question(client: Client, judging: SeededJudging) -> None:
    url = f"/console/ab/judging/{judging.pool.public_id}/delete/"
    assert "Delete pool cranfield, first round?" in text_of(client.get(url).content.decode())
    assert "Pool deleted" in client.post(url, follow=True).content.decode()
    assert not JudgingPool.objects.filter(pk=judging.pool.pk).exists()


def test_a_pool_outlives_its_test(client: Client, judging: SeededJudging) -> None:
    AbTest.objects.filter(pk=judging.pool.test_id).delete()
    assert "deleted" in text_of(client.get(f"/console/ab/judging/{judging.pool.public_id}/").content.decode())
    assert shown_item(client.get(desk(judging.fresh)).content.decode())


def test_a_search_says_what_is_optimism(client: Client, judging: SeededJudging) -> None:
    page = text_of(client.get(pages_of(judging)["search completed"]).content.decode())

    assert "Best on nDCG@10: alpha 0.5, 0.468 on the queries that chose it, 0.455 on unseen ones." in page
    assert "0.013 is optimism" in page
    assert "68 % of 25 folds chose it too; the others are about as good." in page
    assert "alpha 0.5 chosen 0.468" in page
    assert "Waiting for a free worker." in client.get(pages_of(judging)["search pending"]).content.decode()
    assert "has no values of R@1" in unescape(client.get(pages_of(judging)["search failed"]).content.decode())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimism_gap": 0.0}, "there is no optimism to speak of"),
        ({"fold_choices": ["alpha 0.5"] * 5, "choice_share": {"alpha 0.5": 1.0}}, "a steady choice"),
        ({"choice_share": {"alpha 0.5": 0.2}}, "too close to tell apart"),
    ],
)
def test_words_follow_the_numbers(client: Client, judging: SeededJudging, changes: dict, words: str) -> None:
    tuning = judging.tunings["completed"]
    tuning.result = {**tuning.result, **changes}
    tuning.save()
    assert words in text_of(client.get(pages_of(judging)["search completed"]).content.decode())


def test_a_search_that_runs_refreshes_itself(client: Client, judging: SeededJudging) -> None:
    running = client.get(f"{pages_of(judging)['search running']}live/")
    assert (running["X-Live"], "Running" in running.content.decode()) == ("running", True)
    assert client.get(f"{pages_of(judging)['search completed']}live/")["X-Live"] == "ended"


def test_a_search_is_started_by_the_form(client: Client, judging: SeededJudging) -> None:
    url = f"/console/ab/{id_of_test(judging)}/tuning/"
    answer = client.post(
        url, {"arm": "convex", "alpha": "0 to 1 step 0.25", "compare": ["bm25"], "folds": "4"}, follow=True
    )
    assert "Search started." in answer.content.decode()
    spec = Tuning.objects.order_by("-pk")[0].spec
    assert (spec["grid"]["alpha"], spec["compare_arms"], spec["folds"]) == ([0, 0.25, 0.5, 0.75, 1], ["bm25"], 4)
    before = Tuning.objects.count()
    for sent, words in (
        ({"arm": "convex"}, "nothing to choose from"),
        ({"arm": "convex", "alpha": "0 1.5"}, "Field 'grid'"),
        ({"arm": "convex", "alpha": "half"}, "no number"),
        ({"arm": "nobody", "alpha": "0 1"}, "Field 'arm'"),
    ):
        page = client.post(url, sent)
        assert page.status_code == 400, sent
        assert words in unescape(page.content.decode())
    assert Tuning.objects.count() == before


def test_lists_cost_the_same_queries_whatever_their_length(
    client: Client, ab: SeededAb, judging: SeededJudging
) -> None:
    from embeddings_ab.services.judging import create_pool
    from governance.services.projects import system_caller

    def cost(url: str) -> int:
        client.get(url)
        with CaptureQueriesContext(connection) as seen:
            client.get(url)
        return len(seen)

    before = cost("/console/ab/judging/")
    for n in range(4):
        create_pool(caller=system_caller(ab.done.project), test_id=ab.done.public_id, name=f"more {n}", depth=2)
    assert cost("/console/ab/judging/") == before
    assert cost(f"/console/ab/judging/{judging.pool.public_id}/") <= before + 12
