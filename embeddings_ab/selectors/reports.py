"""Parts of a test's stored report; what it does not hold is refused with what it does."""

from typing import Any

from embeddings_ab.domain.measures import parse_measure
from embeddings_ab.domain.statuses import TestStatus
from embeddings_ab.models import AbTest
from governance.domain.errors import Conflict, InvalidInput

_DECIDED = (TestStatus.COMPLETED, TestStatus.INCOMPLETE)


def has_report(test: AbTest) -> bool:
    """Whether the test has ended with a report; one that goes on again has none until it ends."""
    return test.status in _DECIDED and test.report is not None


def report_of(test: AbTest) -> dict[str, Any]:
    """The report, or a `Conflict` that says why there is none."""
    if has_report(test):
        return dict(test.report or {})
    state = {
        TestStatus.CREATED: "was not started yet",
        TestStatus.FAILED: "failed",
        TestStatus.CANCELLED: "was cancelled",
    }.get(TestStatus(test.status), f"is {test.status}")
    reason = f" ({test.error_message})" if test.status == TestStatus.FAILED and test.error_message else ""
    raise Conflict(
        f"Test {test.public_id} {state}{reason} and has no report. A report is written when all arms have ended; "
        f"GET /api/v1/ab/tests/{test.public_id}/progress tells how far it is.",
        field="status",
        value=test.status,
    )


def metric_of(test: AbTest, text: str, *, field: str = "metric") -> str:
    """A measure that the test scored, by any of its names; empty means the primary one.

    Unknown names and measures that this test did not score are refused with a list: a typing error must never read as
    "no difference".
    """
    if not text:
        return test.primary_metric
    scored = [str(name) for name in test.spec.get("metrics", [])]
    if text in scored:
        return text
    name = str(parse_measure(text, field=field))
    if name not in scored:
        raise InvalidInput(
            f"Query parameter {field!r} is {text[:80]!r}; this test scored {', '.join(scored)}.",
            field=field,
            value=text[:200],
            known=scored,
        )
    return name


def aggregates(test: AbTest, arms: list[dict[str, Any]]) -> dict[str, Any]:
    """The report without its comparisons, with what each arm cost and how fast it was."""
    report = report_of(test)
    measured = report["arms"]
    return {
        "test_id": test.public_id,
        "status": test.status,
        "report_hash": test.report_hash,
        "primary_metric": test.primary_metric,
        "control": test.control,
        "arms": [{**arm, **measured.get(arm["name"], {"metrics": {}})} for arm in arms],
        "agreement": report.get("agreement", []),
        "losses": report.get("losses", {}),
        "warnings": report.get("warnings", []),
    }


def significance(test: AbTest, *, metric: str, arm: str | None = None) -> dict[str, Any]:
    """Comparisons of one measure against the control, from the report: computed once, never on demand."""
    report = report_of(test)
    rows = [row for row in report["comparisons"] if row["metric"] == metric]
    registered = report["test"]
    return {
        "test_id": test.public_id,
        "report_hash": test.report_hash,
        "metric": metric,
        "role": "primary" if metric == test.primary_metric else "exploratory",
        "control": test.control,
        **{name: registered.get(name) for name in ("alpha", "margin", "seed", "draws")},
        "comparisons": [row for row in rows if arm is None or row["arm"] == arm],
        "all_pairs": [row for row in report.get("all_pairs", []) if row["metric"] == metric],
        "slices": [
            row
            for row in report.get("slices", [])
            if metric == test.primary_metric and (arm is None or row["arm"] == arm)
        ],
        "warnings": report.get("warnings", []),
    }
