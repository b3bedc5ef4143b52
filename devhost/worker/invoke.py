"""Runs calls: sync functions on the crew's threads, async ones on the event loop, the conversion of values on the same thread."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

from devhost.invocation import Datum, Failed, Invocation, Succeeded
from devhost.wire import FrameDecoder, Send, outcome_frame, read_call
from devhost.worker.bindings import decode, encode
from devhost.worker.context import Context, Out, RetryContext, RpcException
from devhost.worker.crew import Job
from devhost.worker.indexing import Index, IndexedFunction
from devhost.worker.logs import CallIdentity, current_call, running_calls
from devhost.worker.streaming import Meetings

_OWN_FOLDER = str(Path(__file__).parent) + os.sep


class Runner:
    """Makes jobs of the calls that come over the socket; calls of async functions it starts by itself. One frame answers each."""

    def __init__(
        self, index: Index, *, loop: asyncio.AbstractEventLoop, send: Send, stop: Callable[[], None], hand_over: Callable[[Job], None]
    ) -> None:
        """`stop` is called on the loop when the host asks the worker to leave; `hand_over` has a thread run a job."""
        self._functions = index.functions
        self._web = index.web
        self._loop = loop
        self._send = send
        self._stop = stop
        self._hand_over = hand_over
        self.meetings = Meetings()
        """Where calls of streamed functions find their requests."""
        self._decoder = FrameDecoder()
        self._tasks: set[asyncio.Task[None]] = set()

    def split(self, data: bytes) -> list[SyncCall]:
        """The calls of sync functions that are complete with `data`."""
        found: list[SyncCall] = []
        for frame in self._decoder.feed(data):
            if frame.header["k"] != "call":
                self._loop.call_soon_threadsafe(self._stop)
                continue
            number: int = frame.header["n"]
            call = read_call(frame)
            function = self._functions.get(call.function)
            if function is None:
                text = f"no function is called {call.function!r}"
                self._send(outcome_frame(number, Failed(type_name="RuntimeError", message=text, stack="")))
            elif function.is_async or function.streamed_parameter is not None:
                self._loop.call_soon_threadsafe(self._start_task, number, call, function)
            else:
                found.append(SyncCall(number, call, function))
        return found

    def _start_task(self, number: int, call: Invocation, function: IndexedFunction) -> None:
        task = self._loop.create_task(self._run_async(number, call, function))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_async(self, number: int, call: Invocation, function: IndexedFunction) -> None:
        identity = CallIdentity(call.function, call.invocation_id, call.instance_id)
        current_call.set(identity)
        running_calls[call.invocation_id] = identity
        try:
            if function.streamed_parameter is not None:
                outcome: Succeeded | Failed = await self._stream(call, function, function.streamed_parameter, identity)
            else:
                arguments, outs = bind(call, function)
                outcome = succeeded(function, await function.call(**arguments), outs)
        except (SystemExit, KeyboardInterrupt) as stop:
            leave(stop)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            outcome = failed(error)
        finally:
            running_calls.pop(call.invocation_id, None)
        self._send(outcome_frame(number, outcome))

    async def _stream(self, call: Invocation, function: IndexedFunction, parameter: str, identity: CallIdentity) -> Succeeded:
        """Runs a function with a request from the web server, which gets what it returns or raises."""
        assert self._web is not None
        meeting = self.meetings.of(call.invocation_id)
        meeting.identity.set_result(identity)
        request = await meeting.request
        value: Any = None
        problem: BaseException | None = None
        try:
            arguments, outs = bind(call, function)
            self._web.set_route_parameters(request, arguments[parameter].route_params)
            arguments[parameter] = request
            value = await (function.call(**arguments) if function.is_async else self._on_thread(function, arguments, identity))
            return succeeded(function, value, outs)
        except BaseException as error:
            problem = error
            raise
        finally:
            if not meeting.answer.done():
                meeting.answer.set_result((value, problem))

    async def _on_thread(self, function: IndexedFunction, arguments: dict[str, Any], identity: CallIdentity) -> Any:
        job = _ThreadJob(function, arguments, identity)
        self._hand_over(job)
        return await asyncio.wrap_future(job.result)


class _ThreadJob:
    """A sync function that is called for a coroutine; the coroutine answers the host."""

    def __init__(self, function: IndexedFunction, arguments: dict[str, Any], identity: CallIdentity) -> None:
        self.name = function.name
        self.result: Future[Any] = Future()
        self._function, self._arguments, self._identity = function, arguments, identity

    def run(self) -> bytes:
        current_call.set(self._identity)
        try:
            self.result.set_result(self._function.call(**self._arguments))
        except (SystemExit, KeyboardInterrupt) as stop:
            leave(stop)
        except StopIteration as error:
            self.result.set_exception(RuntimeError(f"the function raised StopIteration: {error}"))  # no future can carry it
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            self.result.set_exception(error)
        finally:
            current_call.set(None)
        return b""


class SyncCall:
    """One call of a sync function."""

    __slots__ = ("_call", "_function", "_number", "name")

    def __init__(self, number: int, call: Invocation, function: IndexedFunction) -> None:
        self._number, self._call, self._function = number, call, function
        self.name = call.function

    def run(self) -> bytes:
        """Runs it on this thread and returns the frame that answers it."""
        call, function = self._call, self._function
        identity = CallIdentity(call.function, call.invocation_id, call.instance_id)
        current_call.set(identity)
        running_calls[call.invocation_id] = identity
        try:
            arguments, outs = bind(call, function)
            outcome: Succeeded | Failed = succeeded(function, function.call(**arguments), outs)
        except (SystemExit, KeyboardInterrupt) as stop:
            leave(stop)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            outcome = failed(error)
        finally:
            running_calls.pop(call.invocation_id, None)
            current_call.set(None)
        return outcome_frame(self._number, outcome)


def leave(stop: SystemExit | KeyboardInterrupt) -> NoReturn:
    """Ends the process, as upstream's worker does when a function raises SystemExit."""
    code = stop.code if isinstance(stop, SystemExit) else 130
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def bind(call: Invocation, function: IndexedFunction) -> tuple[dict[str, Any], dict[str, Out]]:
    """Keyword arguments for the user function, and the holders among them for its out-bindings."""
    signature = function.signature
    arguments = {name: decode(kind, call.arguments.get(name), call.trigger_metadata) for name, kind in signature.inputs.items()}
    outs = {name: Out() for name in signature.outputs}
    arguments.update(outs)
    if signature.requires_context:
        arguments["context"] = _context(call, function)
    return arguments, outs


