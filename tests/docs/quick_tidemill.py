"""`tidemill` without the second that every start of it takes: a process that has everything imported, and a fork of it for each command.

What runs in the fork is `python -m tidemill`, with the arguments, folder, environment and files of whoever asks; nothing of one command is seen by
another. The process ends with the one that started it.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import shlex
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from tools.bootstrap import ROOT

_ASKS = """
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
    server.sendmsg([b"f"], files)
    server.sendall(json.dumps({"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}).encode())
    server.shutdown(socket.SHUT_WR)
    code = server.recv(1)
sys.exit(code[0] if code else 70)
"""

_ALLOCATOR = "jemalloc_bg_thd"
"""Arrow's allocator tidies up on a thread of its own, and starts it anew in a fork."""


@functools.cache
def command() -> str:
    """The command that runs `tidemill`, in the words of a shell; starts the process that it asks."""
    if sys.platform != "linux":  # elsewhere a fork of a process with such libraries is not safe
        return shlex.join([sys.executable, "-m", "tidemill"])
    folder = tempfile.TemporaryDirectory(prefix="tidemill-")
    address = Path(folder.name) / "socket"
    server = subprocess.Popen([sys.executable, "-m", __name__, str(address)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None

    def end() -> None:
        server.communicate(timeout=30)
        folder.cleanup()

    atexit.register(end)
    assert server.stdout.readline() == b"ready\n"
    return shlex.join([sys.executable, "-I", "-S", "-c", _ASKS, str(address)])


def serve(address: str) -> None:
    """Answers until its standard input ends."""
    import tidemill

    for module in pkgutil.walk_packages(tidemill.__path__, "tidemill."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    with contextlib.redirect_stdout(io.StringIO()):
        _command(["--help"])  # imports what is left
    gc.collect()
    gc.freeze()
    threads = sorted(task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir())
    assert len([each for each in threads if each != _ALLOCATOR]) == 1, f"a fork would lose threads: {threads}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while sys.stdin.buffer not in select.select([listener, sys.stdin.buffer], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                if os.fork() == 0:  # its parent ends at once, so that nobody has to wait for it
                    listener.close()
                    _answer(connection)
                os._exit(0)
            os.wait()
            connection.close()


def _answer(connection: socket.socket) -> None:
    files = array.array("i")
    _, (ancillary,), _, _ = connection.recvmsg(1, socket.CMSG_LEN(3 * files.itemsize))
    files.frombytes(ancillary[2])
    asked = json.loads(b"".join(iter(functools.partial(connection.recv, 1 << 16), b"")))
    worker = os.fork()
    if worker:
        connection.send(bytes([os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) & 0xFF]))
        return
    connection.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[0] = asked["folder"]
    code = _command(asked["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without the quarter of a second that it takes to clear away everything that was imported


def _command(arguments: list[str]) -> int:
    """Does what `python -m tidemill` does, and returns its exit code."""
    sys.argv[1:] = arguments
    try:
        runpy.run_module("tidemill", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
    os._exit(0)
