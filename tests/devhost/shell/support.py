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

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)


def wait_until(condition: Any, *, what: str, seconds: float = 15, explain: Any = lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {seconds} s\n{explain()}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AzureWebJobs")}
    return {**kept, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": kept.get("XDG_STATE_HOME", "/nonexistent"), **(settings or {})}


@contextlib.contextmanager
def running(app: Path, *options: str, settings: Mapping[str, str] | None = None) -> Iterator[RunningHost]:
    """Starts `devhost start` on a free port and waits until it is ready; ends it afterwards, whatever happened."""
    ready_file, log_file = app / ".ready.json", app / ".host.log"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "devhost", "start", "--app", str(app), "--port", "0", "--ready-file", str(ready_file), *options]
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment(settings), cwd=app)
    host = RunningHost(process, log_file)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ready_file.exists():
            assert process.poll() is None, f"the host ended with {process.returncode}:\n{host.log}"
            assert time.monotonic() < deadline, f"the host is not ready:\n{host.log}"
            time.sleep(0.02)
        host.ready = json.loads(ready_file.read_text(encoding="utf-8"))
        yield host
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


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
