"""Background jobs of experiments, by the names of `experiments/dispatch.py`."""

from experiments.tasks import experiments, schedules, sweeps

__all__ = ["experiments", "schedules", "sweeps"]
