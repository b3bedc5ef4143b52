"""Answers every request on the public port: functions, web hooks of extensions, `/admin`, the home page."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from devhost.executor import PROGRAMMATIC, FunctionExecutor
from devhost.http.admin import AdminApi
from devhost.http.auth import Authorization
from devhost.http.cors import CorsPolicy
from devhost.http.head import PATH_SAFE
from devhost.http.message import Reply, Request
from devhost.http.query import read_query
from devhost.http.replies import function_reply
from devhost.http.router import RouteMatch, Router
from devhost.invocation import HttpRequestData, Invocation, WorkerLost
from devhost.web import WebReply, WebRequest

if TYPE_CHECKING:
    from devhost.http.streaming import StreamedCalls

WebHook = Callable[[WebRequest], Awaitable[WebReply]]

_WEB_HOOKS = "/runtime/webhooks"
_WEB_HOOK_METHODS = {"GET", "POST", "PUT", "DELETE", "OPTIONS"}
_HOME = b"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>devhost</title></head>
<body style="font-family: system-ui; margin: 4rem auto; max-width: 40rem">
<h1>The function app is up and running</h1>
<p>It is served by devhost, a local Azure Functions host. Its functions are listed where it was started.</p>
</body></html>
"""


class WebApp:
    """The handler of the public port."""

    def __init__(
        self,
        *,
        router: Router,
        executor: FunctionExecutor,
        authorization: Authorization,
        admin: AdminApi,
        custom_headers: Mapping[str, str],
        cors: CorsPolicy,
        streams: StreamedCalls | None,
    ) -> None:
        """`streams` makes the calls of streamed functions; None when the app has none."""
        self._router = router
        self._executor = executor
        self._authorization = authorization
        self._admin = admin
        self._custom_headers = dict(custom_headers)
        self._cors = cors
        self._streams = streams
        self._web_hooks: dict[str, tuple[WebHook, str]] = {}

    def add_web_hook(self, extension: str, handler: WebHook, *, system_key: str) -> None:
        """Serves `/runtime/webhooks/<extension>/*`; `system_key` names the key that opens it."""
        self._web_hooks[extension.lower()] = (handler, system_key)

    async def handle(self, request: Request) -> Reply:
        """Answers a request, whose body may still be unread.

        Raises:
            BadHead: the body is too long or malformed.
            ConnectionResetError: the client has hung up.
        """
        reply = self._cors.apply(request, self._cors.preflight(request) or await self._answer(request))
        if self._custom_headers:
            own = {name.lower() for name in self._custom_headers}
            headers = [(name, value) for name, value in reply.headers if name.lower() not in own]
            headers += self._custom_headers.items()
            reply = replace(reply, headers=headers)
        return reply

    async def _answer(self, request: Request) -> Reply:
        lower = request.path.lower()
        is_admin = lower == "/admin" or lower.startswith("/admin/")
        is_web_hook = lower.startswith(_WEB_HOOKS + "/")
        match = None if is_admin or is_web_hook else self._router.match(request.method, request.path)
        if match is None or not match.route.function.is_streamed:
            request = await request.whole()
        if is_admin:
            return await self._admin.handle(request)
        if is_web_hook:
            return await self._call_web_hook(request)
        if match is not None:
            return await self._call_function(request, match)
        if request.path == "/":
            return Reply(status=200, headers=[("Content-Type", "text/html")], body=_HOME)
        return Reply(status=404)

    async def _call_function(self, request: Request, match: RouteMatch) -> Reply:
        function = match.route.function
        if function.disabled and not self._authorization.may_call_disabled(request, function.name):
            return Reply(status=404)
        if refusal := self._authorization.refuse_function(request, function.name, match.route.auth_level):
            return refusal
        if function.is_streamed and self._streams is not None:
            return await self._streams.answer(request, function, match.values)
        invocation = Invocation(
            function=function.name,
            arguments={str(function.trigger["name"]): request_data(request, match.values)},
            invocation_id=str(uuid.uuid4()),
        )
        try:
            return function_reply(await self._executor.invoke(invocation, PROGRAMMATIC))
        except WorkerLost:
            return Reply(status=500)

    async def _call_web_hook(self, request: Request) -> Reply:
        extension, _, _ = request.path[len(_WEB_HOOKS) + 1 :].partition("/")
        found = self._web_hooks.get(extension.lower())
        if refusal := self._authorization.refuse_web_hook(request, found[1] if found else ""):
            return refusal
        if found is None or request.method.upper() not in _WEB_HOOK_METHODS:
            return Reply(status=404)
        base_length = len(_WEB_HOOKS) + 1 + len(extension)
        return await call_web_hook(found[0], request, request.raw_path[base_length:] or "/")


async def call_web_hook(handler: WebHook, request: Request, path: str) -> Reply:
    """Passes a request on to an extension; `path` is the raw one below the extension's base."""
    answer = await handler(
        WebRequest(
            method=request.method.upper(),
            path=path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            origin=f"http://{request.host}",
        )
    )
    return Reply(status=answer.status, headers=list(answer.headers.items()), body=answer.body)


def request_data(request: Request, route_values: Mapping[str, str]) -> HttpRequestData:
    """A request as the Python function sees it; the body of a chunked request does not reach it, as on the real host."""
    return HttpRequestData(
        method=request.method.upper(),
        url=f"http://{request.host}{encode_path(request.path)}{'?' if request.has_query else ''}{request.query}",
        headers=request.headers,
        params=read_query(request.query),
        route_params=route_values,
        body=b"" if request.is_chunked else request.body,
    )


def encode_path(path: str) -> str:
    """A decoded path as it stands in a URL: escapes that are still in it stay, everything else that needs one gets it."""
    parts = []
    position = 0
    while (percent := path.find("%", position)) >= 0:
        parts.append(quote(path[position:percent], safe=PATH_SAFE))
        escape = path[percent : percent + 3]
        is_escape = len(escape) == 3 and all(c in "0123456789abcdefABCDEF" for c in escape[1:])
        parts.append(escape if is_escape else "%25")
        position = percent + (3 if is_escape else 1)
    return "".join([*parts, quote(path[position:], safe=PATH_SAFE)])
