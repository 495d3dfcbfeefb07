"""Pass rates for lists: kept until something changes, and only a few computed at a time."""

import pytest
from pytest_django import DjangoAssertNumQueries

from experiments.models import RunRevision
from experiments.services import pass_rates as service
from governance.models import Project
from governance.services.projects import system_caller
from tests.experiments.factories import make_metric, make_run, make_session

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(project: Project) -> Project:
    make_metric(project, "f1", threshold={"min": 0.5})
    return project


def rates_of(project: Project, *runs, sessions: int = 4):
    caller = system_caller(project)
    return service.pass_rates(caller=caller, runs=runs, sessions={run.run_key: sessions for run in runs})


def filled(project: Project, *values: float):
    run = make_run(project)
    for number, value in enumerate(values):
        make_session(project, run.run_key, f"d{number}", metrics={"f1": value})
    return run


def test_a_rate_has_counts_and_wilsons_interval(project: Project) -> None:
    run = filled(project, 0.9, 0.8, 0.7, 0.1)

    rate = rates_of(project, run)[run.pk]

    assert (rate["passed"], rate["total"]) == (3, 4)
    # statsmodels 0.14: proportion_confint(3, 4, method="wilson")
    assert (rate["low"], rate["high"]) == pytest.approx((0.3006418, 0.9544127), abs=1e-6)


def test_a_kept_rate_costs_no_query_of_its_own_until_the_run_changes(
    project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    runs = [filled(project, 0.9), filled(project, 0.1), filled(project, 0.6)]
    rates_of(project, *runs)

    with django_assert_num_queries(2):
        kept = rates_of(project, *runs)
    assert [kept[run.pk]["passed"] for run in runs] == [1, 0, 1]

    make_session(project, runs[1].run_key, "more", metrics={"f1": 0.9})
    RunRevision.objects.create(project=project, run_key=runs[1].run_key, revision=77)
    assert rates_of(project, *runs)[runs[1].pk]["total"] == 2


def test_a_list_computes_a_few_rates_at_a_time(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "COMPUTED_AT_ONCE", 2)
    runs = [filled(project, 0.9) for _ in range(3)]

    assert set(rates_of(project, *runs)) == {runs[0].pk, runs[1].pk}
    assert set(rates_of(project, *runs)) == {run.pk for run in runs}


def test_runs_under_way_empty_ones_and_very_large_ones_have_none(project: Project) -> None:
    running, empty, large = make_run(project, status="running"), make_run(project), filled(project, 0.9)

    assert rates_of(project, running) == {}
    assert rates_of(project, empty, sessions=0) == {}
    assert rates_of(project, large, sessions=service.LARGEST + 1) == {}
