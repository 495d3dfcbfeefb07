"""What tests of the delivery share."""

import time
from collections.abc import Callable
from typing import Any

from experiments.sdk.transport.client import Client
from experiments.sdk.transport.delivery import Delivery
from experiments.sdk.transport.spool import RunSpool
from tests.experiments.sdk.fault_server import Recorded
from tests.experiments.sdk.transport.samples import session_id

TRACES = "/opentelemetry"


def ids(*numbers: int) -> set[str]:
    return {session_id(number) for number in numbers}


def delivering(client: Client, run_spool: RunSpool | None, **options: Any) -> Delivery:
    delivery = Delivery(client, run_spool, **options)
    delivery.start()
    return delivery


def eventually(is_so: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def has_datapoint(number: int) -> Callable[[Recorded], bool]:
    """Whether a request carries that datapoint."""
    return lambda request: session_id(number).encode() in request.raw
