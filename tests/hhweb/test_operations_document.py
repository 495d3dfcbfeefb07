"""docs/operations.md and deploy/ agree with the code: every setting, every instrument, with the same words."""

import importlib
import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from hhweb import telemetry
from hhweb.settings import validation
from hhweb.settings.environment import Environment, variable

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "operations.md").read_text()


def shown(default: object) -> str:
    """A default as the table writes it."""
    value = getattr(default, "get_secret_value", lambda: default)()
    if value is None or value == "":
        return "not set"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def settings_table() -> str:
    """The rows that the document must have, from the class that reads the environment."""
    return "\n".join(
        f"| `{variable(name)}` | {shown(field.default)} | {field.description} |"
        for name, field in Environment.model_fields.items()
    )


def telemetry_table() -> str:
    """The rows that the document must have, from the instruments."""
    rows = []
    for module in ("experiments.telemetry", "governance.telemetry", "embeddings_ab.telemetry"):
        for instrument in vars(importlib.import_module(module)).values():
            if hasattr(instrument, "_documentation") and hasattr(instrument, "_labelnames"):
                name = instrument._name + ("_total" if instrument._type == "counter" else "")
                rows.append((name, instrument._type, instrument._labelnames, instrument._documentation))
    return "\n".join(
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {says} |"
        for name, kind, labels, says in rows
    )


def test_every_setting_is_documented_with_its_default():
    assert settings_table() in DOCUMENT


def test_every_counter_and_histogram_is_documented():
    assert telemetry_table() in DOCUMENT


@pytest.mark.django_db
def test_every_gauge_read_at_scrape_time_is_documented():
    families = {family.name for family in telemetry.ScrapeTimeCollector().collect()}
    assert len(families) == 4
    for name in families:
        assert f"| `{name}` | gauge |" in DOCUMENT
    assert not {family.name for family in REGISTRY.collect()} & families


def test_example_environment_names_only_known_settings_and_lacks_only_secrets(monkeypatch, tmp_path):
    lines = (ROOT / "deploy" / "hhweb.env.example").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert values.pop("DJANGO_SETTINGS_MODULE") == "hhweb.settings.production"
    assert set(values) <= {variable(name) for name in Environment.model_fields}
    for name, value in {**values, "HHWEB_TELEMETRY_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    faults = validation.production_faults(Environment())
    assert [fault.split()[0] for fault in faults] == [
        "HHWEB_SECRET_KEY",
        "HHWEB_KEY_PEPPER",
        "HHWEB_TELEMETRY_TOKEN",
    ]


def test_units_and_gunicorn_file_name_what_exists():
    for unit in (ROOT / "deploy").glob("*.service"):
        command = re.search(r"^ExecStart=(.*)$", unit.read_text(), re.M).group(1)
        assert command.startswith("/opt/hhweb/bin/")
    scope: dict[str, object] = {}
    exec((ROOT / "deploy" / "gunicorn.conf.py").read_text(), scope)
    assert (scope["wsgi_app"], scope["worker_class"], scope["preload_app"]) == (
        "hhweb.wsgi:application",
        "gthread",
        True,
    )


if __name__ == "__main__":
    print(settings_table(), telemetry_table(), sep="\n\n")
