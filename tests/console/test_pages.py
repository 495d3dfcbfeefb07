"""Every console page for every kind of visitor: status, writing buttons, foreign objects, reads that change nothing."""

import datetime as dt
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from experiments.models import Run
from governance.domain.actions import Role
from governance.models import ApiKey, AuditEntry, AuditVerification, Member, Quota
from governance.services.projects import create_project
from tests.console.seed import Seeded, seed
from tests.experiments.factories import make_session

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeded() -> Seeded:
    return seed(size=8)


def pages_of(seeded: Seeded) -> dict[str, str]:
    old, new = seeded.runs
    key = ApiKey.objects.filter(project=seeded.project).first()
    assert key is not None
    return {
        "landing": "/console/",
        "runs": "/console/runs/",
        "runs filtered": "/console/runs/?name=nothing&status=failed&dataset=x&metric=y",
        "run": f"/console/runs/{new.public_id}/",
        "run by its own id": f"/console/runs/{old.run_key}/?tab=all",
        "run crashed": f"/console/runs/{old.public_id}/?tab=crashed&from=0",
        "choose": "/console/runs/compare/",
        "compare": f"/console/runs/compare/?baseline={old.public_id}&candidate={new.public_id}",
        "compare two": f"/console/runs/compare/?run={old.public_id}&run={new.public_id}&metric=latency_ms|answer",
        "datasets": "/console/datasets/?name=pump",
        "dataset": f"/console/datasets/{seeded.dataset.public_id}/",
        "datapoint": f"/console/datapoints/{seeded.datapoints[0].public_id}/",
        "events": "/console/events/",
        "all events": f"/console/events/?type=all&run={old.run_key}&name=chat",
        "trace": f"/console/traces/{seeded.session}/",
        "trace span": f"/console/traces/{seeded.session}/?span={seeded.session}&rows=all",
        "project": "/console/project/",
    }


def writing_pages_of(seeded: Seeded) -> dict[str, str]:
    key = ApiKey.objects.filter(project=seeded.project).first()
    assert key is not None
    return {
        "delete run": f"/console/runs/{seeded.runs[0].public_id}/delete/",
        "new key": "/console/project/keys/new/",
        "revoke key": f"/console/project/keys/{key.public_id}/revoke/",
        "quota": "/console/project/quotas/runs/",
        "new member": "/console/project/members/new/",
        "member": "/console/project/members/li/",
        "audit": "/console/audit/",
    }


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def member(seeded: Seeded, role: Role) -> Client:
    user = User.objects.create_user(f"the {role.value}", is_staff=True)
    Member.objects.create(project=seeded.project, user=user, role=role.value)
    return signed_in(user)


def state() -> tuple[object, ...]:
    return (
        Run.objects.count(),
        AuditEntry.objects.count(),
        list(ApiKey.objects.order_by("pk").values_list("pk", "revoked_at")),
        list(Quota.objects.order_by("pk").values_list("pk", "ceiling", "used")),
        list(Member.objects.order_by("pk").values_list("pk", "role")),
    )


def test_owner_opens_every_page_and_reading_changes_nothing(seeded: Seeded) -> None:
    client, before = signed_in(seeded.admin), state()

    for name, url in {**pages_of(seeded), **writing_pages_of(seeded)}.items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        page = answer.content.decode()
        assert '<main id="hh-main"' in page, name
        assert "style=" not in page.split('<main id="hh-main"')[1].split("</main>")[0], name
        assert len(page) < 120_000, name
    assert state() == before


def test_anonymous_visitors_are_sent_to_the_login(seeded: Seeded) -> None:
    for url in {**pages_of(seeded), **writing_pages_of(seeded)}.values():
        answer = Client().get(url)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/console/login/?next=")


def test_staff_without_membership_see_no_project(seeded: Seeded) -> None:
    client = signed_in(User.objects.create_user("stranger", is_staff=True))

    for name, url in {**pages_of(seeded), **writing_pages_of(seeded)}.items():
        answer = client.get(url)
        assert answer.status_code == 404, name
        assert "support answers" not in answer.content.decode()


