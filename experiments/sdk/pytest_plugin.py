"""The pytest plugin: `@pytest.mark.experiment` makes tests datapoints of a run. See docs/pytest-plugin.md.

It is loaded in every pytest session where hhweb is installed, so this module imports nothing but pytest; what works is
in experiments.sdk.testing and comes when a test carries the mark.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from experiments.sdk.testing.items import Experiment
    from experiments.sdk.testing.recording import Recorder

MARK = "experiment"
SEED = "hhweb_seed"  # of the ids of this session's runs: made once, handed to the workers of pytest-xdist
RECORD = "hhweb_record"  # what a report carries from the process of the test to the one that delivers
_MARK_HELP = (
    "experiment(name=None, dataset=None, evaluators=(), passing_ranges=None, min_pass_rate=None, baseline=None, "
    "max_regression=None, metadata=None): make this test a datapoint of an experiment run of hhweb."
)

experiment_key = pytest.StashKey["Experiment"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and settings; none of them is needed."""
    group = parser.getgroup("hhweb", "experiments of hhweb")
    group.addoption("--hhweb-off", action="store_true", help="Judge marked tests here, and record no run.")
    parser.addini("hhweb_url", "Address of the server; else HH_API_URL, else what `hhweb login` stored.", default="")
    parser.addini("hhweb_project", "Project that is shown with runs; the key decides.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, and wait for a test that carries it."""
    config.addinivalue_line("markers", _MARK_HELP)
    config.pluginmanager.register(Plugin(config), "hhweb-experiments")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per datapoint of the mark's dataset."""
    if metafunc.definition.get_closest_marker(MARK) is not None:
        from experiments.sdk.testing.marks import parametrize

        parametrize(metafunc)


@pytest.fixture
def experiment(request: pytest.FixtureRequest) -> "Experiment":
    """The datapoint that this test is: run(), log(), metrics, tracer."""
    found: Experiment | None = request.node.stash.get(experiment_key, None)
    if found is None:
        pytest.fail(
            f"{request.node.nodeid} uses the fixture 'experiment' without its mark; add @pytest.mark.experiment(...).",
            pytrace=False,
        )
    return found


class Plugin:
    """One session: which run ids it has, and who delivers what its tests bring."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._seed: str | None = None
        self._recorder: Recorder | None = None

    @property
    def seed(self) -> str:
        """Of the ids of this session's runs."""
        if self._seed is None:
            given: dict[str, Any] = getattr(self.config, "workerinput", {})
            if SEED in given:
                self._seed = given[SEED]
            else:
                import uuid

                self._seed = str(uuid.uuid4())
        return self._seed

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """pytest-xdist starts a worker: its tests belong to the same runs."""
        node.workerinput[SEED] = self.seed

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The first mark brings what works."""
        marked = [item for item in session.items if item.get_closest_marker(MARK) is not None]
        if marked:
            from experiments.sdk.testing.items import MarkedTests

            self.config.pluginmanager.register(MarkedTests(marked, seed=self.seed), "hhweb-marked-tests")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A marked test has run, here or in a worker; only the process that reports delivers."""
        record = getattr(report, RECORD, None)
        if record is None or hasattr(self.config, "workerinput") or self.config.getoption("hhweb_off"):
            return
        if self._recorder is None:
            from experiments.sdk.testing.recording import Recorder

            self._recorder = Recorder(
                server_url=self.config.getini("hhweb_url") or None, project=self.config.getini("hhweb_project") or None
            )
        self._recorder.receive(record)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """End the runs; what they did not reach fails the session."""
        if self._recorder is not None and not self._recorder.finish(exitstatus) and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What became of the runs."""
        if self._recorder is not None:
            terminalreporter.section("experiments")
            for line, markup in self._recorder.lines():
                terminalreporter.write_line(line, **markup)
