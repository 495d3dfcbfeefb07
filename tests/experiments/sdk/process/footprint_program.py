"""What an experiment leaves in its process: `python footprint_program.py URL DATAPOINTS [offline]`; prints JSON."""

import gc
import json
import logging
import sys
import threading

import psutil

from experiments import evaluate, trace
from experiments.sdk.running import open_run
from experiments.sdk.transport.retries import RetryPolicy


@trace
def step(number: int) -> dict:
    return {"number": number, "text": "x" * 500}


def work(inputs: dict) -> dict:
    return step(inputs["n"])


async def work_async(inputs: dict) -> dict:
    return step(inputs["n"])


def right(outputs: dict, ground_truth: int) -> bool:
    return outputs["number"] == ground_truth


def footprint() -> dict:
    gc.collect()
    this = psutil.Process()
    return {
        "threads": this.num_threads(),
        "python_threads": [thread.name for thread in threading.enumerate()],
        "files": this.num_fds(),
        "sockets": len(this.net_connections()),
        "resident_mb": round(this.memory_info().rss / 2**20, 1),
    }


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    logging.disable()
    open_run.CLOSE_SECONDS = 5.0 if "offline" not in sys.argv else 0.2
    if "offline" in sys.argv:
        open_run.START = RetryPolicy(attempts=1)

    def conduct(function: object, rows: int) -> str:
        data = [{"inputs": {"n": n}, "ground_truth": n} for n in range(rows)]
        return evaluate(function, dataset=data, evaluators=[right], server_url=url, api_key="key").status

    statuses = [conduct(work, 50), conduct(work_async, 50)]  # everything is imported, pools of memory are warm
    before = footprint()
    statuses.append(conduct(work, count))
    print(json.dumps({"before": before, "after": footprint(), "statuses": statuses}))


if __name__ == "__main__":
    main()