def test_members_of_another_project_get_404_for_every_foreign_object(seeded: Seeded) -> None:
    other = User.objects.create_user("other", is_staff=True)
    create_project(name="another project", owner=other)
    client = signed_in(other)
    own = {"landing", "runs", "runs filtered", "choose", "datasets", "events", "all events", "project"}

    for name, url in {**pages_of(seeded), **writing_pages_of(seeded)}.items():
        answer = client.get(url)
        wanted = 200 if name in own | {"new key", "new member", "quota", "audit"} else 404
        assert answer.status_code == wanted, name
        assert "pump questions" not in answer.content.decode(), name
    assert client.get(f"/console/?project={seeded.project.public_id}").status_code == 404


def test_viewers_read_and_see_no_writing_button(seeded: Seeded) -> None:
    client, before = member(seeded, Role.VIEWER), state()

    for name, url in pages_of(seeded).items():
        answer = client.get(url)
        assert answer.status_code == 200, name
        body = answer.content.decode().split('<main id="hh-main"')[1]
        assert not re.search(r">(Delete run|New key|Add member|Verify now)<|/console/project/\w+/", body), name
    for name, url in writing_pages_of(seeded).items():
        refused = client.get(url)
        assert refused.status_code == 403, name
        assert "Your role in" in refused.content.decode()
        assert client.post(url).status_code in {403, 405}, name
    assert state() == before


def test_owners_see_the_writing_buttons(seeded: Seeded) -> None:
    client = signed_in(seeded.admin)

    project = client.get("/console/project/").content.decode()
    assert "New key" in project
    assert "Add member" in project
    assert "Delete run" in client.get(f"/console/runs/{seeded.runs[0].public_id}/").content.decode()


def test_auditors_read_the_trail_and_write_nothing(seeded: Seeded) -> None:
    client = member(seeded, Role.AUDITOR)

    assert client.get("/console/audit/").status_code == 200
    assert client.get("/console/project/keys/new/").status_code == 403
    assert "New key" not in client.get("/console/project/").content.decode()


def test_a_key_is_shown_once_and_revoked_after_a_confirmation(seeded: Seeded) -> None:
    client = signed_in(seeded.admin)
    form = {"name": "from the console", "kind": "project", "days": "30"}

    page = client.post("/console/project/keys/new/", form).content.decode()

    token = re.search(r'value="(hh_[^"]+)"', page)
    assert token is not None
    key = ApiKey.objects.get(name="from the console")
    assert key.created_by == "anna"
    assert token[1] not in client.get("/console/project/").content.decode()
    answer = client.post(f"/console/project/keys/{key.public_id}/revoke/")
    assert answer.status_code == 302
    key.refresh_from_db()
    assert key.revoked_at is not None


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("/console/project/keys/new/", {"name": "", "kind": "project"}),
        ("/console/project/keys/new/", {"name": "x", "kind": "unknown"}),
        ("/console/project/keys/new/", {"name": "x", "kind": "project", "days": "7"}),
        ("/console/project/quotas/runs/", {"ceiling": "many"}),
        ("/console/project/quotas/api_keys/", {"ceiling": "1"}),
        ("/console/project/members/new/", {"username": "nobody", "role": "viewer"}),
        ("/console/project/members/new/", {"username": "li", "role": "king"}),
        ("/console/project/members/anna/", {"remove": "yes"}),
    ],
)
def test_forms_say_what_is_wrong_and_change_nothing(seeded: Seeded, url: str, form: dict[str, str]) -> None:
    before = state()

    answer = signed_in(seeded.admin).post(url, form)

    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()
    assert state() == before


def test_quotas_members_and_runs_change_by_post(seeded: Seeded) -> None:
    client = signed_in(seeded.admin)
    User.objects.create_user("mo")

    assert client.post("/console/project/quotas/runs/", {"ceiling": "2,000"}).status_code == 302
    assert client.post("/console/project/members/new/", {"username": "mo", "role": "viewer"}).status_code == 302
    assert client.post("/console/project/members/mo/", {"role": "evaluator"}).status_code == 302
    assert Member.objects.get(user__username="mo").role == "evaluator"
    assert client.post("/console/project/members/mo/", {"remove": "yes"}).status_code == 302
    Quota.objects.filter(resource="runs").update(used=2)
    assert client.post(f"/console/runs/{seeded.runs[0].public_id}/delete/").status_code == 302
    assert Quota.objects.get(resource="runs").ceiling == 2000
    assert not Member.objects.filter(user__username="mo").exists()
    assert Run.objects.count() == 1
    assert client.post("/console/audit/verify/").status_code == 302
    assert client.get("/console/audit/verify/").status_code == 405


