"""The two ways to carry out a plan, asked in the same words: the durable one over HTTP, and the in-process one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.app import App
from tools.bootstrap import ROOT


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one run did."""

    status: str
    executed: frozenset[str]
    """Units whose current version this run computed."""
    unchanged: int
    """Units that were cut off."""
    changed: int
    """Units whose catalog entry its commit changed."""
    versions: Mapping[str, str]
    """What its branch holds afterwards: data version by unit."""
    activities: Mapping[str, int] = field(default_factory=dict)
    """From the durable history: how often each activity was executed."""
    outcomes: int = 0
    """From the durable history: units that activities brought an outcome of."""


class DurablePath:
    """A running app."""

    def __init__(self, app: App) -> None:
        self.app = app

    def run(self, selection: str = "flights/*", **request: Any) -> Ran:
        """Starts a run, follows it to its end and looks at what it left."""
        view = self.app.run(selection, **request)
        branch = {"branch": request["branch"]} if "branch" in request else {}
        versions: dict[str, str] = {}
        executed: set[str] = set()
        for asset in self.app.http.get("/assets", params=branch).json()["assets"]:
            reply = self.app.http.get(f"/assets/{asset['key']}/partitions", params={"limit": 200, **branch})
            for each in reply.json()["partitions"]:
                unit = f"{asset['key']}@{each['partition']}".removesuffix("@")
                versions[unit] = each["data_version"]
                if each["run_id"] == view["run_id"]:
                    executed.add(unit)
        assert len(executed) == view["units"]["succeeded"], view
        done = self._executed(view["run_id"])
        return Ran(
            status=view["status"],
            executed=frozenset(executed),
            unchanged=view["units"]["unchanged"],
            changed=view["changed"],
            versions=versions,
            activities=Counter(each["FunctionName"] for each in done),
            outcomes=sum(_outcomes(each["Result"]) for each in done if each["FunctionName"] == "materialize_units"),
        )

    def _executed(self, run: str) -> list[dict[str, Any]]:
        """Every execution of an activity for a run, from the history that the engine keeps of it."""
        asked = {"showHistory": "true", "showHistoryOutput": "true"}
        reply = httpx.get(f"{self.app.url}/runtime/webhooks/durabletask/instances/{run}", params=asked, timeout=60)
        events = reply.json()["historyEvents"]
        kinds = Counter(each["EventType"] for each in events)
        assert kinds["ExecutionStarted"] == kinds["ExecutionCompleted"] == 1, kinds
        assert "TaskFailed" not in kinds, events
        return [each for each in events if each["EventType"] == "TaskCompleted"]

    def branch(self, name: str) -> None:
        """Makes a branch of main."""
        assert self.app.http.post("/branches", json={"name": name, "author": "ada"}).status_code == 201

    def merge(self, name: str) -> int:
        """Merges a branch into main; how many units that changed."""
        reply = self.app.http.post(f"/branches/{name}/merge", json={"author": "ada"})
        assert reply.status_code == 200, reply.text
        return int(reply.json()["changed"])


def _outcomes(result: Any) -> int:
    """How many units the reply of `materialize_units` speaks of."""
    reply = json.loads(result) if isinstance(result, str) else result
    return len(reply["body"]["outcomes"])


class InProcessPath:
    """`tests.e2e.in_process` over a folder, in a process that stays."""

    def __init__(self, project: Path, store: Path, settings: Mapping[str, str]) -> None:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.in_process", str(project), str(store)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate(timeout=30)

    def run(self, selection: str = "flights/*", **request: Any) -> Ran:
        """Carries out a run and looks at what it left."""
        done = self._ask({"do": "run", "request": {"selection": selection, **request}})
        assert len(done["executed"]) == done.pop("units")
        return Ran(**{**done, "executed": frozenset(done["executed"])})

    def branch(self, name: str) -> None:
        """Makes a branch of main."""
        self._ask({"do": "branch", "name": name})

    def merge(self, name: str) -> int:
        """Merges a branch into main; how many units that changed."""
        return int(self._ask({"do": "merge", "name": name})["changed"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "the in-process path ended; its last words are above"
        answer: dict[str, Any] = json.loads(line)
        return answer
