"""A durable extension in the test's own process: the app's functions run in threads, storage is a real Azurite."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import traceback
import types
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import azure.durable_functions as df
from azure.functions import meta
from azure.functions.durable_functions import ActivityTriggerConverter

from devhost.durable.extension import DurableExtension
from devhost.durable.settings import DurableSettings
from devhost.functions import FunctionMetadata
from devhost.invocation import Failed, Invocation, JsonText, Succeeded
from devhost.storage.account import StorageAccount
from devhost.web import WebReply, WebRequest

ORIGIN = "http://localhost:7071"


class InProcessInvoker:
    """Runs an app's functions on threads, with the worker library's own conversions."""

    def __init__(self, app: df.DFApp, threads: int = 8) -> None:
        functions = app.get_functions()
        self.functions = [_metadata(function) for function in functions]
        self._calls: Mapping[str, Callable[..., Any]] = {
            function.get_function_name(): function.get_user_function() for function in functions
        }
        self._kinds = {function.name: function.kind for function in self.functions}
        self._pool = ThreadPoolExecutor(threads)
        self.seen: list[Invocation] = []
        self.before: Callable[[Invocation], None] | None = None
        """Called on the loop before each call; may raise `WorkerLost`."""

    def calls(self, function: str) -> list[Invocation]:
        return [invocation for invocation in self.seen if invocation.function == function]

    async def invoke(self, invocation: Invocation) -> Succeeded | Failed:
        self.seen.append(invocation)
        if self.before is not None:
            self.before(invocation)
        call, kind = self._calls[invocation.function], self._kinds[invocation.function]
        if inspect.iscoroutinefunction(call):
            return await _caught_async(call, dict(invocation.arguments))
        return await asyncio.get_running_loop().run_in_executor(self._pool, _caught, call, kind, dict(invocation.arguments))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _caught(call: Callable[..., Any], kind: str, arguments: dict[str, Any]) -> Succeeded | Failed:
    try:
        if kind == "activityTrigger":
            given = {
                name: ActivityTriggerConverter.decode(meta.Datum(value, "string"), trigger_metadata={}) for name, value in arguments.items()
            }
            answer = call(**given)
            return Succeeded(return_value=JsonText(ActivityTriggerConverter.encode(answer, expected_type=None).value))
        given = {name: types.SimpleNamespace(body=value) for name, value in arguments.items()}
        return Succeeded(return_value=JsonText(call(**given)))
    except Exception as error:
        return _failed(error)


async def _caught_async(call: Callable[..., Any], arguments: dict[str, Any]) -> Succeeded | Failed:
    try:
        given = {
            name: ActivityTriggerConverter.decode(meta.Datum(value, "string"), trigger_metadata={}) for name, value in arguments.items()
        }
        return Succeeded(return_value=JsonText(ActivityTriggerConverter.encode(await call(**given), expected_type=None).value))
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> Failed:
    stack = "".join(traceback.format_tb(error.__traceback__))
    return Failed(type_name=type(error).__name__, message=str(error), stack=stack)


def _metadata(function: Any) -> FunctionMetadata:
    return FunctionMetadata(
        name=function.get_function_name(),
        bindings=tuple(binding.get_dict_repr() for binding in function.get_bindings()),
        is_async=inspect.iscoroutinefunction(function.get_user_function()),
        script_file="function_app.py",
        entry_point=function.get_function_name(),
    )


def fresh_hub() -> str:
    """A task hub name that no other test has."""
    return f"Hub{uuid.uuid4().hex[:12]}"


class Host:
    """One run of an extension, spoken to as over HTTP."""

    def __init__(self, invoker: InProcessInvoker, connection: str, hub: str, **settings: Any) -> None:
        self.invoker = invoker
        self.storage = StorageAccount.from_connection_string(connection)
        self.extension = DurableExtension(
            settings=DurableSettings(**{"hub": hub, **settings}),
            functions=invoker.functions,
            invoker=invoker,
            storage=self.storage,
            public_base=ORIGIN,
            system_key="KEY",
            log=logging.getLogger("devhost.durable"),
        )

    async def start(self) -> None:
        await self.extension.start()

    async def stop(self) -> None:
        await self.extension.stop()
        await self.storage.close()

    async def kill(self) -> None:
        """Stops everything where it is, as a crash would: nothing is flushed. Only the lease is let go, since the process lives on."""
        extension = self.extension
        extension._dispatcher._stopping = extension._entities._stopping = extension._activities._stopped = True
        extension._rows.abandon()
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        ownership = extension._ownership
        await ownership._blobs.lease(ownership._container, "devhost-owner", "release", lease=ownership._lease)
        await self.storage.close()

    async def ask(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, headers: dict[str, str] | None = None
    ) -> WebReply:
        data = raw if raw is not None else (b"" if body is None else json.dumps(body).encode())
        sent = {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})}
        where, _, query = path.partition("?")
        return await self.extension.handle(WebRequest(method=method, path=where, query=query, headers=sent, body=data, origin=ORIGIN))

    async def start_new(self, name: str, instance_id: str | None = None, body: Any = None) -> str:
        reply = await self.ask("POST", f"/orchestrators/{name}" + (f"/{instance_id}" if instance_id else ""), body)
        assert reply.status == 202, (reply.status, reply.body)
        return str(json.loads(reply.body)["id"])

    async def status(self, instance_id: str, **options: Any) -> dict[str, Any]:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        reply = await self.ask("GET", f"/instances/{instance_id}?{query}")
        found: dict[str, Any] = json.loads(reply.body) if reply.body else {}
        return found

    async def history(self, instance_id: str) -> list[dict[str, Any]]:
        found = await self.status(instance_id, showHistory="true", showHistoryOutput="true")
        events: list[dict[str, Any]] = found["historyEvents"]
        return events

    async def wait(
        self, instance_id: str, *, until: tuple[str, ...] = ("Completed", "Failed", "Terminated"), seconds: float = 40.0
    ) -> dict[str, Any]:
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            found = await self.status(instance_id)
            if found.get("runtimeStatus") in until:
                return found
            assert asyncio.get_running_loop().time() < deadline, f"{instance_id} is still {found}"
            await asyncio.sleep(0.02)

    async def until_custom_status(self, instance_id: str, wanted: Any, *, seconds: float = 40.0) -> None:
        await self.until_shown(instance_id, "customStatus", wanted, seconds=seconds)

    async def until_shown(self, instance_id: str, field: str, wanted: Any, *, seconds: float = 40.0) -> None:
        """Waits until a field of its status has a value."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (found := await self.status(instance_id))[field] != wanted:
            assert asyncio.get_running_loop().time() < deadline, found
            await asyncio.sleep(0.01)

    async def until_state(self, key: str, wanted: bytes, *, seconds: float = 40.0) -> None:
        """Waits until the counter of this key has a state."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (reply := await self.ask("GET", f"/entities/counter/{key}")).body != wanted:
            assert asyncio.get_running_loop().time() < deadline, (reply.status, reply.body)
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(app: df.DFApp | InProcessInvoker, connection: str, hub: str | None = None, **settings: Any) -> AsyncIterator[Host]:
    """A started host, stopped at the end."""
    invoker = app if isinstance(app, InProcessInvoker) else InProcessInvoker(app)
    host = Host(invoker, connection, hub or fresh_hub(), **settings)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()
        if not isinstance(app, InProcessInvoker):
            invoker.close()


async def eventually(condition: Callable[[], object], *, seconds: float = 40.0) -> None:
    """Returns when the condition holds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"it did not happen within {seconds} s"
        await asyncio.sleep(0.01)
