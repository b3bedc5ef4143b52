"""The page about the local host, done as a stranger would: its app, its commands, its tests, on a host started as it says."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devhost.cli import build_parser
from devhost.rules import SUPPORTED
from tests.docs.markdown import Block, blocks, text_of
from tests.docs.project import Project, needs_curl, plain
from tests.docs.test_examples import NEEDS_HOST
from tools.bootstrap import ROOT
from tools.stack import Azurite

PAGE = ROOT / NEEDS_HOST
USUAL = "localhost:7071"


class Stranger(Project):
    """A folder with nothing in it, in which `devhost` and `python` are those of this checkout."""

    def __init__(self, folder: Path, connection: str) -> None:
        super().__init__(folder, {"AzureWebJobsStorage": connection})
        self.port = 0
        for name, call in {"python": f'"{sys.executable}"', "devhost": f'"{sys.executable}" -m devhost'}.items():
            program = folder / "bin" / name
            program.write_text(f'#!/bin/sh\nexec {call} "$@"\n')
            program.chmod(0o755)

    def start(self, block: Block, log: Path) -> subprocess.Popen[bytes]:
        """Starts the host as the block says, on a free port, and finds the lines of the block in what it prints."""
        (command, expected), ready = block.steps[0], self.folder / "ready.json"
        with log.open("wb") as out:
            asked = ["sh", "-c", f"exec {command} --port 0 --ready-file {ready}"]
            host = subprocess.Popen(asked, cwd=self.folder, env=self.environment, stdout=out, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert host.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        self.port = json.loads(ready.read_text())["port"]
        said = iter([plain(line) for line in log.read_text().splitlines()])
        for line in expected:
            assert self._here(plain(line)) in said, log.read_text()
        return host

    def follow_here(self, block: Block) -> int:
        """Does what a block says, on the port that the host has got."""
        return self.follow([replace(block, text=self._here(block.text))])

    def _here(self, text: str) -> str:
        if not self.port:
            return text
        return text.replace(USUAL, f"localhost:{self.port}").replace(
            "devhost instances ", f"devhost instances --url http://127.0.0.1:{self.port} "
        )


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Azurite.start(log=tmp_path_factory.mktemp("azurite") / "azurite.log") as running:
        yield running.connection_string


@pytest.mark.e2e
@needs_curl
def test_a_stranger_gets_an_answer_by_doing_what_the_page_says(connection: str, tmp_path: Path) -> None:
    stranger, host, commands = Stranger(tmp_path, connection), None, 0
    try:
        for block in blocks(PAGE):
            if block.language == "console" and block.steps[0][0].startswith("devhost start"):
                host = stranger.start(block, tmp_path / "host.log")
            else:
                commands += stranger.follow_here(block)
    finally:
        if host is not None:
            host.terminate()
            assert host.wait(30) == 0, (tmp_path / "host.log").read_text()
    assert host is not None
    assert commands >= 6


def test_every_devhost_command_and_option_on_the_page_exists() -> None:
    text = text_of(PAGE)
    words = {word for block in blocks(PAGE) for command, _ in block.steps for word in command.split() if command.startswith("devhost")}
    words |= {word for code in text.split("`")[1::2] for word in code.split() if word.startswith("--")}
    elsewhere = {"--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--no-deps"}
    options = {word for word in words if word.startswith("--")} - elsewhere
    start = build_parser()._subparsers
    assert start is not None
    known: set[str] = set()
    for command in start._group_actions[0].choices.values():  # type: ignore[union-attr]
        known |= set(command._option_string_actions)
    assert len(options) > 10
    assert options <= known


def test_the_packages_on_the_page_are_all_that_the_host_needs() -> None:
    (line,) = [command for block in blocks(PAGE) for command, _ in block.steps if command.startswith("pip install azure-functions")]
    asked = shlex.split(line)[2:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(asked) == sorted(project["optional-dependencies"]["devhost"])
    imported = {
        name.partition(".")[0]
        for path in (ROOT / "devhost").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in ([each.name for each in node.names] if isinstance(node, ast.Import) else [])
        + ([node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else [])
    }
    provided = {re.split(r"[=>]", each)[0].partition("-")[0] for each in asked}
    assert imported - set(sys.stdlib_module_names) - {"devhost", "durable_quick_replay"} <= provided


def test_what_the_page_calls_unsupported_is_refused_by_name() -> None:
    row = next(line for line in text_of(PAGE).splitlines() if line.startswith("| triggers and bindings other than"))
    assert "HTTP, timer, queue, blob, and Durable's four" in row
    kinds = {kind.removesuffix("Trigger") for kind in SUPPORTED}
    assert kinds == {"http", "timer", "queue", "blob", "orchestration", "activity", "entity", "durableClient"}


UNSUPPORTED = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.service_bus_queue_trigger(arg_name="message", queue_name="orders", connection="Bus")
def from_bus(message: func.ServiceBusMessage):
    pass

@app.route(route="fine")
def fine(req: func.HttpRequest) -> str:
    return "fine"

@app.orchestration_trigger(context_name="context")
def pack(context):
    yield context.create_timer(context.current_utc_datetime)
"""


def test_check_tells_what_the_page_calls_unsupported(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text(UNSUPPORTED)
    host = {"version": "2.0", "extensionBundle": {}, "extensions": {"durableTask": {"storageProvider": {"type": "mssql"}}}}
    (tmp_path / "host.json").write_text(json.dumps(host))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AzureWebJobsStorage": "UseDevelopmentStorage=true"}
    done = subprocess.run(
        [sys.executable, "-m", "devhost", "check", "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    found = [(each["severity"], each["function"]) for each in json.loads(done.stdout)["findings"]]
    assert (done.returncode, found) == (1, [("error", "from_bus"), ("warning", None)])
    assert "type is 'mssql', but this host keeps its state in Azure Storage" in done.stdout


def test_the_exit_codes_on_the_page_are_the_hosts(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "1.0"}')
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command in ("check", "start"):
        done = subprocess.run(
            [sys.executable, "-m", "devhost", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, "version" in done.stderr) == (1, True)
