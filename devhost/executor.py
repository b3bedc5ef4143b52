"""Runs functions as the host does: completes their arguments, retries, writes the invocation's log lines, delivers their outputs.

Everything that invokes a function goes through here, whatever triggered it: HTTP, timers, queues, blobs, the durable engine, `/admin`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from devhost.functions import FunctionMetadata
from devhost.invocation import Datum, Failed, Invocation, Invoker, Succeeded
from devhost.logs import is_shown
from devhost.retry import RetryPolicy

PROGRAMMATIC = "This function was programmatically called via the host APIs."


_STATE_MARKER = "\n\n$OutOfProcData$:"


class InputBinding(Protocol):
    """Gives the value of an in-binding that is no trigger."""

    async def read(self, binding: Mapping[str, Any], invocation: Invocation) -> Datum: ...


class OutputBinding(Protocol):
    """Stores what a function set on an out-binding."""

    async def write(self, binding: Mapping[str, Any], value: Datum | list[Datum], invocation: Invocation) -> None: ...


class BindingError(Exception):
    """An input could not be read or an output not be stored; the invocation fails with this text."""


class FunctionExecutor:
    """The `Invoker` that the rest of the host uses."""

    def __init__(
        self,
        invoker: Invoker,
        functions: Sequence[FunctionMetadata],
        *,
        inputs: Mapping[str, InputBinding],
        outputs: Mapping[str, OutputBinding],
    ) -> None:
        """`inputs` and `outputs` are by binding type."""
        self._invoker = invoker
        self._functions = {function.name: function for function in functions}
        self._inputs = inputs
        self._outputs = outputs
        self._retry = {f.name: policy for f in functions if (policy := RetryPolicy.of(f)) is not None}
        self._input_bindings = {f.name: [b for b in f.bindings if b is not f.trigger and not _is_out(b)] for f in functions}
        self._output_bindings = {f.name: [b for b in f.bindings if _is_out(b) and b["type"] != "http"] for f in functions}
        self._is_running = True

    def stop_retrying(self) -> None:
        """Lets no retry wait any more: the host is stopping."""
        self._is_running = False

    async def invoke(self, invocation: Invocation, reason: str | None = None) -> Succeeded | Failed:
        """Runs one invocation to its final outcome, retries of its policy included.

        Raises:
            WorkerLost: the worker ended before the function did.
        """
        policy = self._retry.get(invocation.function)
        if policy is None or invocation.exchange is not None:  # the client has its reply, and the request's body is gone
            return await self._attempt(invocation, reason)
        invocation = replace(invocation, max_retry_count=policy.max_retry_count)
        while True:
            outcome = await self._attempt(invocation, reason)
            retries = invocation.retry_count
            exhausted = 0 <= policy.max_retry_count <= retries
            if isinstance(outcome, Succeeded) or exhausted or not self._is_running:
                return outcome
            await asyncio.sleep(policy.delay(retries, random.random()))  # noqa: S311 - jitter
            invocation = replace(invocation, retry_count=retries + 1, retry_failure=outcome)

    async def _attempt(self, invocation: Invocation, reason: str | None) -> Succeeded | Failed:
        log = logging.getLogger(f"Function.{invocation.function}")
        fields = {"function": invocation.function, "invocation_id": invocation.invocation_id, "instance_id": invocation.instance_id}
        is_logged = is_shown(log.name, logging.INFO)
        if is_logged:
            log.info(
                "Executing 'Functions.%s' (Reason='%s', Id=%s)",
                invocation.function,
                reason or "(null)",
                invocation.invocation_id,
                extra=fields,
            )
        started = time.perf_counter()
        try:
            outcome = await self._run(invocation)
        except Exception as error:
            took = (time.perf_counter() - started) * 1000
            log.error(  # noqa: TRY400 - the text says it all
                "Executed 'Functions.%s' (Failed, Id=%s, Duration=%.0fms): %s",
                invocation.function, invocation.invocation_id, took, error, extra=fields,
            )  # fmt: skip
            raise
        took = (time.perf_counter() - started) * 1000
        if isinstance(outcome, Failed):
            log.error(
                "Executed 'Functions.%s' (Failed, Id=%s, Duration=%.0fms)\n%s",
                invocation.function, invocation.invocation_id, took, readable(outcome), extra=fields,
            )  # fmt: skip
        elif is_logged:
            log.info(
                "Executed 'Functions.%s' (Succeeded, Id=%s, Duration=%.0fms)",
                invocation.function,
                invocation.invocation_id,
                took,
                extra=fields,
            )
        return outcome

    async def _run(self, invocation: Invocation) -> Succeeded | Failed:
        name = invocation.function
        try:
            if wanted := [b for b in self._input_bindings.get(name, ()) if b["name"] not in invocation.arguments]:
                arguments = dict(invocation.arguments)
                for binding in wanted:
                    reader = self._inputs.get(str(binding["type"]))
                    arguments[str(binding["name"])] = await reader.read(binding, invocation) if reader else None
                invocation = replace(invocation, arguments=arguments)
            outcome = await self._invoker.invoke(invocation)
            if isinstance(outcome, Succeeded):
                for binding in self._output_bindings.get(name, ()):
                    await self._write(binding, outcome, invocation)
            return outcome
        except BindingError as error:
            return Failed(type_name="BindingError", message=str(error), stack="")

    async def _write(self, binding: Mapping[str, Any], outcome: Succeeded, invocation: Invocation) -> None:
        parameter = str(binding["name"])
        value = outcome.return_value if parameter == "$return" else outcome.outputs.get(parameter)
        writer = self._outputs.get(str(binding["type"]))
        if value is not None and writer is not None:
            await writer.write(binding, value, invocation)


def readable(failure: Failed) -> str:
    """A failure for the log: without the orchestration's state, which the durable library hangs on to the exception's text."""
    return replace(failure, message=failure.message.partition(_STATE_MARKER)[0]).rpc_text


def _is_out(binding: Mapping[str, Any]) -> bool:
    return str(binding.get("direction", "IN")).lower() == "out"
