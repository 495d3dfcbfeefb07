"""Exports are told apart by the names in them."""

from pathlib import Path

import pytest

from experiments.sdk.errors import ConfigurationError
from experiments.sdk.importers.files import export_files
from experiments.sdk.importers.importing import import_export
from experiments.sdk.importers.telling import check_tool

SAMPLES = Path(__file__).parent / "samples"
EXPORTS = {
    "honeyhive": SAMPLES / "honeyhive",
    "langfuse": SAMPLES / "langfuse",
    "phoenix": SAMPLES / "phoenix" / "export",
    "mlflow": SAMPLES / "mlflow",
}


@pytest.mark.parametrize("tool", EXPORTS)
def test_every_sample_is_its_own_tools_and_no_others(tool):
    files = export_files(EXPORTS[tool])
    check_tool(tool, files)
    for other in EXPORTS.keys() - {tool}:
        with pytest.raises(ConfigurationError, match=f"looks like an export of {tool}, not of {other}; type: hhweb"):
            check_tool(other, files)


def test_files_that_bear_nobodys_names_are_left_to_the_reader(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"question": "q"}\n[[[[[{"event_type": 1}]]]]]\n')
    check_tool("phoenix", [tmp_path / "rows.jsonl"])


def test_a_wrong_tool_is_refused_before_anything_is_read():
    with pytest.raises(ConfigurationError, match="langfuse"):
        import_export(None, "mlflow", EXPORTS["langfuse"])
