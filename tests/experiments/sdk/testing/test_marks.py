"""What a mark may say, and what is said of one that cannot be meant."""

import pytest

from tests.experiments.sdk.fault_server import FaultServer
from tests.experiments.sdk.testing.sessions import Run, by_test

pytest_plugins = ["pytester"]


def test_a_dataset_may_be_a_file_beside_the_test(pytester: pytest.Pytester, run: Run, server: FaultServer):
    (pytester.path / "rows.jsonl").write_text('{"datapoint_id": "x", "inputs": {"word": "a"}}\n')
    result = run("""
@pytest.mark.experiment(dataset="rows.jsonl")
def test_row(datapoint, experiment):
    experiment.run(upper)
""")
    result.assert_outcomes(passed=1)
    assert list(by_test(server)) == ["test_row[x]"]


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("'words'", "the mark takes keywords only"),
        ("nmae='x'", "the mark does not know 'nmae'; did you mean 'name'?"),
        ("zzz=1", "the mark does not know 'zzz'; it knows name, dataset,"),
        ("name=''", "name='' must be a text"),
        ("evaluators=['exactt']", "exactt"),
        ("passing_ranges=1", "passing_ranges=1 must be like"),
        ("passing_ranges={'m': {'least': 1}}", "must have 'min', 'max' or both"),
        ("passing_ranges={'m': {'min': 'x'}}", "bounds are numbers"),
        ("min_pass_rate=80", "min_pass_rate=80 must be a number from 0 to 1"),
        ("max_regression={'m': 1}", "max_regression needs baseline="),
        ("max_regression=0.1, baseline='x'", "max_regression=0.1 must be like"),
        ("metadata=1", "metadata=1 must be a dict"),
    ],
)
def test_a_mark_that_cannot_be_meant_stops_the_session(run: Run, mark: str, message: str):
    result = run(f"@pytest.mark.experiment({mark})\ndef test_it(): pass")
    assert result.ret != pytest.ExitCode.OK
    text = result.stdout.str() + result.stderr.str()
    assert "test_words.py::test_it" in text
    assert message in text


def test_tests_of_one_run_must_agree_on_it(run: Run):
    result = run("""
@pytest.mark.experiment(name="r", min_pass_rate=0.5)
def test_one(): pass

@pytest.mark.experiment(name="r", min_pass_rate=0.6)
def test_two(): pass
""")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_two: min_pass_rate is 0.6, but 0.5 in test_words.py::test_one; all tests*"])


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("@pytest.mark.experiment(dataset=[{}])\ndef test_it(): pass", "give the test an argument named 'datapoint'"),
        ("@pytest.mark.experiment(dataset='no.csv')\ndef test_it(datapoint): pass", "cannot be read"),
        ("def test_it(experiment): pass", "uses the fixture 'experiment' without its mark"),
    ],
)
def test_datasets_and_fixtures_that_do_not_fit_are_told(run: Run, test: str, message: str):
    result = run(test)
    assert result.ret != pytest.ExitCode.OK
    assert message in result.stdout.str()
