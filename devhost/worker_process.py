"""The host's view of one worker process: starting it, calling it, noticing its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devhost.functions import FunctionMetadata
from devhost.invocation import Failed, Invocation, Succeeded, WorkerLost
from devhost.logs import is_shown
from devhost.wire import FrameDecoder, FrameReader, call_frame, plain_frame, read_outcome

_ENTRY = Path(__file__).parent / "worker" / "__main__.py"
_console = logging.getLogger("Host.Function.Console")
_LINE_LIMIT = 1 << 20
_RETIRE_POLL_SECONDS = 0.1
_SILENCE_SECONDS = 5.0
"""How long after the limit a worker is given to say where its app hangs."""


@dataclass(frozen=True, slots=True)
class WorkerIndex:
    """What a worker found in the app."""

    functions: tuple[FunctionMetadata, ...]
    problems: tuple[str, ...]
    threads: int
    """How many sync functions run at a time in one worker."""
    http_port: int | None = None
    """Where this worker takes in the requests of streamed functions, on the loopback; None when it does not."""


@dataclass(frozen=True, slots=True)
class WorkerLaunch:
    """How workers of this app are started."""

    app_dir: Path
    environment: Mapping[str, str]
    """The whole environment of the process."""
    python: str = sys.executable
    load_seconds: float = 60.0
    """How long a worker may take to load the app."""


class WorkerProcess(asyncio.Protocol):
    """One worker. Calls go out over `invoke`; `ended` is set, and every open call fails, as soon as the process or its socket ends."""

    def __init__(self, on_end: Callable[[WorkerProcess], None]) -> None:
        self._on_end = on_end
        self._decoder = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._calls: dict[int, asyncio.Future[Succeeded | Failed]] = {}
        self._replying: set[asyncio.Future[str | None]] = set()
        """Replies that are still being sent after their calls have ended."""
        self._http_port: int | None = None
        self._next_number = 0
        self._unsent: list[bytes] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._writable = asyncio.Event()
        self._writable.set()
        self._limit: asyncio.TimerHandle | None = None
        self._load_seconds = 0.0
        self.index: asyncio.Future[WorkerIndex] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.exit_code: int | None = None
        self.is_stopping = False

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def open_calls(self) -> int:
        return len(self._calls) + len(self._replying)

    @property
    def is_usable(self) -> bool:
        """Whether calls can be sent; ends with the socket, which is a little before the process is known to have ended."""
        return self._transport is not None and not self._transport.is_closing()

    async def start(self, launch: WorkerLaunch) -> None:
        """Starts the process; `index` gets a result once it has loaded the app."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        ours.setblocking(False)
        try:
            self._process = await asyncio.create_subprocess_exec(
                launch.python, str(_ENTRY), str(theirs.fileno()), str(launch.app_dir), str(launch.load_seconds),
                cwd=launch.app_dir, env={**launch.environment, "PYTHONUNBUFFERED": "1"}, pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT, start_new_session=True,
            )  # fmt: skip
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, sock=ours)
        self._limit = loop.call_later(launch.load_seconds + _SILENCE_SECONDS, self._stuck, "")
        self._load_seconds = launch.load_seconds
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [
            loop.create_task(_forward_lines(process.stdout, from_stderr=False)),
            loop.create_task(_forward_lines(process.stderr, from_stderr=True)),
        ]
        self._tasks = [*readers, loop.create_task(self._watch(readers))]

    async def _watch(self, readers: list[asyncio.Task[None]]) -> None:
        assert self._process is not None
        self.exit_code = await self._process.wait()
        await asyncio.wait(readers, timeout=1)
        for reader in readers:
            reader.cancel()
        self._end()

    # The socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=4 << 20)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            self._accept(frame)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._writable.set()
        self._fail_calls()
        if self._process is not None and self._process.returncode is None and not self.is_stopping:
            self.kill()

    def _accept(self, frame: FrameReader) -> None:
        header = frame.header
        kind = header["k"]
        if kind == "log":
            _forward_log(header)
        elif kind == "ready":
            if not self.index.done():
                index = _read_index(header)
                self._http_port = index.http_port
                self.index.set_result(index)
        elif kind == "stuck":
            self._stuck(header["where"])
        else:
            call = self._calls.pop(header["n"], None)
            if call is not None and not call.done():
                call.set_result(read_outcome(frame))

    def _stuck(self, where: str) -> None:
        """Gives up on an app that has not loaded in time."""
        if self.index.done():
            return
        place = f"it is at {where}" if where else "and does not say where it is: a library holds the interpreter"
        self.index.set_exception(
            WorkerLost(
                f"the app has not finished loading after {self._load_seconds:g} s; {place}. What waits belongs into a function, not into a "
                "module; --load-timeout SECONDS allows more time"
            )
        )
        self.index.exception()  # somebody may have stopped waiting
        self.kill()

    # Calls

    async def invoke(self, invocation: Invocation) -> Succeeded | Failed:
        """Runs one call; of a streamed function, until its reply is through.

        Raises:
            WorkerLost: the process ended before it answered.
        """
        if invocation.exchange is None:
            return await self._call(invocation)
        forwarding = asyncio.ensure_future(invocation.exchange.forward(self._http_port, invocation.invocation_id))
        try:
            outcome = await self._call(invocation)
            self._replying.add(forwarding)
            problem = await forwarding
        finally:
            self._replying.discard(forwarding)
            forwarding.cancel()
            await asyncio.gather(forwarding, return_exceptions=True)
        if problem is None or isinstance(outcome, Failed):
            return outcome
        return Failed(type_name="ForwardingError", message=problem, stack="")

    async def _call(self, invocation: Invocation) -> Succeeded | Failed:
        if not self._writable.is_set():
            await self._writable.wait()
        if self._transport is None or not self.is_usable:
            raise WorkerLost(f"the worker is gone; {invocation.function} was not started")
        number = self._next_number = self._next_number + 1
        answer: asyncio.Future[Succeeded | Failed] = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        self._write(call_frame(number, invocation))
        try:
            return await answer
        finally:
            self._calls.pop(number, None)

    def _write(self, frame: bytes) -> None:
        """Sends a frame together with the others of this turn of the loop: waking the worker up is what costs."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(frame)

    def _flush(self) -> None:
        frames, self._unsent = self._unsent, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def _fail_calls(self) -> None:
        for call in list(self._calls.values()):
            if not call.done():
                call.set_exception(WorkerLost("the worker process ended before the function did"))

    # The end

    async def retire(self, grace_seconds: float) -> None:
        """Waits until its last call is finished, then stops it."""
        while self.open_calls and not self.ended.is_set():  # noqa: ASYNC110 (rare; an event for it would be set at the end of every call)
            await asyncio.sleep(_RETIRE_POLL_SECONDS)
        await self.stop(grace_seconds)

    @property
    def resident_bytes(self) -> int:
        """The memory it occupies; 0 when the system does not say."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError, ValueError):
            return 0

    async def stop(self, grace_seconds: float) -> None:
        """Asks the worker to leave, and kills it when it does not."""
        self.is_stopping = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(plain_frame({"k": "stop"}))
        try:
            async with asyncio.timeout(grace_seconds):
                await self.ended.wait()
        except TimeoutError:
            self.kill()
            await self.ended.wait()

    def kill(self) -> None:
        """Ends the worker, and what user code started in it, at once; no call is sent to it any more."""
        if self._transport is not None:
            self._transport.abort()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if self._transport is not None:
            self._transport.close()
        self._fail_calls()
        if not self.index.done():
            self.index.set_exception(
                WorkerLost(f"the worker process ended with {describe_exit(self.exit_code)} before it had loaded the app")
            )
            self.index.exception()  # somebody may have stopped waiting
        self.ended.set()
        self._on_end(self)


