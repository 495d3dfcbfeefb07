"""Log lines: their form, their ids, and what never gets into them."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from django.test import Client

from hhweb import structured_logs

KEY = "hh_" + "a" * 24 + "_" + "b" * 64


def lines(form: str, code: str) -> str:
    """What a process that logs like ours writes to standard error."""
    start = (
        "import logging, structlog; from hhweb import structured_logs as s; "
        f"s.configure(s.settings(form={form!r}, level='INFO')); log = structlog.get_logger('hhweb.test'); "
    )
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_json_lines_carry_event_level_time_and_context():
    said = lines("json", "structlog.contextvars.bind_contextvars(request_id='r1'); log.info('run_created', run=7)")
    line = json.loads(said)
    assert {k: line[k] for k in ("event", "level", "logger", "request_id", "run")} == {
        "event": "run_created",
        "level": "info",
        "logger": "hhweb.test",
        "request_id": "r1",
        "run": 7,
    }
    assert line["timestamp"].endswith("Z")


def test_lines_of_other_packages_have_the_same_form_and_ids():
    said = lines(
        "json",
        "structlog.contextvars.bind_contextvars(task_id='t1'); logging.getLogger('celery.x').warning('lost %s', 'it')",
    )
    line = json.loads(said)
    assert (line["event"], line["task_id"], line["level"]) == ("lost it", "t1", "warning")


def test_exceptions_are_one_line_of_json_without_local_variables():
    said = lines("json", "payload = 'hush'\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed')")
    assert "ZeroDivisionError" in json.loads(said)["exception"]
    assert "hush" not in said


def test_console_form_is_for_eyes():
    said = lines("console", "log.warning('disk_full', free=0)")
    assert "disk_full" in said
    assert "free=0" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_key_reaches_a_line(form):
    said = lines(form, f"log.info('x', authorization='Bearer z', note='saw {KEY}'); logging.warning('raw {KEY}')")
    assert KEY not in said
    assert "Bearer z" not in said
    assert said.count("hh_aaaaaaaaa(hidden)") == 2


def test_noise_is_dropped():
    logger = logging.getLogger("x")
    for noise in (
        {"event": "request_started"},
        {"event": "streaming_started"},
        {"event": "request_finished", "code": 200, "request": "GET /health/live"},
        {"event": "request_finished", "code": 200, "request": "GET /static/a.css"},
    ):
        with pytest.raises(structlog.DropEvent):
            structured_logs.drop_noise(logger, "info", noise)
    for kept in (
        {"event": "request_finished", "code": 503, "request": "GET /health/ready"},
        {"event": "request_finished", "code": 200, "request": "GET /v1/runs"},
    ):
        assert structured_logs.drop_noise(logger, "info", dict(kept)) == kept


def test_request_id_is_returned_and_queries_are_not_logged(monkeypatch):
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(
        "django_structlog.middlewares.request.logger",
        type(
            "Log",
            (),
            {"_context": {}, "log": staticmethod(lambda level, event, **f: seen.append({"event": event, **f}))},
        ),
    )
    response = Client().get("/health/live?name=private")
    assert len(response["X-Request-ID"]) == 36
    assert [line["request"] for line in seen] == ["GET /health/live", "GET /health/live"]
    assert response["Content-Length"] == str(len(response.content))
