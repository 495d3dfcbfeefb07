"""The demo as `make demo` runs it: a bare environment, no terminal, no repository around it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.process
def test_demo_agrees_with_the_server_and_stops_the_platform(server_folder):
    data = server_folder / "demo"
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo" / "run_demo.py"), "--data", str(data)],
        cwd=server_folder,
        env={"PATH": os.environ["PATH"], "TERM": "dumb", "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=480,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    assert re.search(r"All \d+ figures of the server equal those computed here", ended.stdout)
    assert "raised, therefore failed and without scores: EXT-delivery-03, EXT-invoice-09" in ended.stdout
    assert "variant 1: 68 datapoints, 2 raised, figures as with evaluate()" in ended.stdout
    assert re.search(r"variant 2 beats facts on the server, variant 1 by 0\.\d+ f1 \[", ended.stdout), ended.stdout[
        -6000:
    ]
    assert re.search(r"^hybrid beats bm25 by 0\.\d+ nDCG@10", ended.stdout, re.M), ended.stdout[-6000:]
    assert re.search(r"^more-vectors( beats| loses to|: undecided)", ended.stdout, re.M)
    assert "The second test made 0 new embeddings." in ended.stdout
    assert ended.stdout.count("  (A/B test hhweb-docs") == 2
    assert f"make up DATA={data}" in ended.stdout
    assert (data / "credentials.json").stat().st_mode & 0o777 == 0o600
    left = subprocess.run(["pgrep", "-f", str(data)], capture_output=True, text=True, check=False).stdout
    assert left == "", f"processes of the demo still run: {left}"