@pytest.mark.parametrize("what", ["datapoints", "metrics", "events", "comparison", "statistics"])
def test_files_are_downloaded_by_post_and_audited(seeded: Seeded, what: str) -> None:
    client, run = signed_in(seeded.admin), seeded.runs[1]
    url = f"/console/runs/{run.public_id}/export/"
    before = AuditEntry.objects.count()
    assert client.get(url).status_code == 405
    assert AuditEntry.objects.count() == before

    answer = client.post(url, {"what": what, "format": "csv", "baseline": seeded.runs[0].public_id})

    assert answer.status_code == 200
    assert len(b"".join(answer.streaming_content).splitlines()) > 1
    assert AuditEntry.objects.count() == before + 1


def test_records_are_for_operators_and_cannot_be_written(seeded: Seeded) -> None:
    operator, viewer = signed_in(seeded.admin), signed_in(User.objects.get(username="li"))
    for model in ("governance_project", "governance_apikey", "governance_auditentry", "experiments_run"):
        url = reverse(f"admin:{model}_changelist")
        assert operator.get(url).status_code == 200
        assert viewer.get(url).status_code == 403
        assert operator.get(f"{url}add/").status_code == 403
    entry = AuditEntry.objects.first()
    assert entry is not None
    change = reverse("admin:governance_auditentry_change", args=[entry.pk])
    assert operator.get(change).status_code == 200
    assert operator.post(change, {"action": "forged"}).status_code == 403
    assert operator.post(change.replace("change", "delete")).status_code == 403


@pytest.mark.parametrize("name", ["runs", "run", "compare", "dataset", "events", "project", "landing"])
def test_queries_do_not_grow_with_rows(
    seeded: Seeded, name: str, django_assert_max_num_queries, django_assert_num_queries
) -> None:
    client = signed_in(seeded.admin)
    url = pages_of(seeded)[name]
    client.get(url)
    with django_assert_max_num_queries(30) as first:
        client.get(url)
    for i in range(20):
        Run.objects.create(project=seeded.project, run_key=f"more {i}", name=f"more {i}", dataset=seeded.dataset)
        user = User.objects.create_user(f"user {i}")
        Member.objects.create(project=seeded.project, user=user, role="viewer")
    with django_assert_num_queries(len(first)):
        client.get(url)


def test_unknown_pages_and_odd_parameters_are_answered(seeded: Seeded) -> None:
    client = signed_in(seeded.admin)
    assert client.get("/console/events/?before=nonsense").status_code == 400
    assert client.get("/console/runs/?before=x&after=99999999999999999999&metric=%00").status_code == 200
    assert client.get("/console/traces/nonsense/").status_code == 404
    assert client.get("/console/governance/").status_code == 200
    assert signed_in(User.objects.get(username="li")).get("/console/governance/").status_code == 404
    assert client.get("/console/search/?s=prompt&extended=1").status_code == 200
    assert client.get(f"/console/search/?s={seeded.session}&extended=1").content.count(b"/console/traces/") >= 1
    assert client.get("/").headers["Location"] == "/console/"


def test_a_new_project_is_told_what_to_do_first(seeded: Seeded) -> None:
    empty = create_project(name="empty")
    client = signed_in(seeded.admin)

    page = client.get(f"/console/?project={empty.public_id}").content.decode()

    assert "Three steps to the first result" in page
    for url in ("/console/runs/", "/console/datasets/", "/console/events/", "/console/runs/compare/"):
        assert "hh-empty" in client.get(url).content.decode()


