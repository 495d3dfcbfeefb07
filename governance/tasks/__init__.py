"""Governance's Celery tasks. Each calls one service; periodic ones are listed in `hhweb/schedules.py`."""

from governance.tasks import audit, sweeps

__all__ = ["audit", "sweeps"]