def _context(call: Invocation, function: IndexedFunction) -> Context:
    failure = call.retry_failure
    exception = None
    if failure is not None:
        exception = RpcException(source="", stack_trace=failure.stack, message=f"{failure.type_name}: {failure.message}")
    return Context(
        invocation_id=call.invocation_id,
        function_name=function.name,
        function_directory=function.directory,
        retry_context=RetryContext(call.retry_count, call.max_retry_count, exception),
    )


def succeeded(function: IndexedFunction, value: Any, outs: dict[str, Out]) -> Succeeded:
    """Converts what a function returned and set.

    Raises:
        RuntimeError, TypeError, ValueError: the value does not fit the binding, which fails the call after the body has run.
    """
    signature = function.signature
    if signature.return_type is None and value is not None:
        raise RuntimeError(f"function {function.name!r} without a $return binding returned a non-None value")
    outputs: dict[str, Datum | list[Datum]] = {
        name: encode(signature.outputs[name], out.get()) for name, out in outs.items() if out.get() is not None
    }
    if signature.return_type is None or function.streamed_parameter is not None:
        return Succeeded(outputs=outputs)
    return Succeeded(return_value=encode(signature.return_type, value), outputs=outputs)


def failed(error: BaseException) -> Failed:
    """What the host gets to know of an exception: type, text and the frames of user code and libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename.startswith(_OWN_FOLDER):
        del frames[0]
    return Failed(type_name=type(error).__name__, message=str(error), stack="".join(traceback.format_list(frames)))
