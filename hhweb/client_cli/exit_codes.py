"""What the result of a run means on a command line."""

from typing import TYPE_CHECKING

from hhweb.client_cli.connection import EXIT_DONE, EXIT_NOT_PASSED, EXIT_WAITING

if TYPE_CHECKING:
    from experiments.sdk.models import ExperimentResultSummary


def exit_code(result: "ExperimentResultSummary", *, allow_failures: bool) -> int:
    """0 done and passed, 1 not passed, 3 something waits in the spool."""
    if result.status == "pending_upload":
        return EXIT_WAITING
    # What a server refused, or nobody could judge, is no failure of a datapoint that might be allowed.
    if result.status != "completed" or result.delivery_failures or unjudged(result):
        return EXIT_NOT_PASSED
    has_failed = bool(result.failed or result.function_failures or result.evaluator_failures)
    return EXIT_NOT_PASSED if has_failed and not allow_failures else EXIT_DONE


def unjudged(result: "ExperimentResultSummary") -> list[str]:
    """Metrics that have a threshold in this run but no value anywhere, as a misspelled one."""
    run = result.run_object
    ranges = run.metadata.get("passing_ranges") if run is not None else None
    if not isinstance(ranges, dict) or result.status != "completed":
        return []
    return [metric for metric in ranges if metric not in result.metrics.list_metrics()]
