"""Set-up: what it does, what it leaves alone, and what it says when it cannot go on."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from tools import bootstrap
from tools.bootstrap import Checkout, SetupError, npm_environment, require_python, run, set_up, uv_environment
from tools.node import Node, find_node

ROOT = Path(__file__).resolve().parents[2]
LOCKS = (
    "requirements.lock",
    "pyproject.toml",
    "tools/installer.lock",
    "tools/node.lock",
    "tools/azurite/package.json",
    "tools/azurite/package-lock.json",
)


class Recorder:
    """Stands in for the commands of set-up: notes them, and makes the files that they would make."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.commands: list[str] = []

    def __call__(self, _checkout: Checkout, command: list[str], *, what: str, **_: Any) -> None:
        words = " ".join(command[1:])
        self.commands.append(what)
        if "venv" in command:
            self.checkout.python.parent.mkdir(parents=True)
            self.checkout.python.write_text("#!/bin/sh\n", encoding="utf-8")  # content with whatever it is asked to do
            self.checkout.python.chmod(0o755)
            (self.checkout.venv / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
        if command[-1] != "" and " ci " in f" {words} ":
            self.checkout.azurite_program.parent.mkdir(parents=True)
            self.checkout.azurite_program.write_text("", encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    for name in LOCKS:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{name}, first\n", encoding="utf-8")
    node = Node(Path("/usr/bin/node"), ("npm",), "v20.0.0")
    monkeypatch.setattr(bootstrap, "machine_node", lambda: node)
    monkeypatch.setattr(bootstrap, "find_node", lambda _: node)
    monkeypatch.setattr(bootstrap, "_works", lambda python: python.exists())
    return Checkout(tmp_path)


@pytest.fixture
def recorder(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(checkout)
    monkeypatch.setattr(bootstrap, "run", recorder)
    return recorder


def steps(recorder: Recorder) -> list[str]:
    done, recorder.commands = recorder.commands, []
    return done


MAKE_VENV = "the environment .venv could not be made"
PUT_PIP = "pip could not be put into .venv"
PUT_UV = "the installer uv could not be installed"
PUT_PACKAGES = "the Python packages could not be installed"
LINK = "this checkout could not be linked into .venv"
PUT_AZURITE = "Azurite could not be installed"


def test_everything_is_done_once_and_then_nothing(checkout: Checkout, recorder: Recorder) -> None:
    set_up(checkout)
    assert [step for step in steps(recorder) if step != PUT_PIP] == [MAKE_VENV, PUT_UV, PUT_PACKAGES, LINK, PUT_AZURITE]
    set_up(checkout)
    assert steps(recorder) == []


def test_a_changed_lock_renews_only_what_it_locks(checkout: Checkout, recorder: Recorder) -> None:
    set_up(checkout)
    steps(recorder)
    (checkout.root / "requirements.lock").write_text("second\n", encoding="utf-8")
    set_up(checkout)
    assert [step for step in steps(recorder) if step != PUT_PIP] == [PUT_UV, PUT_PACKAGES, LINK]
    shutil.rmtree(checkout.azurite_home / "node_modules")
    set_up(checkout)
    assert steps(recorder) == [PUT_AZURITE]


def test_an_environment_whose_python_is_gone_is_made_again(checkout: Checkout, recorder: Recorder) -> None:
    set_up(checkout)
    steps(recorder)
    shutil.rmtree(checkout.venv / "bin")
    shutil.rmtree(checkout.venv / "lib")
    set_up(checkout)
    assert steps(recorder)[0] == MAKE_VENV


def test_a_node_that_left_the_machine_brings_the_wheel(checkout: Checkout, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(checkout)
    steps(recorder)
    monkeypatch.setattr(bootstrap, "machine_node", lambda: None)
    set_up(checkout)
    assert PUT_PACKAGES in steps(recorder)
    assert json.loads(checkout.stamp.read_text(encoding="utf-8"))["with_node"] is True
    set_up(checkout)
    assert steps(recorder) == []


def test_two_set_ups_at_once_install_once(checkout: Checkout, recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    checkout.state.mkdir()
    with (checkout.state / "setup.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=set_up, args=(checkout,))
        second.start()
        time.sleep(0.2)
        assert recorder.commands == []
    second.join(timeout=60)
    assert PUT_PACKAGES in recorder.commands
    assert "Another set-up of this checkout is running; waiting for it." in capsys.readouterr().out


def test_an_old_python_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    version = namedtuple("version", "major minor micro releaselevel serial")  # noqa: PYI024 - the shape of sys.version_info
    monkeypatch.setattr(sys, "version_info", version(3, 9, 18, "final", 0))
    with pytest.raises(SetupError, match=r"^this is Python 3\.9\.18 and Tidemill needs 3\.11 or newer\. Point to one with `make PYTHON="):
        require_python()


def test_a_python_without_ensurepip_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name == "ensurepip" else ModuleSpec(name, None)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(SetupError, match=r"lacks the module ensurepip.*`apt install python3-venv`"):
        require_python()


def test_a_missing_lock_names_the_way_back(checkout: Checkout, recorder: Recorder) -> None:
    (checkout.root / "requirements.lock").unlink()
    with pytest.raises(
        SetupError, match=r"requirements.lock is missing from the checkout; restore it with `git checkout -- requirements.lock`"
    ):
        set_up(checkout)
    assert recorder.commands == []


CLOSED = "http://127.0.0.1:9/simple"  # the discard port: nobody listens


def installer_commands(target: Path) -> dict[str, list[str]]:
    node = find_node(Checkout(ROOT).site_packages())
    assert node is not None
    uv = str(Path(sys.executable).parent / "uv")
    return {
        "pip": [sys.executable, "-m", "pip", "install", "--retries=1", "--index-url", CLOSED, "--target", str(target), "tidemill-absent"],
        "uv": [uv, "pip", "install", "--no-config", "--no-cache", "--default-index", CLOSED, "--target", str(target), "tidemill-absent"],
        "npm": [*node.npm, "view", "--registry", CLOSED, "--fetch-retries=0", "tidemill-absent"],
    }


@pytest.mark.parametrize("installer", ["pip", "uv", "npm"])
def test_a_network_that_is_down_is_recognised_in_each_installers_words(
    installer: str, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    checkout.log.parent.mkdir(parents=True)
    with pytest.raises(SetupError) as caught:
        run(checkout, installer_commands(checkout.root / "target")[installer], what="it failed")
    assert str(caught.value).startswith(
        "it failed: the package registry cannot be reached. Check the network, and pip's and npm's settings"
    )
    assert "Then run `make setup` again; it goes on from here. Full log: .tidemill/logs/setup.log\n    " in str(caught.value)


def test_another_failure_shows_the_last_lines_and_blames_no_network(checkout: Checkout) -> None:
    checkout.log.parent.mkdir(parents=True)
    with pytest.raises(SetupError) as caught:
        run(checkout, [sys.executable, "-c", "import sys; print('THESE HASHES DO NOT MATCH'); sys.exit(1)"], what="it failed")
    assert str(caught.value).endswith("\n    THESE HASHES DO NOT MATCH")
    assert str(caught.value).startswith("it failed: its last words are below. ")


def test_uv_follows_pips_index_and_its_own_first(checkout: Checkout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text("[global]\nindex-url = http://mirror.example/simple\n", encoding="utf-8")
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setattr(checkout, "python", Path(sys.executable))
    assert uv_environment(checkout)["UV_DEFAULT_INDEX"] == "http://mirror.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://other.example/simple")
    assert uv_environment(checkout)["UV_DEFAULT_INDEX"] == "http://other.example/simple"


def test_npm_runs_with_its_own_node_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/somewhere")
    assert npm_environment(Node(Path("/wheel/bin/node"), ("npm",), "v24"))["PATH"] == "/wheel/bin:/somewhere"


def test_a_checkout_that_is_set_up_takes_well_under_a_second() -> None:
    begun = sum(os.times()[:4])  # of computing, ours and the child's: how long that takes is up to what else the machine does
    done = subprocess.run([sys.executable, "-c", "import tools.bootstrap"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    checkout = Checkout(ROOT)
    checkout.python_fingerprint(with_node=True)
    checkout.azurite_fingerprint()
    assert sum(os.times()[:4]) - begun < 1
