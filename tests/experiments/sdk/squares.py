"""What the tests of evaluate() run, and what a server keeps of it."""

import asyncio

from experiments import evaluator

ROWS = [{"inputs": {"n": n}, "ground_truth": n * n, "id": f"row-{n}"} for n in range(12)]


def square(inputs, ground_truth):
    return {"value": inputs["n"] ** 2}


async def square_async(inputs):
    await asyncio.sleep(0.001 * (inputs["n"] % 3))
    return {"value": inputs["n"] ** 2}


@evaluator
def right(outputs, ground_truth):
    return outputs["value"] == ground_truth


async def size(outputs, inputs, ground_truth):
    return float(outputs["value"])


def kept(server, run_id):
    """What the server has of a run: {(datapoint id, repetition): session}, each sent exactly once."""
    found = {}
    for session_id, session in server.sessions.items():
        ids = session["metadata"]
        if ids["run_id"] == run_id:
            assert (ids["datapoint_id"], ids["repetition"]) not in found
            assert server.deliveries[session_id] == 1
            found[ids["datapoint_id"], ids["repetition"]] = session
    return found


def spans_of(server, session_id):
    return [span for span in server.spans.values() if span["values"]["honeyhive.session_id"] == session_id]


def is_spool_empty(folder):
    return not (folder / "spool").exists() or not any((folder / "spool").iterdir())
