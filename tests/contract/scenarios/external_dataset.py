"""evaluate() on an external dataset: a sync and an async function under one name, every shape of evaluator."""

import asyncio

from honeyhive import HoneyHive
from honeyhive.experiments import compare_runs, evaluate, get_run_metrics, get_run_result
from shared import events_of, show

DATASET = [{"id": f"n{n}", "inputs": {"n": n}, "ground_truth": {"double": 2 * n}} for n in (1, 2, 3, 4)]


def first():
    def double(datapoint):
        n = datapoint["inputs"]["n"]
        if n == 3:
            raise ValueError("three is refused")
        return {"double": 9 if n == 4 else 2 * n, "by": "sync"}

    return double


def second():
    async def double(datapoint):
        await asyncio.sleep(0)
        n = datapoint["inputs"]["n"]
        return {"double": 2 * n if n != 1 else 5, "by": "async"}

    return double


def correct(outputs, inputs, ground_truth):
    return outputs["double"] == ground_truth["double"]


async def distance(outputs, inputs, ground_truth):
    await asyncio.sleep(0)
    return float(abs(outputs["double"] - ground_truth["double"]))


def graded(outputs, inputs, ground_truth):
    return {"score": inputs["n"] / 4, "explanation": f"graded {inputs['n']}", "tries": 2}


def absent(outputs, inputs, ground_truth):
    return None


def broken(outputs, inputs, ground_truth):
    raise RuntimeError("this evaluator is broken")


EVALUATORS = [correct, distance, graded, absent, broken]
client = HoneyHive()
summaries = {
    name: evaluate(
        function=make(), dataset=DATASET, evaluators=EVALUATORS, name=name, max_workers=2, print_results=False
    )
    for name, make in (("old", first), ("new", second))
}
old, new = summaries["old"].run_id, summaries["new"].run_id
show(
    returned=summaries,
    results={
        function: get_run_result(client, old, aggregate_function=function)
        for function in ("average", "min", "max", "median", "p90", "p95", "p99", "sum", "count")
    },
    raw=get_run_metrics(client, old),
    runs={name: client.experiments.get_run(summary.run_id).evaluation for name, summary in summaries.items()},
    comparison=compare_runs(client, new, old),
    comparison_document=client.experiments.compare_runs(new, old, aggregate_function="average"),
    pairs=client.experiments.compare_run_events(new, old, event_type="session", limit=100),
    events={name: events_of(client, "metadata.run_id", summary.run_id) for name, summary in summaries.items()},
)
