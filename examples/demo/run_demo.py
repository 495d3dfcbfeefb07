"""`make demo`: start the platform, run an experiment in two variants and an A/B test of searches, check every figure.

Exit code 0 only if all figures of the server equal those computed here from the recorded outputs.
"""

import argparse
import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from examples.demo import ab_demo, extract_v1, extract_v2, report, server_demo  # noqa: E402
from examples.demo.evaluators import EVALUATORS  # noqa: E402
from examples.demo.figures import AGGREGATES, Recorded, comparison_figures, differences, run_figures  # noqa: E402
from examples.demo.stack import NotReady, Stack, free_port  # noqa: E402

VARIANTS = {"v1": ("facts, variant 1: first patterns", extract_v1), "v2": ("facts, variant 2: careful", extract_v2)}
# Client and server share the machine's cores; more threads than this gain nothing.
MAX_WORKERS = 4


def point_sdk_at(stack: Stack) -> None:
    """Set the SDK's environment. It reads it when imported, so nothing of it may be imported before."""
    for name in [name for name in os.environ if name.startswith(("HH_", "HONEYHIVE_", "OTEL_"))]:
        del os.environ[name]
    os.environ["HH_API_URL"] = stack.url
    os.environ["HH_API_KEY"] = stack.credentials["api_key"]
    os.environ["HH_API_TIMEOUT"] = "30"
    # The client reads all certificates of the system for each call, also for plain HTTP on this machine: 40 ms of
    # processor time apiece. A folder without any costs nothing.
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = str(stack.data)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))


def load_datapoints() -> list[dict[str, Any]]:
    """The demo's datapoints, as they stand in the repository."""
    return [json.loads(line) for line in (HERE / "datapoints.jsonl").read_text(encoding="utf-8").splitlines()]


def make_task(variant: Any, recorded: dict[str, Recorded], progress: report.Progress) -> Callable[..., Any]:
    """The function that `evaluate()` runs: each finder is a traced step, each outcome is written down."""
    from honeyhive import trace

    steps = {kind: trace(event_type="tool", event_name=f"find_{kind}")(f) for kind, f in variant.FINDERS.items()}

    # Both variants carry one name: results are paired by metric and event name.
    def extract_facts(datapoint: dict[str, Any]) -> dict[str, list[str]]:
        inputs = datapoint["inputs"]
        try:
            outputs = {kind: find(inputs["text"], inputs["sent"]) for kind, find in steps.items()}
        except Exception as error:
            recorded[datapoint["id"]] = Recorded(error=f"{type(error).__name__}: {error}")
            progress.advance(raised=True)
            raise
        recorded[datapoint["id"]] = Recorded(outputs=outputs)
        progress.advance(raised=False)
        return outputs

    return extract_facts


def run_variant(name: str, variant: Any, datapoints: list[dict[str, Any]]) -> tuple[str, dict[str, Recorded]]:
    """One run through the SDK's `evaluate()`: its id, and what the task did with each datapoint."""
    from honeyhive.experiments import evaluate

    recorded: dict[str, Recorded] = {}
    task = make_task(variant, recorded, report.Progress(name, len(datapoints)))
    summary = evaluate(
        function=task,
        dataset=datapoints,
        evaluators=EVALUATORS,
        name=name,
        max_workers=MAX_WORKERS,
        print_results=False,
    )
    return summary.run_id, recorded


def expected_sessions(datapoints: list[dict[str, Any]], recorded: dict[str, Recorded], run_id: str) -> dict[str, Any]:
    """What the run's session events must hold: output, ground truth and the four ids."""
    from honeyhive.experiments.utils import prepare_external_dataset

    dataset_id, _ = prepare_external_dataset(datapoints)
    return {
        f"EXT-{datapoint['id']}": {
            "outputs": recorded[datapoint["id"]].outputs,
            "run_id": run_id,
            "dataset_id": dataset_id,
            "source": "evaluation",
            "ground_truth": datapoint["ground_truth"],
        }
        for datapoint in datapoints
    }


