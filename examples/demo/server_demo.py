"""The demo's experiments on the server: both variants as registered callables, executed by its workers.

Their figures must be those of the same functions in `evaluate()`, metric by metric.
"""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from examples.demo import extract_v1, extract_v2
from examples.demo.ab_demo import CommandFailed, say
from examples.demo.figures import differences

HERE = Path(__file__).resolve().parent
DATASET = "facts"
# What the operator of the demo's platform lets experiments call.
SETTINGS = {
    "HHWEB_CALLABLES": ",".join(
        [
            "facts-v1=examples.demo.server_demo:facts_v1",
            "facts-v2=examples.demo.server_demo:facts_v2",
            "f1=examples.demo.evaluators:f1",
            "exact=examples.demo.evaluators:exact",
        ]
    )
}
METRICS = ("exact", "f1", "f1_missed")
Facts = dict[str, list[str]]


def facts_v1(inputs: dict[str, str]) -> Facts:
    """The first variant over one message."""
    return {kind: find(inputs["text"], inputs["sent"]) for kind, find in extract_v1.FINDERS.items()}


def facts_v2(inputs: dict[str, str]) -> Facts:
    """The careful variant over one message."""
    return {kind: find(inputs["text"], inputs["sent"]) for kind, find in extract_v2.FINDERS.items()}


def hhweb(data: Path, *arguments: str) -> str:
    """What a client's command prints, against the platform that runs on `data`."""
    command = [sys.executable, "-m", "hhweb.cli", *arguments, "--data", str(data)]
    done = subprocess.run(
        command, cwd=HERE.parents[1], stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False
    )
    if done.returncode != 0:
        raise CommandFailed(f"hhweb {' '.join(arguments)} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def run(data: Path, client: Any, computed: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Both variants: what differs from `computed` (figures by variant), and the console's pages."""
    from examples.demo import served

    say("The same two functions, executed by the server's workers:")
    say(hhweb(data, "datasets", "push", str(HERE / "datapoints.jsonl"), "--name", DATASET).rstrip())
    faults: list[str] = []
    links: dict[str, str] = {}
    run_ids: dict[str, str] = {}
    for key in ("v1", "v2"):
        arguments = ["--dataset", DATASET, "--watch", "--allow-failures", "--json"]
        if key == "v2":
            arguments += ["--baseline", run_ids["v1"]]
        said = json.loads(hhweb(data, "experiments", "start", str(HERE / "server" / f"facts-{key}.yaml"), *arguments))
        run_ids[key] = said["experiment"]["run_id"]
        theirs = served.run_figures(client, run_ids[key])
        ours = computed[key]
        for metric in METRICS:
            for part in ("values", "aggregates"):
                expected, found = ours["metrics"][metric][part], theirs["metrics"][metric][part]
                faults += [f"{key} on the server, {metric}: {line}" for line in differences(expected, found)]
        counts = (len(theirs["datapoints"]), sum(1 for row in theirs["datapoints"].values() if row["scores"]))
        expected_counts = (len(ours["datapoints"]), sum(1 for row in ours["datapoints"].values() if row["scores"]))
        if counts != expected_counts:
            faults.append(f"{key} on the server: {counts} datapoints and scored ones, {expected_counts} here")
        say(f"  variant {key[1]}: {counts[0]} datapoints, {counts[0] - counts[1]} raised, figures as with evaluate()")
    links["comparison of the server's runs"] = (
        f"/console/runs/compare/?baseline={run_ids['v1']}&candidate={run_ids['v2']}"
    )
    say("Is variant 2 really better?")
    for metric in comparison(data, run_ids["v2"], run_ids["v1"])["metrics"]:
        say(f"  {metric['statistics']['sentence']}")
    say("")
    return faults, links


def comparison(data: Path, new: str, old: str) -> dict[str, Any]:
    """The native API's comparison, statistics included."""
    known = json.loads((data / "credentials.json").read_text())
    request = urllib.request.Request(
        f"{known['url']}/api/v1/runs/{new}/compare/{old}", headers={"Authorization": f"Bearer {known['api_key']}"}
    )
    # Straight to the platform, whatever proxy the shell names.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
