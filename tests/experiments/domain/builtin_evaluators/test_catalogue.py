"""The built-in evaluators by name."""

import subprocess
import sys

from experiments.domain import builtin_evaluators


def test_every_name_finds_a_function_of_that_name_with_a_docstring():
    assert len(builtin_evaluators.NAMES) == 12
    for name in builtin_evaluators.NAMES:
        function = builtin_evaluators.find(name)
        assert (function.__name__, bool(function.__doc__)) == (name, True)
    assert builtin_evaluators.find("exact") is None


def test_no_problem_is_seen_where_the_libraries_are():
    for name in builtin_evaluators.NAMES:
        assert builtin_evaluators.problem_of(name, {}) is None


def test_missing_libraries_are_seen_before_a_run(monkeypatch):
    for name in ("rapidfuzz", "wordllama"):
        monkeypatch.setitem(sys.modules, name, None)
    assert builtin_evaluators.problem_of("rouge_l", {}) == "it needs rapidfuzz: pip install 'hhweb[evaluators]'"
    assert builtin_evaluators.problem_of("embedding_similarity", {"embed": len}) is None
    assert "it needs embed=" in builtin_evaluators.problem_of("embedding_similarity", {})


def test_the_plain_ones_import_neither_django_nor_a_library():
    code = (
        "import sys\n"
        "from experiments.domain import builtin_evaluators as b\n"
        "[b.find(name) for name in b.NAMES]\n"
        "print({'django', 'numpy', 'rapidfuzz', 'jsonschema', 'sacrebleu', 'wordllama'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
