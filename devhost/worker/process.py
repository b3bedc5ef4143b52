"""The life of a worker process: index the app, then run what the host asks for until the host hangs up.

The main thread runs the event loop for async functions (a blocking call in one holds up all of them, as on the real host); a crew of
threads runs sync functions and reads the socket, so that the host is heard, and its death noticed, whatever user code does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Final

from devhost.wire import plain_frame
from devhost.worker.crew import Crew
from devhost.worker.indexing import Index, index_app
from devhost.worker.invoke import Runner
from devhost.worker.load_watch import LoadWatch
from devhost.worker.logs import forward_logs
from devhost.worker.streaming import Meetings, WebServer, is_turned_on, open_web_server
from durable_quick_replay import why_not_quick

_READ_SIZE = 256 * 1024
_PLAIN_SDK: Final = "DEVHOST_PLAIN_SDK"


class HostConnection:
    """The worker's end of the socket; `send` may be called from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        self._socket.set_inheritable(False)
        self._lock = threading.Lock()

    def send(self, frame: bytes) -> None:
        with self._lock:
            try:
                self._socket.sendall(frame)
            except OSError:
                die_with_host()

    def receive(self) -> bytes:
        try:
            return self._socket.recv(_READ_SIZE)
        except OSError:
            return b""


def die_with_host() -> None:
    """Ends this process and whatever user code started from it, at once: without a host nobody waits for the answer."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def thread_count() -> int:
    """How many sync functions run at a time: `PYTHON_THREADPOOL_THREAD_COUNT`, else Python's own default."""
    given = os.environ.get("PYTHON_THREADPOOL_THREAD_COUNT", "")
    return int(given) if given.isdecimal() and int(given) > 0 else min(32, (os.cpu_count() or 1) + 4)


def quicken_replays() -> None:
    """Takes the SDK's slowest line out of replays, with equal results; not for an app without the SDK, nor with `DEVHOST_PLAIN_SDK=1`."""
    if "azure.durable_functions" in sys.modules and os.environ.get(_PLAIN_SDK, "") in {"", "0"}:
        problem = why_not_quick()
        if problem is not None:
            logging.getLogger(__name__).debug("replays are as slow as the Durable SDK has them: %s", problem)


async def open_streams(index: Index, meetings: Meetings, app_dir: Path) -> WebServer | None:
    """The server that streamed functions get their requests from; None when there are no such functions, or the settings do not ask for it."""
    if index.web is None or index.problems or not is_turned_on():
        return None
    try:
        return await open_web_server(index.web, meetings, app_dir)
    except RuntimeError as error:
        index.problems.append(str(error))
        return None


def report(index: Index, threads: int, http_port: int | None) -> bytes:
    """The frame that tells the host what the app has."""
    functions = [function.as_metadata() for function in index.functions.values()]
    return plain_frame({"k": "ready", "functions": functions, "problems": index.problems, "threads": threads, "http_port": http_port})


async def serve(connection: HostConnection, app_dir: Path, load_seconds: float) -> None:
    """Indexes inside a running loop, as upstream does, and returns when the host says stop."""
    loop = asyncio.get_running_loop()
    forward_logs(connection.send)
    threads = thread_count()
    script = os.environ.get("PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
    watch = LoadWatch(connection.send, app_dir, load_seconds)
    index = index_app(app_dir, script)
    watch.finished()
    quicken_replays()
    stopped = asyncio.Event()
    runner = Runner(
        index, loop=loop, send=connection.send, stop=stopped.set,
        hand_over=lambda job: crew.hand_over(job),  # noqa: PLW0108 - the crew is made next, of the runner
    )  # fmt: skip
    crew = Crew(threads, receive=connection.receive, split=runner.split, send=connection.send, hung_up=die_with_host)
    crew.start()
    server = await open_streams(index, runner.meetings, app_dir)
    connection.send(report(index, threads, None if server is None else server.port))
    await stopped.wait()
    while crew.running:  # the host has waited already, and ends what takes too long  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if server is not None:
        server.close()


def main(descriptor: int, app_dir: str, load_seconds: float) -> None:
    """Runs a worker whose end of the socket is `descriptor`. `load_seconds`: how long loading the app may take."""
    connection = HostConnection(descriptor)
    sys.path.insert(0, app_dir)
    packages = Path(app_dir, ".python_packages", "lib", "site-packages")
    if packages.is_dir():
        sys.path.append(str(packages))
    asyncio.run(serve(connection, Path(app_dir), load_seconds))
