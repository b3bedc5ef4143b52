"""`make run` from the outside: a real Azurite, a small program in place of Microsoft's `func`, and another in place of the main job."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.stack import Host, HostKind, StackError
from tools.stack import host as host_module
from tools.stack.azurite import answers
from tools.stack.ports import choose
from tools.stack.state import Process, Stack, StateFolder

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.e2e

FAKE_FUNC = f"""#!{sys.executable}
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()
    def log_message(self, *_): pass
def stop(*_):
    print("stopped in good order", flush=True)
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
if os.environ.get("BROKEN_APP"):
    sys.exit("function_app.py, line 3: no module named pandaas")
assert os.environ["AzureWebJobsStorage"].startswith("DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;")
assert sys.argv[1:3] == ["start", "--port"]
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Handler).serve_forever()
"""

DRIVER = """
import pathlib, sys
from tools.stack import launcher
script, *arguments = sys.argv[1:]
launcher.job_command = lambda job, url, key: [sys.executable, "-u", "-c", script, job, url, key]
sys.exit(launcher.main(arguments))
"""


@dataclass
class Stage:
    """One state folder, and the launchers a test starts on it."""

    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def state(self) -> StateFolder:
        return StateFolder(self.folder / "state")

    def start(self, job: str = "print('done', *sys.argv[1:])", *arguments: str) -> subprocess.Popen[str]:
        words = [
            sys.executable,
            "-u",
            "-c",
            DRIVER,
            f"import sys, time\n{job}",
            "--host",
            "func",
            "--state",
            str(self.folder / "state"),
            *arguments,
        ]
        launcher = subprocess.Popen(words, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.started.append(launcher)
        return launcher

    def run(self, job: str = "print('done', *sys.argv[1:])", *arguments: str) -> tuple[int, str]:
        """Start with --detach and wait; exit code and everything it printed."""
        launcher = self.start(job, "--detach", *arguments)
        said, _ = launcher.communicate(timeout=60)
        return launcher.returncode, said

    def stack(self) -> Stack:
        """The running stack, once its app is healthy."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            stack = self.state.read()
            if stack is not None and stack.url:
                return stack
            time.sleep(0.05)
        raise AssertionError("the stack did not come up")

    def process(self, name: str) -> Process:
        return next(each for each in self.stack().processes if each.name == name)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    func = tmp_path / "bin" / "func"
    func.parent.mkdir()
    func.write_text(FAKE_FUNC, encoding="utf-8")
    func.chmod(0o755)
    stage = Stage(tmp_path, {**os.environ, "PATH": f"{func.parent}:{os.environ['PATH']}"})
    yield stage
    for launcher in stage.started:
        if launcher.poll() is None:
            launcher.terminate()
        launcher.communicate(timeout=30)


def says(launcher: subprocess.Popen[str], words: str) -> str:
    """Read until the launcher has said these words; everything up to there."""
    assert launcher.stdout is not None
    said = ""
    for line in launcher.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"ended without saying {words!r}:\n{said}")


