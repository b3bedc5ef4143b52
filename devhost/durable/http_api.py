"""The management HTTP API: paths, queries and replies below `/runtime/webhooks/durabletask` and the loopback RPC base alike."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from devhost.durable.client import ArgumentRefused, DurableClient, OperationRefused
from devhost.durable.jsontext import dumps
from devhost.durable.listing import Listing
from devhost.durable.newtonsoft import BadJson, parse_json
from devhost.durable.payloads import WEBHOOK_PATH, DuplicateSequenceNumber, Links, history_payload, status_payload
from devhost.durable.state import InstanceState
from devhost.durable.times import to_ticks
from devhost.web import WebReply, WebRequest

_NOT_FOUND: Final = WebReply(status=404)
_GONE: Final = WebReply(status=410)
_ACCEPTED: Final = WebReply(status=202)
_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
_STACK: Final = "   at devhost.durable.http_api"
_LOOK_SECONDS: Final = 1.0
"""Whoever waits for an instance is told when it ends, and looks for himself this often at most."""
_STATUS_NAMES: Final = ("Running", "Completed", "ContinuedAsNew", "Failed", "Canceled", "Terminated", "Pending", "Suspended")


class HttpApi:
    """Answers management requests."""

    def __init__(self, *, client: DurableClient, listing: Listing, links: Links, use_forwarded_host: bool = False) -> None:
        self._client = client
        self._listing = listing
        self._links = links
        self._use_forwarded_host = use_forwarded_host
        self.rpc_base = ""
        """The loopback listener's base URL with a trailing slash; set by whoever opened it."""

    async def handle(self, request: WebRequest) -> WebReply:
        """Answers one request; never raises."""
        segments = [_decode(segment) for segment in request.path.strip("/").split("/") if segment]
        head, rest = (segments[0].lower(), segments[1:]) if segments else ("", [])
        asked = _Query(request.query)
        try:
            if head == "orchestrators" and 1 <= len(rest) <= 2:
                return (
                    await self._start(request, asked, rest[0], rest[1] if len(rest) > 1 else None)
                    if request.method == "POST"
                    else _NOT_FOUND
                )
            if head == "entities" and len(rest) <= 2:
                return await self._entities(request, asked, *rest)
            if head == "instances" and not rest:
                return await self._instances(request, asked)
            if head == "instances" and len(rest) == 1:
                return await self._instance(request, asked, rest[0])
            if head == "instances" and len(rest) == 2 and request.method == "POST":
                return await self._operation(request, asked, rest[0], rest[1].lower())
            if head == "instances" and len(rest) == 3 and rest[1].lower() == "raiseevent" and request.method == "POST":
                return await self._raise_event(request, rest[0], rest[2])
            if head == "makeprimary" and not rest:
                return WebReply(status=200)
            return _NOT_FOUND
        except (ArgumentRefused, DuplicateSequenceNumber) as refused:
            return _error(400, "One or more of the arguments submitted is incorrect", str(refused), "System.ArgumentException")
        except OperationRefused as refused:
            return _error(500, "Something went wrong while processing your request", str(refused), refused.type_name)
        except Exception as problem:  # noqa: BLE001 (whatever goes wrong is told to the caller, as upstream does)
            return _error(500, "Something went wrong while processing your request", str(problem), type(problem).__name__)

    # ---- starting

    async def _start(self, request: WebRequest, asked: _Query, name: str, instance_id: str | None) -> WebReply:
        given = None
        if request.body and _media_type(request) != "application/x-www-form-urlencoded":
            try:
                given = parse_json(request.body, empty_is_null=True)
            except BadJson as bad:
                return _error(400, "Invalid JSON content", str(bad), "Newtonsoft.Json.JsonReaderException")
        started = await self._client.start(name, instance_id, given=given, version=asked.text("version"))
        return await self._started(request, asked, started)

    async def _restart(self, request: WebRequest, asked: _Query, instance_id: str) -> WebReply:
        new_id = asked.flag("restartWithNewInstanceId")
        try:
            started = await self._client.restart(instance_id, new_id=new_id is not False)
            return await self._started(request, asked, started)
        except ArgumentRefused as refused:
            return _error(400, "InstanceId does not match a valid orchestration instance.", str(refused), "System.ArgumentException")

    async def _started(self, request: WebRequest, asked: _Query, instance_id: str) -> WebReply:
        timeout, interval = asked.number("timeout"), asked.number("pollingInterval")
        if timeout is None or interval is None:
            return self._check_status(request, instance_id)
        if interval > timeout:
            raise ArgumentRefused(f"Total timeout {timeout:g} should be bigger than retry timeout {interval:g}")
        deadline = time.monotonic() + timeout
        while True:
            state = await self._client.status(instance_id)
            left = deadline - time.monotonic()
            if (state is not None and state.is_terminal) or left <= 0:
                break
            await self._client.until_ended(instance_id, min(max(interval, _LOOK_SECONDS), left))
        if state is None or not state.is_terminal:
            return self._check_status(request, instance_id)
        if state.status == "Completed":
            return _reply(200, status_payload(state)["output"])
        return await self._status(request, asked, instance_id, may_be_500=False)

    def _check_status(self, request: WebRequest, instance_id: str) -> WebReply:
        links = self._links.check_status(self._link_origin(request), instance_id)
        return _reply(202, links, {"Location": links["statusQueryGetUri"], "Retry-After": "10"})

    def _link_origin(self, request: WebRequest) -> str:
        """Scheme and authority of links; behind a proxy that says so, the proxy's, with the port the request came in on."""
        host, scheme = request.headers.get("x-forwarded-host"), request.headers.get("x-forwarded-proto")
        if not (self._use_forwarded_host and host and scheme):
            return request.origin
        port = urlsplit(request.origin).port
        return f"{scheme}://{host}" + (f":{port}" if port else "")

    # ---- one instance

    async def _instance(self, request: WebRequest, asked: _Query, instance_id: str) -> WebReply:
        if request.method == "DELETE":
            return _reply(200, {"instancesDeleted": 1}) if await self._client.purge(instance_id) else _NOT_FOUND
        return await self._status(request, asked, instance_id) if request.method == "GET" else _NOT_FOUND

    async def _status(self, request: WebRequest, asked: _Query, instance_id: str, *, may_be_500: bool = True) -> WebReply:
        """The state of one instance. Who started it and waited gets 200 for a failure, whatever the query says."""
        state = await self._client.status(instance_id)
        if state is None:
            return _NOT_FOUND
        state = state.copy()
        show_input = asked.flag("showInput") is not False
        history = None
        if asked.flag("showHistory") and state.status != "Pending":
            events = list(await self._client.history(instance_id))
            history = history_payload(events, show_input=show_input, show_output=bool(asked.flag("showHistoryOutput")))
        body = status_payload(state, show_input=show_input, history=history)
        if not state.is_terminal:
            return _reply(202, body, {"Location": self._own_url(request), "Retry-After": "5"})
        failed = may_be_500 and state.status == "Failed" and asked.flag("returnInternalServerErrorOnFailure")
        return _reply(500 if failed else 200, body)

    def _own_url(self, request: WebRequest) -> str:
        base = WEBHOOK_PATH
        if self.rpc_base.startswith(request.origin + "/"):
            base = self.rpc_base.removeprefix(request.origin).rstrip("/")
        return request.origin + base + request.path + (f"?{request.query}" if request.query else "")

    async def _operation(self, request: WebRequest, asked: _Query, instance_id: str, operation: str) -> WebReply:
        if operation == "restart":
            return await self._restart(request, asked, instance_id)
        act = self._operations().get(operation)
        if act is None:
            return _NOT_FOUND
        state = await self._client.status(instance_id)
        if state is None:
            return _NOT_FOUND
        if state.is_terminal and not (operation == "rewind" and state.status == "Failed"):
            return _GONE
        await act(state, asked.text("reason"))
        return _ACCEPTED

    def _operations(self) -> dict[str, Callable[[InstanceState, str | None], Awaitable[None]]]:
        client = self._client
        return {
            "terminate": lambda state, reason: client.terminate(state.instance_id, reason),
            "suspend": client.suspend,
            "resume": client.resume,
            "rewind": client.rewind,
        }

    async def _raise_event(self, request: WebRequest, instance_id: str, name: str) -> WebReply:
        state = await self._client.status(instance_id)
        if state is None:
            return _NOT_FOUND
        if state.is_terminal:
            return _GONE
        if _media_type(request) != "application/json":
            return _reply(400, {"Message": "Only application/json request content is supported"})
        try:
            data = parse_json(request.body, empty_is_null=False)
        except BadJson as bad:
            return _error(400, "Invalid JSON content", str(bad), "Newtonsoft.Json.JsonReaderException")
        await self._client.raise_event(instance_id, name, "null" if data is None else data)
        return _ACCEPTED

    # ---- many instances

    async def _instances(self, request: WebRequest, asked: _Query) -> WebReply:
        if request.method == "DELETE":
            since = asked.ticks("createdTimeFrom")
            if since is None:
                return _reply(400, "Please provide value for 'createdTimeFrom' parameter.")
            deleted = await self._listing.purge(since, asked.ticks("createdTimeTo"), asked.statuses())
            return _reply(200, {"instancesDeleted": deleted}) if deleted else _NOT_FOUND
        if request.method != "GET":
            return _NOT_FOUND
        prefix, since, until, statuses = (
            asked.text("instanceIdPrefix"),
            asked.ticks("createdTimeFrom"),
            asked.ticks("createdTimeTo"),
            asked.statuses(),
        )
        page, following = await self._listing.page(
            prefix=prefix, since=since, until=until, statuses=statuses, top=asked.whole("top") or 100, token=_token(request)
        )
        is_filtered = bool(prefix or since is not None or until is not None or statuses)
        show_input = not (is_filtered and asked.flag("showInput") is False)
        return _reply(200, [status_payload(state, show_input=show_input) for state in page], _continuation(following))

    # ---- entities

    async def _entities(self, request: WebRequest, asked: _Query, name: str = "", key: str = "") -> WebReply:
        if request.method == "GET" and key:
            try:
                state = await self._client.entity_state(name, "" if key == "$" else key)
            except ArgumentRefused as refused:
                return _reply(400, {"Message": str(refused)})
            return _NOT_FOUND if state is None else WebReply(status=200, headers=_JSON, body=state.encode())
        if request.method == "GET":
            found, following = await self._listing.entities(
                name=name,
                since=asked.ticks("lastOperationTimeFrom"),
                until=asked.ticks("lastOperationTimeTo"),
                with_state=bool(asked.flag("fetchState")),
                top=asked.whole("top") or 100,
                token=_token(request),
            )
            return _reply(200, found, _continuation(following))
        if request.method not in ("POST", "DELETE"):
            return _NOT_FOUND
        operation = "delete" if request.method == "DELETE" else asked.text("op") or ""
        length = request.headers.get("content-length")
        given: str | None = None
        if length is None and not request.body:
            given = '""'
        elif request.body:
            given = dumps(request.body.decode("utf-8", "replace"))
            if _media_type(request) == "application/json":
                try:
                    given = parse_json(request.body, empty_is_null=False) or "null"
                except BadJson as bad:
                    return _reply(400, {"Message": f"Could not parse JSON content: {bad}"})
        try:
            await self._client.signal_entity(name, key, operation, given)
        except ArgumentRefused as refused:
            return _reply(400, {"Message": str(refused)})
        return _ACCEPTED


