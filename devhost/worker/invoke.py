"""Runs calls: sync functions in the thread pool, async ones on the event loop, the conversion of values on the same thread."""

from __future__ import annotations

import asyncio
import os
import traceback
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NoReturn

from devhost.invocation import Datum, Failed, Invocation, Succeeded
from devhost.wire import FrameReader, Send, outcome_frame, read_call
from devhost.worker.bindings import decode, encode
from devhost.worker.context import Context, Out, RetryContext, RpcException
from devhost.worker.indexing import Index, IndexedFunction
from devhost.worker.logs import CallIdentity, current_call, running_calls

_OWN_FOLDER = str(Path(__file__).parent) + os.sep


class Runner:
    """Takes calls from the socket and answers each with one frame."""

    def __init__(self, index: Index, *, loop: asyncio.AbstractEventLoop, executor: Executor, send: Send) -> None:
        self._functions = index.functions
        self._loop = loop
        self._executor = executor
        self._send = send
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, frame: FrameReader) -> None:
        """Starts one call; returns at once. Called on the reading thread."""
        number: int = frame.header["n"]
        call = read_call(frame)
        function = self._functions.get(call.function)
        if function is None:
            self._answer(number, Failed(type_name="RuntimeError", message=f"no function is called {call.function!r}", stack=""))
        elif function.is_async:
            self._loop.call_soon_threadsafe(self._start_task, number, call, function)
        else:
            self._executor.submit(self._run_sync, number, call, function)

    def _answer(self, number: int, outcome: Succeeded | Failed) -> None:
        self._send(outcome_frame(number, outcome))

    def _run_sync(self, number: int, call: Invocation, function: IndexedFunction) -> None:
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
        self._answer(number, outcome)

    def _start_task(self, number: int, call: Invocation, function: IndexedFunction) -> None:
        task = self._loop.create_task(self._run_async(number, call, function))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_async(self, number: int, call: Invocation, function: IndexedFunction) -> None:
        identity = CallIdentity(call.function, call.invocation_id, call.instance_id)
        current_call.set(identity)
        running_calls[call.invocation_id] = identity
        try:
            arguments, outs = bind(call, function)
            outcome: Succeeded | Failed = succeeded(function, await function.call(**arguments), outs)
        except (SystemExit, KeyboardInterrupt) as stop:
            leave(stop)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            outcome = failed(error)
        finally:
            running_calls.pop(call.invocation_id, None)
        self._answer(number, outcome)


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
    return Succeeded(return_value=encode(signature.return_type, value) if signature.return_type else None, outputs=outputs)


def failed(error: BaseException) -> Failed:
    """What the host gets to know of an exception: type, text and the frames of user code and libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename.startswith(_OWN_FOLDER):
        del frames[0]
    return Failed(type_name=type(error).__name__, message=str(error), stack="".join(traceback.format_list(frames)))
