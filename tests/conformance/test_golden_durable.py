"""The recordings of the real engine, replayed against a host: every reply, state, history and payload shape.

`HOST_URL=http://… ` puts any other host that serves `golden/function_app.py` to the same test.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.devhost.durable.rig import fresh_hub
from tests.devhost.shell.support import running

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

GOLDEN = Path(__file__).parent / "golden"
PARTS = 6
"""Scenarios are driven side by side; most of their time is waiting."""


def drive(base: str, out: Path, run: str) -> None:
    names = list(json.loads((GOLDEN / "replies.json").read_text()))
    environment = {**os.environ, "SCENARIO_QUERY": "code=KEY", "SCENARIO_RUN": run}
    drivers = []
    for part in range(PARTS):
        command = [sys.executable, str(GOLDEN / "drive.py"), base, str(out / f"part{part}.json"), *names[part::PARTS]]
        drivers.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    for driver in drivers:
        said, _ = driver.communicate(timeout=300)
        assert driver.returncode == 0, said.decode()
    found: dict[str, object] = {}
    for part in range(PARTS):
        found |= json.loads((out / f"part{part}.json").read_text())
    (out / "replies.json").write_text(json.dumps(found))


def compare(kind: str, expected: Path, observed: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(GOLDEN / "compare.py"), kind, str(expected), str(observed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_replies_and_episodes_are_the_real_engines(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = f"r{int(time.time())}"
    if url := os.environ.get("HOST_URL"):
        drive(f"{url.rstrip('/')}/runtime/webhooks/durabletask", tmp_path, run)
        compare("replies", GOLDEN / "replies.json", tmp_path / "replies.json")
        return
    storage = request.getfixturevalue("storage")
    app, trace = tmp_path / "app", tmp_path / "trace.jsonl"
    app.mkdir()
    for name in ("function_app.py", "tracing.py"):
        shutil.copy(GOLDEN / name, app)
    host_json = {"version": "2.0", "extensions": {"durableTask": {"hubName": fresh_hub(), "maxConcurrentActivityFunctions": 20}}}
    (app / "host.json").write_text(json.dumps(host_json))
    settings = {"AzureWebJobsStorage": storage, "SCENARIO_TRACE": str(trace), "SCENARIO_COUNTS": str(tmp_path / "counts")}
    with running(app, settings=settings) as host:
        drive(f"http://127.0.0.1:{host.port}/runtime/webhooks/durabletask", tmp_path, run)
    compare("replies", GOLDEN / "replies.json", tmp_path / "replies.json")
    subprocess.run(
        [sys.executable, str(GOLDEN / "episodes.py"), str(trace), run, str(tmp_path / "episodes")], check=True, capture_output=True
    )
    compare("episodes", GOLDEN / "episodes", tmp_path / "episodes")