def hub_asked_for(query: str) -> str | None:
    """The task hub that a request names; None when it leaves that open."""
    return (_Query(query).text("taskHub") or "").strip() or None


def refuse_hub(problem: str) -> WebReply:
    """The reply to a request for a hub that cannot be."""
    return _error(400, "One or more of the arguments submitted is incorrect", problem, "System.ArgumentException")


class _Query:
    """The query of a request, read as .NET reads it: names without regard to case, what cannot be parsed is not there."""

    def __init__(self, query: str) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            self._values.setdefault(name.lower(), []).append(value)

    def text(self, name: str) -> str | None:
        values = self._values.get(name.lower())
        return ",".join(values) if values is not None else None

    def flag(self, name: str) -> bool | None:
        return {"true": True, "false": False}.get((self.text(name) or "").strip().lower())

    def number(self, name: str) -> float | None:
        try:
            number = float(self.text(name) or "")
        except ValueError:
            return None
        return number if math.isfinite(number) else None

    def whole(self, name: str) -> int | None:
        try:
            return int(self.text(name) or "")
        except ValueError:
            return None

    def ticks(self, name: str) -> int | None:
        """A `+` in a query is a blank, so an offset has to be escaped; as a blank it makes the time unreadable, here as there."""
        try:
            return to_ticks((self.text(name) or "").strip())
        except ValueError:
            return None

    def statuses(self) -> list[str]:
        wanted = [value.strip() for text in self._values.get("runtimestatus", ()) for value in text.split(",")]
        numbered = [_STATUS_NAMES[int(value)] if value.isdigit() and int(value) < len(_STATUS_NAMES) else value for value in wanted]
        return [value for value in numbered if value in _STATUS_NAMES]


def _decode(segment: str) -> str:
    """Percent-decodes once; an encoded slash stays as it is."""
    return "%2F".join(unquote(part) for part in segment.replace("%2f", "%2F").split("%2F"))


def _media_type(request: WebRequest) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _token(request: WebRequest) -> str | None:
    token = request.headers.get("x-ms-continuation-token")
    try:
        return base64.b64decode(token).decode() if token else None
    except ValueError:
        return None


def _continuation(following: str | None) -> dict[str, str]:
    return {} if following is None else {"x-ms-continuation-token": base64.b64encode(following.encode()).decode()}


def _reply(status: int, value: Any, headers: dict[str, str] | None = None) -> WebReply:
    return WebReply(status=status, headers={**_JSON, **(headers or {})}, body=dumps(value).encode())


def _error(status: int, message: str, exception: str, type_name: str) -> WebReply:
    return _reply(status, {"Message": message, "ExceptionMessage": exception, "ExceptionType": type_name, "StackTrace": _STACK})
