"""What the server says of a test, as one stable JSON document and as an exit code; plain functions."""

from typing import Any

SCHEMA = 1
ENDED = ("completed", "incomplete", "failed", "cancelled")

EXIT_DONE, EXIT_NOT_COMPLETED, EXIT_WORSE = 0, 1, 3

_TEST_FIELDS = ("name", "status", "primary_metric", "control", "registration_hash", "report_hash")


def document(test: dict[str, Any]) -> dict[str, Any]:
    """Test id, status, hashes; per arm its metrics and latency; comparisons with verdicts; no key is ever missing."""
    report = test.get("report") or {}
    told = {**report.get("test", {}), **{name: value for name, value in test.items() if value not in (None, "")}}
    figures = report.get("arms") or {}
    return {
        "schema": SCHEMA,
        "test_id": test["id"],
        **{name: told.get(name) for name in _TEST_FIELDS},
        "error": _error(test),
        "arms": {
            arm["name"]: {
                "status": arm.get("status"),
                "error": _error(arm),
                "queries_failed": figures.get(arm["name"], {}).get("queries_failed", arm.get("queries_failed")),
                "metrics": figures.get(arm["name"], {}).get("metrics", {}),
                "latency": arm.get("latency") or {},
                "stats": arm.get("stats") or {},
            }
            for arm in test.get("arms") or []
        },
        "comparisons": report.get("comparisons") or [],
        "warnings": report.get("warnings") or [],
    }


def decisions(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The comparisons that decide: those on the primary metric, as registered."""
    return [row for row in found["comparisons"] if row.get("role") == "primary"]


def exit_code(found: dict[str, Any], *, fail_if_worse: bool) -> int:
    """0 for a completed test, 1 for any other, 3 when asked for and an arm is worse than the control."""
    if found["status"] != "completed":
        return EXIT_NOT_COMPLETED
    if fail_if_worse and any(row.get("verdict") == "worse" for row in decisions(found)):
        return EXIT_WORSE
    return EXIT_DONE


def _error(row: dict[str, Any]) -> str | None:
    error = row.get("error") or row.get("error_message")
    if isinstance(error, dict):
        error = error.get("message")
    return str(error) if error else None
