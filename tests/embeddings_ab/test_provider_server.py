"""The test server itself, as a process of its own: what kill tests count must be written before the answer."""

import hashlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_as_a_process_it_writes_each_text_to_its_log_and_takes_faults(tmp_path):
    log = tmp_path / "calls.jsonl"
    command = [sys.executable, "-m", "tests.embeddings_ab.provider_server", "--port", "0", "--log", str(log)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            body = {"model": "m", "input": ["a text", "b"]}
            assert len(post(f"{url}/v1/embeddings", body)["data"]) == 2
            post(f"{url}/control", {"fail": {"kind": "server_error"}, "change_model": True, "state": {"dimensions": 3}})
            with pytest.raises(urllib.error.HTTPError, match="500"):
                post(f"{url}/v1/embeddings", body)
            again = post(f"{url}/v1/embeddings", body)
            assert again["model"] == "m-2"
            assert len(again["data"][0]["embedding"]) == 3
            with urllib.request.urlopen(f"{url}/control", timeout=60) as answer:
                assert json.load(answer) == {"calls": 3, "texts": 4}
        finally:
            process.kill()
    texts = [hashlib.sha256(text.encode()).hexdigest() for text in body["input"]]
    assert [json.loads(line) for line in log.read_text().splitlines()] == [
        {"path": "/v1/embeddings", "fault": fault, "texts": texts} for fault in ("", "server_error", "")
    ]
