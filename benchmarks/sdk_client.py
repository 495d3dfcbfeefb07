"""One client running one experiment, for `sdk_bench.py`: a process of its own that prints what it cost as JSON.

    BENCH_STARTED=$(date +%s.%N) PYTHONPATH=. python benchmarks/sdk_client.py ours|official DATAPOINTS [WARM-UP]

Address and key come from HH_API_URL and HH_API_KEY. Nothing is imported here that the client does not pay for.
"""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

WORKERS = 10
first_call = None


def answer(datapoint):
    global first_call
    if first_call is None:
        first_call = time.time()
    return {"answer": datapoint["inputs"]["n"] * 2}


def exact(outputs, inputs, ground_truth):
    return outputs["answer"] == ground_truth["answer"]


def closeness(outputs, inputs, ground_truth):
    return 1.0 / (1 + abs(outputs["answer"] - ground_truth["answer"]))


def dataset(size):
    return [{"inputs": {"n": n}, "ground_truth": {"answer": 2 * n + (n % 4 == 0)}} for n in range(size)]


def status(name):
    """A line of /proc/self/status as a number: KiB, or threads."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def counts():
    """What a run must not leave behind."""
    sockets = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            sockets += str(descriptor.readlink()).startswith("socket:")
    return {"threads": status("Threads"), "sockets": sockets, "rss_mib": status("VmRSS") / 1024}


def main():
    kind, size, warm = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0
    if kind == "ours":
        from experiments import evaluate, evaluator
    else:
        from honeyhive import evaluate, evaluator

    assert callable(evaluator)  # a program imports both

    def run(rows, name):
        return evaluate(
            answer, dataset=rows, evaluators=[exact, closeness], name=name, max_workers=WORKERS, print_results=False
        )

    at_start = counts()
    if warm:
        run(dataset(warm), "warm-up")
    rows, before = dataset(size), counts()
    wall, cpu = time.perf_counter(), time.process_time()
    result = run(rows, f"{kind} {size}")
    found = {
        "wall_ms": (time.perf_counter() - wall) * 1000 / size,
        "client_cpu_ms": (time.process_time() - cpu) * 1000 / size,
        "first_call_s": first_call - float(os.environ["BENCH_STARTED"]),
        "peak_mib": status("VmHWM") / 1024,
        "at_start": at_start,
        "before": before,
        "after": counts(),
        "run_id": result.run_id,
    }
    print(json.dumps(found), flush=True)


main()