def gone(*processes: Process) -> bool:
    deadline = time.monotonic() + 10
    while any(each.is_alive() for each in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(each.is_alive() for each in processes)


def test_only_a_job_without_an_outcome_is_followed_by_the_next_start_and_everything_stops(stage: Stage) -> None:
    keep = f"open({str(stage.folder / 'keys')!r}, 'a').write(sys.argv[3] + ' ')\nprint('job:', *sys.argv[1:3])\n"
    code, _ = stage.run(keep + "sys.exit(1)")
    assert code == 1  # it failed: an outcome
    code, said = stage.run(keep + "sys.exit(3)")
    assert code == 3
    assert "going on with the run" not in said
    code, said = stage.run(keep)
    assert code == 0
    assert "going on with the run that an earlier start left unfinished" in said
    code, said = stage.run(keep)
    assert code == 0, said
    assert "job: flights/* http://127.0.0.1:" in said
    assert "Where to look" in said
    assert "Stopping, because of DETACH=1." in said
    failed, broken_off, followed, new = (stage.folder / "keys").read_text(encoding="utf-8").split()
    assert broken_off == followed
    assert len({failed, followed, new}) == 3
    assert stage.state.read() is None
    assert "stopped in good order" in (stage.state.logs / "host.log").read_text(encoding="utf-8")


def test_ctrl_c_stops_a_resting_stack_in_good_order(stage: Stage) -> None:
    launcher = stage.start()
    says(launcher, "Running. Ctrl-C stops it")
    stack = stage.stack()
    launcher.send_signal(signal.SIGINT)
    said, _ = launcher.communicate(timeout=30)
    assert (launcher.returncode, said) == (0, "\nStopping.\n")
    assert gone(*stack.processes)
    assert not answers(int(stack.url.rpartition(":")[2]))


def test_ctrl_c_in_the_middle_of_the_job_keeps_its_key(stage: Stage) -> None:
    launcher = stage.start("print('working'); time.sleep(60)")
    says(launcher, "working")
    launcher.send_signal(signal.SIGINT)
    said, _ = launcher.communicate(timeout=30)
    assert (launcher.returncode, said) == (130, "\nStopped. `make run` goes on from here.\n")
    assert stage.state.job_key()[1] is True


def test_a_second_start_in_the_same_checkout_is_refused_and_another_checkout_runs_beside_it(stage: Stage) -> None:
    launcher = stage.start()
    says(launcher, "Running.")
    first = stage.stack()
    code, said = stage.run()
    assert code == 1
    assert said.strip().startswith(f"Tidemill already runs in this checkout: {first.url} (process {launcher.pid}). ")
    other = Stage(stage.folder / "other", stage.environment, stage.started)
    port = first.url.rpartition(":")[2]
    code, said = other.run("", "--port", port)
    assert code == 1
    assert said.strip().endswith(
        f"Port {port} is taken by another program. Choose another (`make run PORT=...`), or leave PORT out to get a free one."
    )
    says(other.start(), "Running.")
    second = other.stack()
    assert first.url != second.url
    assert first.connection_string != second.connection_string


@pytest.mark.parametrize("name", ["the host", "Azurite"])
def test_a_part_that_dies_stops_the_rest_with_one_sentence(name: str, stage: Stage) -> None:
    launcher = stage.start("print('working'); time.sleep(60)")
    says(launcher, "working")
    stack = stage.stack()
    os.kill(stage.process(name).pid, signal.SIGKILL)
    said, _ = launcher.communicate(timeout=30)
    assert launcher.returncode == 1
    full_name = "The host (func)" if name == "the host" else "Azurite"
    assert said.strip().startswith(
        f"{full_name} ended unexpectedly (killed by SIGKILL), so everything was stopped. Nothing that was committed is lost"
    )
    assert "Traceback" not in said
    assert gone(*stack.processes)


def test_a_killed_launcher_leaves_nothing_that_hinders_the_next(stage: Stage) -> None:
    launcher = stage.start("print('working'); time.sleep(60)")
    says(launcher, "working")
    stack = stage.stack()
    launcher.kill()
    launcher.wait()
    code, said = stage.run()
    assert code == 0, said
    assert gone(*stack.processes)
    assert "going on with the run" in said


def test_an_app_that_does_not_load_is_told_in_its_own_words(stage: Stage) -> None:
    stage.environment["BROKEN_APP"] = "1"
    code, said = stage.run()
    assert code == 1
    assert (
        "The app did not start; the host (func) ended with exit code 1 and said:\n    function_app.py, line 3: no module named pandaas"
        in said
    )
    assert "Traceback" not in said


def test_func_that_is_not_installed_is_one_sentence(stage: Stage) -> None:
    (stage.folder / "bin" / "func").unlink()
    code, said = stage.run()
    assert code == 1
    assert "HOST=func needs Azure Functions Core Tools, and there is no `func` on the PATH." in said


def test_a_port_that_was_asked_for_is_used(stage: Stage) -> None:
    port = choose(0)
    code, said = stage.run("print('at', sys.argv[2])", "--port", str(port))
    assert code == 0
    assert f"at http://127.0.0.1:{port}\n" in said


def test_a_port_lost_at_the_last_moment_is_replaced_unless_it_was_asked_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", stage.environment["PATH"])
    storage = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        lost = taker.getsockname()[1]
        offers = iter([lost, choose(0)])
        monkeypatch.setattr(host_module, "choose", lambda _: next(offers))
        with Host.start(connection_string=storage, log=stage.folder / "host.log", kind=HostKind.FUNC, app=stage.folder) as host:
            assert host.port not in {0, lost}
        with pytest.raises(StackError, match=f"^Port {lost} is taken by another program"):
            Host.start(connection_string=storage, log=stage.folder / "host.log", kind=HostKind.FUNC, app=stage.folder, port=lost)
