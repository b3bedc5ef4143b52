"""The pieces of the local stack: ports, children, the state folder. No Azurite and no host here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.stack.child import Child, StackError, describe_exit
from tools.stack.ports import choose, is_free
from tools.stack.state import Process, Stack, StateFolder

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def wait_for(condition: object, seconds: float = 10) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def child(tmp_path: Path, code: str) -> Child:
    return Child(
        "the sleeper", [sys.executable, "-u", "-c", code], log=tmp_path / "log" / "child.log", environment=dict(os.environ), folder=tmp_path
    )


# Ports


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_a_preferred_port_is_taken_if_it_is_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert choose(port) not in {0, port}
    assert choose(port) == port


# Children


def test_a_child_is_asked_to_end_and_says_how_it_did(tmp_path: Path) -> None:
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('up')\ntime.sleep(60)"
    with child(tmp_path, code) as sleeper:
        assert wait_for(lambda: "up" in sleeper.tail())
    assert sleeper.how_it_ended() == "exit code 7"
    sleeper.stop()


def test_a_child_that_will_not_end_is_ended(tmp_path: Path) -> None:
    stubborn = child(tmp_path, "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up')\ntime.sleep(60)")
    assert wait_for(lambda: "up" in stubborn.tail())
    stubborn.stop(patience_seconds=0.2)
    assert stubborn.how_it_ended() == "killed by SIGKILL"


def test_what_a_child_left_running_ends_with_it(tmp_path: Path) -> None:
    parent = child(tmp_path, f"import subprocess\nprint(subprocess.Popen({SLEEP!r}).pid)\nimport time; time.sleep(60)")
    assert wait_for(lambda: parent.tail().strip().isdigit())
    grandchild = Process.of("grandchild", int(parent.tail().strip()))
    assert grandchild.is_alive()
    parent.stop()
    assert wait_for(lambda: not grandchild.is_alive())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent; elsewhere the next start does")
def test_a_child_does_not_outlive_a_launcher_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, time\nfrom tools.stack.child import Child\n"
        f"child = Child('c', {SLEEP!r}, log=pathlib.Path({str(tmp_path / 'c.log')!r}), environment=dict(os.environ), folder=pathlib.Path('/'))\n"
        "print(child.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as launcher:
        assert launcher.stdout is not None
        orphan = Process.of("orphan", int(launcher.stdout.readline()))
        assert orphan.is_alive()
        launcher.kill()
    assert wait_for(lambda: not orphan.is_alive())


def test_a_program_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"^the host could not be started: No such file or directory \(/no/such/program\)\.$"):
        Child("the host", ["/no/such/program"], log=tmp_path / "log", environment={}, folder=tmp_path)


def test_the_tail_is_the_last_lines_that_say_something(tmp_path: Path) -> None:
    talker = child(tmp_path, "print('one\\n\\ntwo\\nthree')")
    assert wait_for(lambda: talker.exit_code == 0)
    assert talker.tail(2) == "    two\n    three\n"
    talker.stop()


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL"), (-200, "killed by signal 200")]
)
def test_exits_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


# The state folder


def test_one_launcher_at_a_time(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    with state.alone():
        with pytest.raises(StackError, match=r"^Another `make run` is just starting in this checkout"), state.alone():
            pytest.fail("two launchers in one checkout")
        state.write(Stack(4711, "http://127.0.0.1:7071", "secretless"))
        sentence = (
            "Tidemill already runs in this checkout: http://127.0.0.1:7071 (process 4711). "
            "Use it, or stop it with Ctrl-C there or `kill 4711`. Another checkout can run beside it."
        )
        with pytest.raises(StackError) as caught, state.alone():
            pytest.fail("two launchers in one checkout")
        assert str(caught.value) == sentence
    with state.alone():
        pass


def test_a_killed_launcher_holds_nothing(tmp_path: Path) -> None:
    code = f"from tools.stack.state import *\nwith StateFolder(Path({str(tmp_path)!r})).alone(): print('in', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "in\n"
        with pytest.raises(StackError), StateFolder(tmp_path).alone():
            pass
        launcher.kill()
    with StateFolder(tmp_path).alone():
        pass


def test_leftovers_are_ended_and_strangers_are_not(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    with subprocess.Popen(SLEEP, start_new_session=True) as leftover, subprocess.Popen(SLEEP) as stranger:
        ours = Process.of("Azurite", leftover.pid)
        # A number that now belongs to somebody else: same pid as a living process, another start time.
        reused = Process("the host", stranger.pid, "0")
        state.write(Stack(1, "http://127.0.0.1:7071", "secretless", [reused, ours]))
        assert state.end_leftovers() == ["Azurite"]
        assert leftover.wait(timeout=5) == -signal.SIGTERM
        assert stranger.poll() is None
        assert state.read() is None
        stranger.kill()
    assert state.end_leftovers() == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"launcher": 1}', '{"launcher":1,"url":"","connection_string":"","processes":[{"pid":1}]}']
)
def test_an_unreadable_record_is_no_record(text: str, tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(text, encoding="utf-8")
    assert StateFolder(tmp_path).read() is None


def test_the_job_key_stays_until_the_job_has_ended(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    key, again = state.job_key()
    assert again is False
    assert state.job_key() == (key, True)
    state.job_ended()
    other, again = state.job_key()
    assert (other == key, again) == (False, False)
