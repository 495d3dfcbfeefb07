"""What the console's run pages read beside the result."""

import pytest

from experiments.selectors.run_overview import metric_means
from tests.experiments.factories import make_run, make_session

pytestmark = pytest.mark.django_db


def test_means_survive_values_whose_squares_no_database_holds(project, caller) -> None:
    run = make_run(project, run_key="r")
    for value in (1e308, -1e308, 1e200, 2.0, 4.0):
        make_session(project, "r", metrics={"m": value})
    assert metric_means(caller=caller, runs=[run], sessions={"r": 5}) == {"r": {"m": 3.0}}
