"""docs/evaluators.md says what is there: its Python runs, its table names every built-in evaluator."""

import inspect
import re
from pathlib import Path

from experiments.domain import builtin_evaluators
from experiments.sdk.evaluators.settings import SETTING_NAMES

PAGE = (Path(__file__).parents[4] / "docs" / "evaluators.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, "docs/evaluators.md", "exec"), names)


def test_the_table_has_every_built_in_evaluator_with_options_that_exist():
    rows = re.findall(r"^\| `(\w+)` \|[^\n]*", PAGE.split("## Built-in evaluators")[1], re.M)
    assert tuple(rows) == builtin_evaluators.NAMES
    for line in PAGE.split("## Built-in evaluators")[1].splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            options = set(re.findall(r"`(\w+)", cells[3]))
            parameters = set(inspect.signature(builtin_evaluators.find(cells[0].strip("`"))).parameters)
            assert parameters - options == {"outputs", "ground_truth", "key", "expected_key"} & parameters
            assert options <= parameters


def test_the_page_explains_every_setting():
    for name in SETTING_NAMES[:-1]:
        assert f"`{name}`" in PAGE