def test_a_form_changes_the_project_it_was_shown_for_whatever_another_tab_chose(seeded: Seeded) -> None:
    other = create_project(name="second", owner=seeded.admin)
    client = signed_in(seeded.admin)
    shown = client.get(f"/console/project/quotas/runs/?project={seeded.project.public_id}").content.decode()
    assert f'name="project" value="{seeded.project.public_id}"' in shown
    client.get(f"/console/?project={other.public_id}")  # the other tab
    form = {"ceiling": "777", "project": seeded.project.public_id}
    assert client.post("/console/project/quotas/runs/", form).status_code == 302
    assert Quota.objects.get(project=seeded.project, resource="runs").ceiling == 777
    assert Quota.objects.get(project=other, resource="runs").ceiling != 777


def test_every_form_that_writes_names_its_project() -> None:
    writing = [path for path in Path("templates/console").glob("*.html") if 'method="post"' in path.read_text()]
    assert len(writing) >= 8
    for path in writing:
        text = path.read_text()
        assert text.count('method="post"') == text.count('{% include "console/form_token.html" %}'), path.name


def test_a_form_for_a_project_of_others_is_refused(seeded: Seeded) -> None:
    foreign = create_project(name="not mine")
    client = member(seeded, Role.MAINTAINER)
    before = state()
    assert (
        client.post("/console/project/quotas/runs/", {"ceiling": "7", "project": foreign.public_id}).status_code == 404
    )
    assert state() == before


@pytest.mark.parametrize("path", ["audit/verify/", "datasets/{dataset}/export/", "runs/{run}/export/"])
def test_head_does_not_do_what_only_a_post_may(seeded: Seeded, path: str) -> None:
    url = "/console/" + path.format(dataset=seeded.dataset.public_id, run=seeded.runs[0].public_id)
    before = state(), AuditVerification.objects.count()
    assert signed_in(seeded.admin).head(url).status_code == 405
    assert (state(), AuditVerification.objects.count()) == before


@pytest.mark.parametrize(
    "path", ["runs/a%00b/", "datasets/%00/", "project/keys/%00/revoke/", "project/members/%00/", "project/quotas/%00/"]
)
def test_addresses_with_nul_are_not_found(seeded: Seeded, path: str) -> None:
    assert signed_in(seeded.admin).get(f"/console/{path}").status_code == 404


def test_a_run_id_with_a_line_break_breaks_no_page(seeded: Seeded) -> None:
    session = make_session(seeded.project, "two\nlines", seeded.datapoints[0].public_id)
    client = signed_in(seeded.admin)
    assert client.get(f"/console/traces/{session}/").status_code == 200
    assert client.get(f"/console/datapoints/{seeded.datapoints[0].public_id}/").status_code == 200


def test_the_overview_warns_of_this_months_events_only(seeded: Seeded) -> None:
    client, month = signed_in(seeded.admin), timezone.now().date().replace(day=1)
    events = Quota.objects.filter(project=seeded.project, resource="events")
    events.update(ceiling=10, used=10, period_start=month)
    assert "Quota of events: 100.0 % used." in client.get("/console/").content.decode()
    events.update(period_start=month - dt.timedelta(days=1))
    assert "Quota of events" not in client.get("/console/").content.decode()


def test_changes_of_users_are_audited_in_the_installations_chain(seeded) -> None:
    client = signed_in(seeded.admin)
    chain = AuditEntry.objects.filter(chain="installation").order_by("sequence")
    before = chain.count()

    made = {
        "username": "kim",
        "usable_password": "true",
        "password1": "a long pass word",
        "password2": "a long pass word",
    }
    assert client.post("/console/auth/user/add/", made).status_code == 302
    user = User.objects.get(username="kim")
    changed = {"username": "kim", "is_active": "on", "is_superuser": "on"}
    assert client.post(f"/console/auth/user/{user.pk}/change/", changed).status_code == 302
    secret = {"usable_password": "true", "password1": "another pass word", "password2": "another pass word"}
    assert client.post(f"/console/auth/user/{user.pk}/password/", secret).status_code == 302

    entries = list(chain[before:])
    assert [entry.action for entry in entries] == ["user.create", "user.update", "user.update"]
    assert {(entry.actor_kind, entry.actor_label) for entry in entries} == {("user", seeded.admin.get_username())}
    assert {(entry.target_kind, entry.target_label) for entry in entries} == {("user", "kim")}
    assert [entry.after["superuser"] for entry in entries] == [False, True, True]
    assert "pass word" not in str([entry.after for entry in entries])
