"""The main job beside its floor: the year of flights in a plain loop, and by Tidemill, measured in turns on the same machine.

    python benchmarks/main_job.py [--rounds N] [--api http://127.0.0.1:7071]

Every round runs the plain loop and the in-process executor, each in a new process that first imports what it needs and then takes the time from
reading the source files to the last byte written; the executor starts on an empty folder. With `--api`, a round also runs the job durably
on the app at that address, every unit made anew, and takes the time from the request to the finished run as the app records it.
Prints one JSON object: the quickest of each, and what each takes for one second of the plain loop.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]

_IN_PROCESS = """
import json, sys, tempfile, time
from datetime import UTC, datetime
from pathlib import Path

from tidemill.execution.local import apply_local
from tidemill.execution.runtime import Runtime
from tidemill.model.runs import RunRequest

with tempfile.TemporaryDirectory() as folder:
    runtime = Runtime.local(Path.cwd(), Path(folder))
    runtime.graph
    started = time.perf_counter()
    result = apply_local(runtime, RunRequest(run_id="benchmark", selection="flights/*", requested_at=datetime.now(UTC)), threads=int(sys.argv[1]))
    seconds = time.perf_counter() - started
    assert result.status == "succeeded", result
    print(json.dumps(seconds))
"""


def plain_loop() -> float:
    """Seconds of one pass of the plain loop."""
    return float(_json(["benchmarks/plain_loop.py"])["total_seconds"])


def in_process(threads: int) -> float:
    """Seconds of one `tidemill apply --local` on an empty folder, without loading the definitions."""
    return float(_json(["-c", _IN_PROCESS, str(threads)]))


def durable(api: str) -> float:
    """Seconds of one durable run in which every unit is made anew, as the client sees it."""
    with httpx.Client(base_url=api, timeout=60) as client:
        started = time.perf_counter()
        accepted = client.post("/api/runs", json={"selection": "flights/*", "rerun": True}).raise_for_status()
        while True:
            answer = client.get(accepted.headers["Location"]).raise_for_status()
            if answer.status_code == httpx.codes.OK:
                break
            time.sleep(0.1)
        seconds = time.perf_counter() - started
    run = answer.json()
    if run["status"] != "succeeded":
        raise SystemExit(f"Run {run.get('run_id')} ended as {run['status']}; nothing was measured.")
    return seconds


def _json(arguments: list[str]) -> Any:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    """Measures in turns, so that whatever else the machine does falls on all of them."""
    parser = argparse.ArgumentParser(description="The main job beside a plain loop over the same transforms.")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds; the quickest of each counts (default 3)")
    parser.add_argument("--api", metavar="URL", help="a running app, for the durable run")
    options = parser.parse_args()
    api: str | None = options.api
    ways: dict[str, Callable[[], float]] = {
        "plain_loop": plain_loop,
        "in_process_1_thread": lambda: in_process(1),
        "in_process_2_threads": lambda: in_process(2),
    }
    if api:
        ways["durable"] = lambda: durable(api)
    rounds = [{name: way() for name, way in ways.items()} for _ in range(options.rounds)]
    seconds = {name: min(each[name] for each in rounds) for name in ways}
    floor = seconds["plain_loop"]
    print(
        json.dumps(
            {
                "seconds": {name: round(value, 3) for name, value in seconds.items()},
                "for_one_second_of_the_plain_loop": {name: round(value / floor, 2) for name, value in seconds.items()},
                "rounds": options.rounds,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
