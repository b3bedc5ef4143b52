"""The recordings of the real engine, replayed against a host: every reply, state, history and payload shape.

`HOST_URL=http://…` puts any other host to the same test; `tests/conformance/app`, which it serves, has the recorded app in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import given_url
from tests.conformance.target import WEB_HOOK
from tests.devhost.durable.rig import fresh_hub
from tests.devhost.shell.support import running

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]

GOLDEN = Path(__file__).parent / "golden"
PARTS = 6
"""Scenarios are driven side by side; most of their time is waiting."""


def drive(base: str, out: Path, run: str, code: str = "KEY") -> None:
    names = list(json.loads((GOLDEN / "replies.json").read_text()))
    environment = {**os.environ, "SCENARIO_QUERY": f"code={code}", "SCENARIO_RUN": run}
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


def compare_cut_alike(recorded: Path, observed: Path) -> int:
    """Compares episodes that were cut at the same place member by member, `IsPlayed` and all; returns how many there were.

    Where an episode is cut depends on timing, so only those count whose histories have the same events under the same numbers.
    """
    members = ("IsPlayed", "Generation", "Version", "Tags", "Input", "Name", "FailureDetails")  # whose result came first is a race

    def episodes(folder: Path, name: str) -> list[dict[str, Any]]:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
        return [episode["given"] for episode in found if episode["kind"] == "orchestrator"]

    def cut(given: dict[str, Any]) -> list[tuple[int, int]]:
        return [(event["EventType"], event["EventId"]) for event in given["history"]]

    def shown(given: dict[str, Any]) -> list[Any]:
        events = [{name: event.get(name) for name in members if not _is_random(event, name)} for event in given["history"]]
        return [given["isReplaying"], given["input"], given["parentInstanceId"], *events]

    alike = 0
    for path in sorted(observed.glob("*.json")):
        if not (recorded / path.name).exists() or path.stem == "o_same_child":  # which of the two is first is a race there
            continue
        expected = episodes(recorded, path.name)
        for given in episodes(observed, path.name):
            same = [other for other in expected if cut(other) == cut(given) and other["instanceId"] == given["instanceId"]]
            if same:
                assert shown(given) in [shown(other) for other in same], f"{path.name}: {shown(given)}\nrecorded: {shown(same[0])}"
                alike += 1
    return alike


def _is_random(event: dict[str, Any], name: str) -> bool:
    """Requests and replies of entities hold ids and times."""
    return event["EventType"] in (14, 15) and name in ("Input", "Name") and "$type" in str(event.get("Input"))


def test_replies_and_episodes_are_the_real_engines(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = f"r{int(time.time())}"
    if given_url():
        target = request.getfixturevalue("target")  # which skips when the host serves another app
        drive(f"{target.base}{WEB_HOOK}", tmp_path, run, target.code)
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
    alike = compare_cut_alike(GOLDEN / "episodes", tmp_path / "episodes")
    assert alike > 100, alike
