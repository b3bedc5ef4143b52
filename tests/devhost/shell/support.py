"""A host in a process of its own, as a user starts it, and small apps for it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 40
HEADER = "import azure.functions as func\n\napp = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n"


def write_app(folder: Path, source: str, *, host: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None) -> Path:
    """Writes function_app.py (with the usual header), host.json and, when given, local.settings.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "function_app.py").write_text(HEADER + source, encoding="utf-8")
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **(host or {})}), encoding="utf-8")
    if settings is not None:
        (folder / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": settings}), encoding="utf-8")
    return folder


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class RunningHost:
    process: subprocess.Popen[bytes]
    log_file: Path
    ready_file: Path
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.ready["port"])

    @property
    def worker_pids(self) -> list[int]:
        return list(self.ready["worker_pids"])

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def request(
        self, method: str, target: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None, *, timeout: float = 30
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, target: str, **headers: str) -> Reply:
        return self.request("GET", target, headers=headers)

    def wait_for_log(self, text: str, *, seconds: float = 15) -> None:
        wait_until(lambda: text in self.log, what=f"{text!r} in the log", seconds=seconds, explain=lambda: self.log)

    def is_ready(self) -> bool:
        """Whether it says that it is ready; fails the test when it has ended instead."""
        if not self.ready and self.ready_file.exists():
            self.ready = json.loads(self.ready_file.read_text(encoding="utf-8"))
        assert self.ready or self.process.poll() is None, f"the host ended with {self.process.returncode}:\n{self.log}"
        return bool(self.ready)

    def wait_until_ready(self) -> None:
        wait_until(self.is_ready, what="host that is ready", seconds=START_SECONDS, explain=lambda: self.log, step=0.02)

    def end(self) -> None:
        """Stops it if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)


def wait_until(condition: Any, *, what: str, seconds: float = 15, explain: Any = lambda: "", step: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {seconds} s\n{explain()}"
        time.sleep(step)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AzureWebJobs")}
    return {**kept, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": kept.get("XDG_STATE_HOME", "/nonexistent"), **(settings or {})}


def launch(app: Path, *options: str, settings: Mapping[str, str] | None = None) -> RunningHost:
    """Starts `devhost start` on a free port and returns at once; the log of an app's hosts goes into one file."""
    ready_file, log_file = app / ".ready.json", app / ".host.log"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "devhost", "start", "--app", str(app), "--port", "0", "--ready-file", str(ready_file), *options]
    with log_file.open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment(settings), cwd=app)
    return RunningHost(process, log_file, ready_file)


@contextlib.contextmanager
def running(app: Path, *options: str, settings: Mapping[str, str] | None = None) -> Iterator[RunningHost]:
    """Starts `devhost start` on a free port and waits until it is ready; ends it afterwards, whatever happened."""
    (app / ".host.log").unlink(missing_ok=True)
    host = launch(app, *options, settings=settings)
    try:
        host.wait_until_ready()
        yield host
    finally:
        host.end()


def run_command(*arguments: str, settings: Mapping[str, str] | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `python -m devhost ...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "devhost", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(settings),
        cwd=cwd,
        check=False,
    )