def describe_exit(code: int | None) -> str:
    """`exit code 3`, or the signal's name."""
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _read_index(header: Mapping[str, Any]) -> WorkerIndex:
    functions = tuple(
        FunctionMetadata(
            name=item["name"],
            bindings=tuple(item["bindings"]),
            is_async=item["is_async"],
            script_file=item["script_file"],
            entry_point=item["entry_point"],
            retry=item["retry"],
            warnings=tuple(item["warnings"]),
            is_streamed=item["is_streamed"],
        )
        for item in header["functions"]
    )
    return WorkerIndex(functions, tuple(header["problems"]), header["threads"], header["http_port"])


def _forward_log(header: Mapping[str, Any]) -> None:
    function = header.get("f")
    # Records of library loggers are the function's too; outside a call they are the worker's
    category = f"Function.{function}.User" if function else "Worker"
    if is_shown(category, header["l"]):
        fields = {"function": function, "invocation_id": header.get("i"), "instance_id": header.get("o"), "source": header["c"]}
        logging.getLogger(category).log(header["l"], "%s", header["m"], extra=fields)


async def _forward_lines(stream: asyncio.StreamReader, *, from_stderr: bool) -> None:
    """Logs what user code prints, line by line, with upstream's guess at the level of stderr lines."""
    while True:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            line = end.partial
        except asyncio.LimitOverrunError:
            line = await stream.read(_LINE_LIMIT)
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        level = logging.INFO
        if from_stderr:
            lower = text.lower()
            if any(word in lower for word in ("error", "fail", "severe")):
                level = logging.ERROR
            elif "warn" in lower:
                level = logging.WARNING
        _console.log(level, "%s", text)
