"""Concurrent writes of runs."""

import pytest

from experiments.domain.wire_runs import RunBody, RunUpdateBody
from experiments.models import Run
from experiments.services.runs import create_run, update_run
from governance.domain.errors import Conflict
from governance.models import Quota, Resource
from tests.governance.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True)]


def test_concurrent_updates_keep_each_others_keys(caller) -> None:
    create_run(caller=caller, body=RunBody(run_id="r"))

    answers = at_once(
        8,
        lambda number: update_run(
            caller=caller, run_key="r", body=RunUpdateBody(metadata={f"k{number}": number}, results={f"r{number}": 1})
        ),
    )

    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    run = Run.objects.get()
    assert run.metadata == {f"k{number}": number for number in range(8)}
    assert run.results == {f"r{number}": 1 for number in range(8)}


def test_one_of_many_concurrent_creators_of_an_id_wins(caller) -> None:
    answers = at_once(8, lambda number: create_run(caller=caller, body=RunBody(run_id="r", name=str(number))))

    winners = [answer for answer in answers if isinstance(answer, Run)]
    assert len(winners) == 1
    assert all(isinstance(answer, Conflict) for answer in answers if not isinstance(answer, Run))
    assert Run.objects.get().name == winners[0].name
    assert Quota.objects.get(project_id=caller.project_id, resource=Resource.RUNS).used == 1