def check_all(client: Any, datapoints: list[dict[str, Any]], runs: dict[str, Any], served: dict[str, Any]) -> list[str]:
    """Every difference between the server's figures and our own, one line each."""
    from examples.demo import served as server

    faults: list[str] = []
    computed = {}
    for key, (run_id, recorded) in runs.items():
        computed[key] = run_figures(datapoints, recorded)
        faults += [f"{key} result: {line}" for line in differences(computed[key], served[key])]
        sessions = expected_sessions(datapoints, recorded, run_id)
        faults += [f"{key} session {x}" for x in differences(sessions, server.session_figures(client, run_id))]
    for function in AGGREGATES:
        ours = comparison_figures(computed["v1"], computed["v2"], function)
        theirs = server.comparison_figures(client, runs["v2"][0], runs["v1"][0], function)
        faults += [f"comparison ({function}): {line}" for line in differences(ours, theirs)]
    return faults


def count_figures(value: Any) -> int:
    """How many single figures a structure holds."""
    if isinstance(value, dict):
        return sum(map(count_figures, value.values()))
    return sum(map(count_figures, value)) if isinstance(value, list) else 1


def print_farewell(data: Path, links: dict[str, str]) -> None:
    """How to look at the results: the stack is stopped by now."""
    shown = os.path.relpath(data, ROOT) if data.is_relative_to(ROOT) else str(data)
    say = functools.partial(report.console.print, soft_wrap=True)
    say("The platform is stopped; its data stays. To look at the results in the console:")
    say(f"\n    make up DATA={shown}\n")
    say(f"then sign in with admin_user and admin_password of {shown}/credentials.json at")
    for title, path in links.items():
        say(f"    http://127.0.0.1:8000{path}  ({title})")


def main() -> int:
    """Run the demo; 0 when all figures agree, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "var" / "demo", help="data folder, kept (default var/demo)")
    parser.add_argument("--port", type=int, default=0, help="port of the platform (default: a free one)")
    options = parser.parse_args()
    # A stop signal must unwind, so that the stack is stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    datapoints = load_datapoints()
    say = functools.partial(report.console.print, soft_wrap=True)
    say(f"Starting the platform on {options.data} …")
    with Stack(options.data.resolve(), port=options.port or free_port(), settings=server_demo.SETTINGS) as stack:
        say(f"It answers on {stack.url} after {time.monotonic() - started:.1f} s.\n")
        point_sdk_at(stack)
        from honeyhive import HoneyHive

        from examples.demo import served as server

        client = HoneyHive()
        server.ensure_metrics(client)
        runs, served = {}, {}
        for key, (name, variant) in VARIANTS.items():
            say(f"{name}: {len(datapoints)} datapoints, {len(EVALUATORS)} evaluators")
            runs[key] = run_variant(name, variant, datapoints)
            served[key] = server.run_figures(client, runs[key][0])
            report.print_result(name, served[key])
        comparison = server.comparison_figures(client, runs["v2"][0], runs["v1"][0], "average")
        report.print_comparison(comparison)
        faults = check_all(client, datapoints, runs, served)
        links = server.console_links(runs["v1"][0], runs["v2"][0])
        computed = {key: run_figures(datapoints, recorded) for key, (_, recorded) in runs.items()}
        for other_faults, other_links in (
            server_demo.run(options.data.resolve(), client, computed),
            ab_demo.run(options.data.resolve()),
        ):
            faults, links = faults + other_faults, links | other_links
    if faults:
        say(f"{len(faults)} figures of the server differ from those computed here:")
        for line in faults[:40]:
            say(f"  {line}", markup=False)
        say(f"The platform is stopped; its data stays in {options.data}.")
        return 1
    figures = count_figures(served) + count_figures(comparison) * len(AGGREGATES)
    say(f"All {figures} figures of the server equal those computed here ({time.monotonic() - started:.0f} s).\n")
    print_farewell(options.data.resolve(), links)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NotReady, ab_demo.CommandFailed) as error:
        sys.exit(str(error))
