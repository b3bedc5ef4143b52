"""kill -9 of the host or of a worker in the middle of the main job: after a new start the run finishes by itself, with the same versions."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.app import App
from tests.e2e.conftest import KIND
from tests.e2e.test_main_job import MADE, OBSERVED
from tools.stack import Azurite, Host, HostKind

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def undisturbed(app: App) -> dict[str, str]:
    """What an undisturbed run makes."""
    assert app.run("flights/*")["status"] == "succeeded"
    return app.versions(*MADE, *OBSERVED)


def wait_for_units(app: App, run: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        reply = app.http.get(f"/runs/{run}")
        if reply.status_code == 500 and not reply.content:  # the host's answer to a call whose worker died under it
            continue
        view: dict[str, Any] = reply.json()
        if view["units"]["succeeded"] >= count:
            return
        assert view["status"] in ("pending", "running"), view
        time.sleep(0.05)
    raise AssertionError(f"fewer than {count} units in a minute")


def workers_of(pid: int) -> list[int]:
    """Child processes, from the kernel."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(each) for each in children.read_text().split()] if children.exists() else []
    return found or [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _parent(path) == pid]


def _parent(path: Path) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


@pytest.mark.skipif(KIND is not HostKind.DEVHOST, reason="finds the worker as a child process of the local host")
def test_a_killed_host_and_a_killed_worker_lose_nothing(undisturbed: dict[str, str], logs: Path) -> None:
    with Azurite.start(log=logs / "azurite.log") as azurite:
        storage = azurite.connection_string
        with Host.start(connection_string=storage, log=logs / "host-1.log", kind=KIND) as host, App(host.url) as app:
            run = app.start("flights/*")
            wait_for_units(app, run, 2)
            host.child.kill()
        with Host.start(connection_string=storage, log=logs / "host-2.log", kind=KIND) as host, App(host.url) as app:
            wait_for_units(app, run, 20)
            victims = workers_of(host.child.pid)
            assert victims
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            wait_for_units(app, run, 40)
            host.child.kill()
        with Host.start(connection_string=storage, log=logs / "host-3.log", kind=KIND) as host, App(host.url) as app:
            view = app.wait(run, seconds=120)
            assert view["status"] == "succeeded", view
            assert app.versions(*MADE, *OBSERVED) == undisturbed
            assert len(app.http.get("/runs").json()["runs"]) == 1
