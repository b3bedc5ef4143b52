"""The life of a worker process: index the app, then run what the host asks for until the host hangs up.

The main thread runs the event loop for async functions (a blocking call in one holds up all of them, as on the real host); a crew of
threads runs sync functions and reads the socket, so that the host is heard, and its death noticed, whatever user code does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from devhost.wire import plain_frame
from devhost.worker.crew import Crew
from devhost.worker.indexing import Index, index_app
from devhost.worker.invoke import Runner
from devhost.worker.load_watch import LoadWatch
from devhost.worker.logs import forward_logs

_READ_SIZE = 256 * 1024


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


def report(index: Index, threads: int) -> bytes:
    """The frame that tells the host what the app has."""
    functions = [function.as_metadata() for function in index.functions.values()]
    return plain_frame({"k": "ready", "functions": functions, "problems": index.problems, "threads": threads})


async def serve(connection: HostConnection, app_dir: Path, load_seconds: float) -> None:
    """Indexes inside a running loop, as upstream does, and returns when the host says stop."""
    loop = asyncio.get_running_loop()
    forward_logs(connection.send)
    threads = thread_count()
    script = os.environ.get("PYTHON_SCRIPT_FILE_NAME") or "function_app.py"
    watch = LoadWatch(connection.send, app_dir, load_seconds)
    index = index_app(app_dir, script)
    watch.finished()
    stopped = asyncio.Event()
    runner = Runner(index, loop=loop, send=connection.send, stop=stopped.set)
    crew = Crew(threads, receive=connection.receive, split=runner.split, send=connection.send, hung_up=die_with_host)
    crew.start()
    connection.send(report(index, threads))
    await stopped.wait()
    while crew.running:  # the host has waited already, and ends what takes too long  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def main(descriptor: int, app_dir: str, load_seconds: float) -> None:
    """Runs a worker whose end of the socket is `descriptor`. `load_seconds`: how long loading the app may take."""
    connection = HostConnection(descriptor)
    sys.path.insert(0, app_dir)
    packages = Path(app_dir, ".python_packages", "lib", "site-packages")
    if packages.is_dir():
        sys.path.append(str(packages))
    asyncio.run(serve(connection, Path(app_dir), load_seconds))
