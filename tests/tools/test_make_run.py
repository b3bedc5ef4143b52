"""The whole thing as a newcomer starts it, on a state folder of its own: the main job, a crash in its middle, and the next start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.app import App
from tools.stack.state import StateFolder

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ("bronze.flights", "silver.flights", "gold.carrier_month", "gold.route_day", "gold.airport_delay", "gold.delay_report")
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


class MakeRun:
    """`make run` without make: the launcher, its output line by line, and the stack it started."""

    def __init__(self, state: Path, *arguments: str) -> None:
        self.state = StateFolder(state)
        self.said = ""
        words = [sys.executable, "-u", "-m", "tools.stack", "--state", str(state), *arguments]
        self.launcher = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def until(self, words: str) -> None:
        assert self.launcher.stdout is not None
        for line in self.launcher.stdout:
            self.said += line
            if words in line:
                return
        raise AssertionError(f"it ended without saying {words!r}:\n{self.said}")

    def end(self) -> int:
        rest, _ = self.launcher.communicate(timeout=120)
        self.said += rest
        return self.launcher.returncode

    def kill(self, name: str) -> None:
        stack = self.state.read()
        assert stack is not None
        os.kill(next(each.pid for each in stack.processes if each.name == name), signal.SIGKILL)

    def app(self) -> App:
        stack = self.state.read()
        assert stack is not None
        return App(stack.url)


@pytest.fixture
def starts() -> Iterator[list[MakeRun]]:
    made: list[MakeRun] = []
    yield made
    for each in made:
        if each.launcher.poll() is None:
            each.launcher.terminate()
            each.end()


def test_a_crash_in_the_middle_of_the_main_job_loses_nothing(tmp_path: Path, starts: list[MakeRun]) -> None:
    state = tmp_path / "state"

    starts.append(first := MakeRun(state))
    first.until("/61 units")
    first.kill("the host")
    assert first.end() == 1, first.said
    assert "The host (devhost) ended unexpectedly (killed by SIGKILL), so everything was stopped." in first.said
    assert "succeeded" not in first.said
    assert "Traceback" not in first.said

    starts.append(second := MakeRun(state))
    second.until("Running. Ctrl-C stops it")
    assert "going on with the run that an earlier start left unfinished" in second.said
    assert "succeeded" in second.said
    assert "tidemill show gold.delay_report" in second.said
    app = second.app()
    with app.http:
        [run] = app.http.get("/runs").json()["runs"]
        recovered = app.versions(*ASSETS)
        assert len(recovered) == 61
        # Everything once more, undisturbed, from nothing but the sources.
        assert app.run("flights/*", rerun=True)["status"] == "succeeded"
        assert app.versions(*ASSETS) == recovered
    second.launcher.send_signal(signal.SIGINT)
    assert second.end() == 0, second.said

    starts.append(third := MakeRun(state, "--detach"))
    assert third.end() == 0, third.said
    assert run["run_id"] not in third.said
    assert "up to date" in third.said
