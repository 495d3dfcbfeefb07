"""A Python file with experiments: loaded like a script, and what is in it."""

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from experiments.sdk.declaration import Experiment
from experiments.sdk.errors import ExperimentError
from hhweb.client_cli.connection import Refused

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentResultSummary


@dataclass(frozen=True)
class Program:
    """A loaded file: its names, and the results of the evaluate() calls that it made while it was loaded."""

    path: Path
    names: dict[str, Any]
    module_name: str
    results: "list[ExperimentResultSummary]" = field(default_factory=list)

    @property
    def experiments(self) -> dict[str, Experiment]:
        """Declared experiments by their first name in the file."""
        found: dict[str, Experiment] = {}
        for name, value in self.names.items():
            if isinstance(value, Experiment) and all(value is not other for other in found.values()):
                found[name] = value
        return found

    @property
    def functions(self) -> list[str]:
        """Names of the file's own public functions that are no evaluators."""
        from experiments.sdk.evaluators.definition import Evaluator

        return [
            name
            for name, value in self.names.items()
            if callable(value)
            and not name.startswith("_")
            and not isinstance(value, type | Experiment | Evaluator)
            and getattr(value, "__module__", None) == self.module_name
        ]

    def named(self, name: str) -> Experiment | Callable[..., Any]:
        """The experiment or function of that name. Refused, with what there is, when it is none."""
        found: object = self.names.get(name)
        if not callable(found):
            raise Refused(f"{self.path} has no experiment or function {name!r}. {self.offer()}")
        return found

    def only_experiment(self) -> Experiment:
        """The one declared experiment. Refused, with what there is, when there is none or a choice."""
        if len(self.experiments) != 1:
            there = "several experiments" if self.experiments else "no experiment"
            raise Refused(f"{self.path} declares {there}. {self.offer()}")
        return next(iter(self.experiments.values()))

    def offer(self) -> str:
        """What can be run here, as the words to type."""
        target = f"hhweb experiments run {self.path}"
        if self.experiments:
            return "Choose one: " + ", ".join(f"`{target}:{name}`" for name in self.experiments) + "."
        if self.functions:
            return (
                "Declare one with `@experiment(dataset=…, evaluators=[…])` of experiments, or name a function and its "
                f"data: `{target}:{self.functions[0]} --dataset FILE` (functions: {', '.join(self.functions)}). "
                'Code below `if __name__ == "__main__"` is not run.'
            )
        return "Declare one: put `@experiment(dataset=…, evaluators=[…])` of experiments above a function."


@contextlib.contextmanager
def loaded(path: Path) -> Iterator[Program]:
    """Execute a file as a module of its own, its folder importable like for `python FILE`, until the context ends.

    Refused, with the traceback from the file on, when it raises. The SDK's own errors pass, and so does an exit that
    tells of a failure.
    """
    from experiments.sdk.evaluate import observers

    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        name = f"{name}_of_experiments"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    if spec is None or spec.loader is None:
        raise Refused(f"{path} is no Python file; its name must end with .py.")
    module = importlib.util.module_from_spec(spec)
    program = Program(path, vars(module), name)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[name] = module
    observers.append(program.results.append)
    try:
        _execute(spec.loader.exec_module, module, path)
        yield program
    finally:
        observers.remove(program.results.append)
        sys.modules.pop(name, None)
        with contextlib.suppress(ValueError):
            sys.path.remove(str(path.resolve().parent))


def _execute(execute: Callable[[ModuleType], None], module: ModuleType, path: Path) -> None:
    try:
        execute(module)
    except ExperimentError:
        raise
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise
    except Exception as error:
        own = _from_file_on(error.__traceback__, str(path.absolute()))
        told = "".join(traceback.format_exception(type(error), error, own)).rstrip()
        raise Refused(f"{path} failed while it was loaded:\n{told}") from None


def _from_file_on(frames: TracebackType | None, file: str) -> TracebackType | None:
    """The traceback without the frames that led to the file."""
    while frames is not None and frames.tb_frame.f_code.co_filename != file:
        frames = frames.tb_next
    return frames
