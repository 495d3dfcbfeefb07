"""An experiment in a process of its own, to be interrupted and killed: `python client_program.py '{"url": …}'`.

Every call of the function writes `start`, its number and its repetition to an append-only file, and `end` when it is
about to return. Settings: url, key, calls (that file), run_id, resume, mode, datapoints, repetitions, workers, seconds
(a call takes), hang and evaluator_hangs (numbers whose call or evaluator never ends), patience (seconds for a server
that is away), file_bytes (a limit, as of a full disk), name.
"""

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any

SETTINGS = json.loads(sys.argv[1]) if __name__ == "__main__" else {}


def note(word: str, inputs: dict, tracer: Any) -> None:
    line = f"{word} {inputs['n']} {tracer.session['metadata']['repetition']}\n".encode()
    handle = os.open(SETTINGS["calls"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line)
    os.close(handle)


def work(inputs: dict, tracer: Any) -> dict:
    note("start", inputs, tracer)
    if inputs["n"] in SETTINGS.get("hang", ()):
        threading.Event().wait()
    time.sleep(SETTINGS.get("seconds", 0.0))
    note("end", inputs, tracer)
    return {"value": inputs["n"] ** 2}


async def work_async(inputs: dict, tracer: Any) -> dict:
    note("start", inputs, tracer)
    if inputs["n"] in SETTINGS.get("hang", ()):
        await asyncio.Event().wait()
    await asyncio.sleep(SETTINGS.get("seconds", 0.0))
    note("end", inputs, tracer)
    return {"value": inputs["n"] ** 2}


def right(outputs: dict, inputs: dict, ground_truth: int) -> bool:
    if inputs["n"] in SETTINGS.get("evaluator_hangs", ()):
        threading.Event().wait()
    return outputs["value"] == ground_truth


def rows(count: int) -> list[dict]:
    return [{"inputs": {"n": n}, "ground_truth": n * n, "id": f"row-{n}"} for n in range(count)]


def main() -> None:
    from experiments import evaluate
    from experiments.sdk.running import open_run
    from experiments.sdk.transport.retries import RetryPolicy

    if limit := SETTINGS.get("file_bytes"):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if seconds := SETTINGS.get("patience"):
        open_run.CLOSE_SECONDS = seconds
        open_run.START = RetryPolicy(give_up_after_seconds=seconds)
    summary = evaluate(
        work_async if SETTINGS.get("mode") == "tasks" else work,
        dataset=rows(SETTINGS["datapoints"]),
        evaluators=[right],
        name=SETTINGS.get("name", "killed"),
        server_url=SETTINGS["url"],
        api_key=SETTINGS["key"],
        run_id=SETTINGS.get("run_id"),
        resume=SETTINGS.get("resume"),
        repetitions=SETTINGS.get("repetitions", 1),
        max_workers=SETTINGS.get("workers", 4),
        run_concurrently=SETTINGS.get("mode") != "in turn",
    )
    print(summary.model_dump_json(include={"run_id", "status", "notices", "spool_path"}))


if __name__ == "__main__":
    main()
