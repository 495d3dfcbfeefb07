"""What the operator of the tests registered: targets and evaluators that behave well, badly and worse."""

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from experiments import evaluator


def shout(inputs, mark="!"):
    print("noise on the standard output")
    return {"said": inputs["q"].upper() + mark}


def whole(datapoint):
    return datapoint


async def later(inputs, ground_truth):
    await asyncio.sleep(0)
    return [inputs["q"], ground_truth]


def environment(inputs):
    return sorted(name for name in os.environ if name.startswith("HHWEB_"))


def process(inputs):
    return os.getpid()


def forever(inputs):
    while True:
        pass


def sleeps(inputs):
    time.sleep(60)


def in_c(inputs):
    """Never lets go of the interpreter."""
    return bool(re.match(r"(a+)+$", "a" * 60 + "b"))


def parent(inputs):
    """Starts a process of its own, says which, and hangs."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(inputs["file"]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(60)


def dies(inputs):
    os.abort()


def leaves(inputs):
    sys.exit(3)


def fails(inputs):
    raise ValueError("a bad question")


class Busy(Exception):
    is_transient = True
    retry_after_seconds = 7


def busy(inputs):
    raise Busy("come back later")


def unreachable(inputs):
    raise ConnectionError("no way")


def odd(inputs):
    return {"nan": float("nan"), "set": {1}, "bytes": b"x"}


def large(inputs):
    return "x" * 70_000_000


def traced(inputs, tracer):
    return None


@evaluator(weight=2)
def length(outputs, least=0):
    return {"score": len(outputs["said"]) >= least, "explanation": "counted", "count": len(outputs["said"])}


def against(outputs, inputs, ground_truth):
    return 1.0 if outputs == ground_truth else 0.0


def taken(outputs):
    return {"score": 1, "count": 2}


def no_score(outputs):
    return float("nan")
