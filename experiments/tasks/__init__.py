"""Background jobs of experiments, by the names of `experiments/dispatch.py`."""

from experiments.tasks import experiments, sweeps

__all__ = ["experiments", "sweeps"]
