"""Celery tasks of A/B tests. Each calls one service; periodic ones are listed in `hhweb/schedules.py`."""

from embeddings_ab.tasks import ab_tests, collections, sweeps

__all__ = ["ab_tests", "collections", "sweeps"]
