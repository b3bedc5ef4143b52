"""The host's own endpoints below `/admin`: liveness, status, functions, keys."""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from devhost.executor import PROGRAMMATIC, FunctionExecutor
from devhost.functions import FunctionMetadata
from devhost.http.auth import Authorization
from devhost.http.message import Reply, Request
from devhost.http.router import route_text
from devhost.invocation import Datum, HttpRequestData, Invocation, JsonText, WorkerLost
from devhost.keys import Keys, new_key
from devhost.settings import HostSettings

if TYPE_CHECKING:
    from devhost.http.streaming import StreamedCalls

VERSION = "4.1037.0"

_log = logging.getLogger("Host.Admin")
_NO_CACHE = [("Cache-Control", "no-store,no-cache"), ("Pragma", "no-cache")]


def manual_value(function: FunctionMetadata, text: str, base_url: str) -> Datum:
    """What a function is handed when it is called with `{"input": text}`."""
    if function.kind == "httpTrigger":
        headers = {"content-type": "application/json", "content-length": str(len(text.encode()))}
        url = f"{base_url}/admin/functions/{function.name}"
        return HttpRequestData(method="POST", url=url, headers=headers, params={}, route_params={}, body=text.encode())
    if function.kind == "timerTrigger":
        return JsonText(json.dumps({"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}))
    return text


class AdminApi:
    """Answers `/admin/*`."""

    def __init__(
        self,
        *,
        settings: HostSettings,
        functions: Sequence[FunctionMetadata],
        executor: FunctionExecutor,
        authorization: Authorization,
        keys: Keys,
        problems: Callable[[], list[str]],
        streams: StreamedCalls | None,
    ) -> None:
        """`problems` gives what is wrong with the host at the moment, a sentence each; `streams` makes the calls of streamed functions."""
        self._settings = settings
        self._functions = {function.name.lower(): function for function in functions}
        self._executor = executor
        self._authorization = authorization
        self._keys = keys
        self._problems = problems
        self._streams = streams
        self._started = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, request: Request) -> Reply:
        method = request.method.upper()
        parts = [unquote(part) for part in request.path.strip("/").split("/")[1:]]
        area = [part.lower() for part in parts[:1]]
        if [part.lower() for part in parts] == ["host", "ping"] and method in {"GET", "POST"}:
            return Reply(status=200, headers=list(_NO_CACHE))
        if area not in (["host"], ["functions"], ["warmup"], ["vfs"]):
            return Reply(status=404)
        known = self._route(area[0], parts[1:], method)
        if known is None:
            return Reply(status=404)
        if refusal := self._authorization.refuse_admin(request):
            return refusal
        reply: Reply = known(request)
        return reply

    def _route(self, area: str, parts: list[str], method: str) -> Any:
        """The handler for a path, None when there is none."""
        lower = [part.lower() for part in parts]
        if area == "warmup":
            return (lambda _: Reply(status=200)) if not parts else None
        if area == "vfs":
            return lambda _: Reply(status=403)
        if area == "host":
            return self._host_route(parts, lower, method)
        if not parts:
            return (lambda request: _json([self._describe(f, request) for f in self._functions.values()])) if method == "GET" else None
        if len(parts) == 1:
            if method == "GET":
                return lambda request: self._show_function(parts[0], request)
            return (lambda request: self._run_function(parts[0], request)) if method == "POST" else None
        if lower[1:] == ["status"] and method == "GET":
            return lambda _: self._function_status(parts[0])
        if lower[1] == "keys" and len(parts) <= 3:
            return lambda request: self._function_keys(parts[0], parts[2:], request)
        return None

    def _host_route(self, parts: list[str], lower: list[str], method: str) -> Any:
        if lower == ["status"] and method == "GET":
            return lambda _: self._host_status()
        if lower == ["drain", "status"] and method == "GET":
            return lambda _: _json({"state": "Disabled", "outstandingInvocations": 0, "outstandingRetries": 0})
        if lower == ["config"] and method == "GET":
            return lambda _: self._host_config()
        if lower == ["synctriggers"] and method == "POST":
            return lambda _: _json({"status": "Invalid environment for SyncTriggers operation."}, status=500)
        groups = {"keys": self._keys.host, "functionkeys": self._keys.host, "systemkeys": self._keys.system}
        if lower and lower[0] in groups and len(parts) <= 2:
            return lambda request: self._edit_keys(groups[lower[0]], f"/admin/host/{parts[0]}", parts[1:], request)
        return None

    # The host

    def _host_status(self) -> Reply:
        problems = self._problems()
        return _json({
            "id": self._settings.host_id, "state": "Running", "version": f"{VERSION}.0", "versionDetails": VERSION, "platformVersion": "",
            "instanceId": "", "computerName": platform.node(), "processUptime": int((time.monotonic() - self._started) * 1000),
            "functionAppContentEditingState": "Unknown", **({"errors": problems} if problems else {}),
        })  # fmt: skip

    def _host_config(self) -> Reply:
        extensions = self._settings.host_json.get("extensions", {})
        concurrency = self._settings.host_json.get("concurrency", {})
        body = json.dumps({"extensions": extensions, "concurrency": concurrency}, indent=2)
        return Reply(status=200, headers=[("Content-Type", "text/plain; charset=utf-8")], body=body.encode())

    # Functions

    def _show_function(self, name: str, request: Request) -> Reply:
        function = self._functions.get(name.lower())
        return _json(self._describe(function, request)) if function else Reply(status=404)

    def _describe(self, function: FunctionMetadata, request: Request) -> dict[str, Any]:
        base = f"http://{request.host}"
        folder = f"{base}/admin/vfs/{function.name}"
        is_http = function.kind == "httpTrigger"
        prefix = self._settings.http.route_prefix
        return {
            "name": function.name,
            "script_root_path_href": f"{base}/admin/vfs/",
            "script_href": f"{base}/admin/vfs/{function.script_file}",
            "config_href": f"{folder}/function.json",
            "test_data_href": None,
            "href": f"{base}/admin/functions/{function.name}",
            "invoke_url_template": f"{base}/{prefix + '/' if prefix else ''}{route_text(function)}".lower() if is_http else "",
            "language": "python",
            "config": {
                "name": function.name,
                "entryPoint": function.entry_point,
                "scriptFile": function.script_file,
                "language": "python",
                "functionDirectory": str(self._settings.app_dir),
                "bindings": list(function.bindings),
            },
            "files": None,
            "test_data": None,
            "isDisabled": function.disabled,
            "isDirect": is_http,
            "isProxy": False,
        }

    def _function_status(self, name: str) -> Reply:
        function = self._functions.get(name.lower())
        if function is None:
            return Reply(status=404)
        return _json({"errors": list(function.errors)} if function.errors else {})

    def _run_function(self, name: str, request: Request) -> Reply:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return Reply(status=415)
        function = self._functions.get(name.lower())
        if function is None or function.errors:
            return Reply(status=404)
        try:
            body = json.loads(request.body or b"{}")
        except ValueError:
            return Reply(status=400)
        given = body.get("input") if isinstance(body, dict) else None
        text = given if isinstance(given, str) else "" if given is None else json.dumps(given)
        if function.is_streamed and self._streams is not None:
            headers = {"content-type": "application/json", "content-length": str(len(text.encode()))}
            self._streams.start(replace(request, headers=headers, body=text.encode(), is_chunked=False, hung_up=None), function)
            return Reply(status=202)
        value = manual_value(function, text, f"http://{request.host}")
        metadata: Mapping[str, str] = {"QueueTrigger": text} if function.kind == "queueTrigger" else {}
        invocation = Invocation(
            function=function.name,
            arguments={str(function.trigger["name"]): value},
            invocation_id=str(uuid.uuid4()),
            trigger_metadata=metadata,
        )
        task = asyncio.get_running_loop().create_task(self._run_in_background(invocation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Reply(status=202)

    async def _run_in_background(self, invocation: Invocation) -> None:
        try:
            await self._executor.invoke(invocation, PROGRAMMATIC)
        except WorkerLost as error:
            _log.error("The call of %s through /admin was lost: %s", invocation.function, error)

    # Keys

    def _function_keys(self, name: str, rest: list[str], request: Request) -> Reply:
        function = self._functions.get(name.lower())
        if function is None:
            return Reply(status=404)
        return self._edit_keys(self._keys.of_function(function.name), f"/admin/functions/{function.name}/keys", rest, request)

    def _edit_keys(self, group: dict[str, str], path: str, rest: list[str], request: Request) -> Reply:
        """Lists the keys at `path`, or shows, sets or deletes the one named by `rest`."""
        base = f"http://{request.host}{path}"
        method = request.method.upper()
        if not rest:
            if method != "GET":
                return Reply(status=404)
            return _json({"keys": [{"name": n, "value": v} for n, v in group.items()], "links": [{"rel": "self", "href": base}]})
        name = next((key for key in group if key.lower() == rest[0].lower()), rest[0])
        link = f"{base}/{name}"
        if method == "GET":
            return _json(_key(name, group[name], link)) if name in group else Reply(status=404)
        if method == "DELETE":
            if group.pop(name, None) is None:
                return Reply(status=404)
            self._keys.save()
            return Reply(status=204)
        if method not in {"PUT", "POST"}:
            return Reply(status=404)
        is_new = name not in group
        group[name] = new_key() if method == "POST" else _given_value(request) or new_key()
        self._keys.save()
        return _json(_key(name, group[name], link), status=201 if is_new else 200, headers=[("Location", link)] if is_new else [])


def _given_value(request: Request) -> str:
    try:
        body = json.loads(request.body or b"{}")
    except ValueError:
        return ""
    value = body.get("value") if isinstance(body, dict) else None
    return value if isinstance(value, str) else ""


def _key(name: str, value: str, link: str) -> dict[str, Any]:
    return {"name": name, "value": value, "links": [{"rel": "self", "href": link}]}


def _json(value: Any, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return Reply(status=status, headers=[("Content-Type", "application/json; charset=utf-8"), *headers], body=body)
