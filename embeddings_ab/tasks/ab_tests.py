"""Worker's edge of tests, arms and tunings."""

from celery import shared_task

from embeddings_ab import dispatch


@shared_task(name=dispatch.ADVANCE_TEST)
def advance_test(test_id: int) -> None:
    """Send on whatever is due in a test."""
    from embeddings_ab.services import progress

    progress.advance_test(test_id=test_id)


@shared_task(name=dispatch.PREPARE_ARM)
def prepare_arm(arm_id: int) -> None:
    """Find the collections of an arm."""
    from embeddings_ab.services import arm_preparation

    arm_preparation.prepare_arm(arm_id=arm_id)


@shared_task(name=dispatch.RUN_ARM)
def run_arm(arm_id: int) -> None:
    """Retrieve and score every query."""
    from embeddings_ab.services import arm_runs

    arm_runs.run_arm(arm_id=arm_id)


@shared_task(name=dispatch.DECIDE_TEST)
def decide_test(test_id: int) -> None:
    """Measure latency, compute the statistics, write the report."""
    from embeddings_ab.services import decisions

    decisions.decide_test(test_id=test_id)


@shared_task(name=dispatch.RUN_TUNING)
def run_tuning(tuning_id: int) -> None:
    """Search a grid."""
    from embeddings_ab.services import tunings

    tunings.run_tuning(tuning_id=tuning_id)
