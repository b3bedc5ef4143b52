"""The management HTTP API: paths, queries and replies below `/runtime/webhooks/durabletask` and the loopback RPC base alike."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from devhost.durable.asked import BadPage, Query, continuation, page_token
from devhost.durable.client import ArgumentRefused, DurableClient, OperationRefused
from devhost.durable.jsontext import dumps, value_or_text
from devhost.durable.listing import Listing
from devhost.durable.newtonsoft import BadJson, parse_json
from devhost.durable.payloads import WEBHOOK_PATH, DuplicateSequenceNumber, Links, history_payload, status_payload
from devhost.durable.state import InstanceState
from devhost.web import WebReply, WebRequest

_NOT_FOUND: Final = WebReply(status=404)
_GONE: Final = WebReply(status=410)
_ACCEPTED: Final = WebReply(status=202)
_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
_STACK: Final = "   at devhost.durable.http_api"
_LOOK_SECONDS: Final = 1.0
"""Whoever waits for an instance is told when it ends, and looks for himself this often at most."""
_FORM: Final = "application/x-www-form-urlencoded"
_REFUSED: Final = "One or more of the arguments submitted is incorrect"
_WENT_WRONG: Final = "Something went wrong while processing your request"
_CUT_OFF: Final = {
    "{": ("Unexpected end when deserializing object.", "Newtonsoft.Json.JsonSerializationException"),
    "[": ("Unexpected end when reading token.", "Newtonsoft.Json.JsonWriterException"),
}
"""What upstream says of a start whose body breaks off; it does not count that among the bad ones and answers 500."""


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
        asked = Query(request.query)
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
            return _error(400, _REFUSED, str(refused), "System.ArgumentException")
        except BadPage as bad:
            return _error(bad.status, _REFUSED if bad.status == 400 else _WENT_WRONG, str(bad), bad.type_name)
        except OperationRefused as refused:
            return _error(500, _WENT_WRONG, str(refused), refused.type_name)
        except Exception as problem:  # noqa: BLE001 (whatever goes wrong is told to the caller, as upstream does)
            return _error(500, _WENT_WRONG, str(problem), type(problem).__name__)

    # ---- starting

    async def _start(self, request: WebRequest, asked: Query, name: str, instance_id: str | None) -> WebReply:
        given = None
        if request.body and _media_type(request) != _FORM:
            try:
                given = parse_json(_body(request), empty_is_null=True)
            except BadJson as bad:
                return _bad_input(bad)
        started = await self._client.start(name, instance_id, given=given, version=asked.text("version"))
        return await self._started(request, asked, started)

    async def _restart(self, request: WebRequest, asked: Query, instance_id: str) -> WebReply:
        new_id = asked.flag("restartWithNewInstanceId")
        try:
            started = await self._client.restart(instance_id, new_id=new_id is not False)
            return await self._started(request, asked, started)
        except ArgumentRefused as refused:
            return _error(400, "InstanceId does not match a valid orchestration instance.", str(refused), "System.ArgumentException")

    async def _started(self, request: WebRequest, asked: Query, instance_id: str) -> WebReply:
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
        links = self._links.check_status(self._link_origin(request), instance_id, *elsewhere(request.query))
        return _reply(202, links, {"Location": links["statusQueryGetUri"].replace("%7E", "~"), "Retry-After": "10"})

    def _link_origin(self, request: WebRequest) -> str:
        """Scheme and authority of links; behind a proxy that says so, the proxy's, with the port the request came in on."""
        host, scheme = request.headers.get("x-forwarded-host"), request.headers.get("x-forwarded-proto")
        if not (self._use_forwarded_host and host and scheme):
            return request.origin
        port = urlsplit(request.origin).port
        return f"{scheme}://{host}" + (f":{port}" if port else "")

    # ---- one instance

    async def _instance(self, request: WebRequest, asked: Query, instance_id: str) -> WebReply:
        if request.method == "DELETE":
            return _reply(200, {"instancesDeleted": 1}) if await self._client.purge(instance_id) else _NOT_FOUND
        return await self._status(request, asked, instance_id) if request.method == "GET" else _NOT_FOUND

    async def _status(self, request: WebRequest, asked: Query, instance_id: str, *, may_be_500: bool = True) -> WebReply:
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
        # The real host puts its own address together again: what it has decoded of the path it encodes anew, and no more than it must.
        path = re.sub(r"%25(?=[0-9A-Fa-f]{2})", "%", quote(_decode(request.path), safe="!$&'()*+,-./:;=@_~"))
        return request.origin + base + path + (f"?{request.query}" if request.query else "")

    async def _operation(self, request: WebRequest, asked: Query, instance_id: str, operation: str) -> WebReply:
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
            data = parse_json(_body(request), empty_is_null=False, to_the_end=False)
        except BadJson as bad:
            return _error(400, "Invalid JSON content", str(bad), "Newtonsoft.Json.JsonReaderException")
        await self._client.raise_event(instance_id, name, "null" if data is None else data)
        return _ACCEPTED

    # ---- many instances

    async def _instances(self, request: WebRequest, asked: Query) -> WebReply:
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
            prefix=prefix, since=since, until=until, statuses=statuses, top=asked.page_size(), token=page_token(request.headers)
        )
        is_filtered = bool(prefix or since is not None or until is not None or statuses)
        show_input = not (is_filtered and asked.flag("showInput") is False)
        return _reply(200, [status_payload(state, show_input=show_input) for state in page], continuation(following))

    # ---- entities

    async def _entities(self, request: WebRequest, asked: Query, name: str = "", key: str = "") -> WebReply:
        if request.method == "GET" and key:
            state = await self._client.entity_state(name, "" if key == "$" else key)
            return _NOT_FOUND if state is None else _reply(200, value_or_text(state))
        if request.method == "GET":
            try:
                found, following = await self._listing.entities(
                    name=name,
                    since=asked.ticks("lastOperationTimeFrom"),
                    until=asked.ticks("lastOperationTimeTo"),
                    with_state=bool(asked.flag("fetchState")),
                    top=asked.page_size(),
                    token=page_token(request.headers),
                )
            except BadPage as bad:
                if bad.status == 400:
                    return _reply(400, {"Message": str(bad)})
                raise
            return _reply(200, found, continuation(following))
        if request.method not in ("POST", "DELETE"):
            return _NOT_FOUND
        if not name:
            return _reply(400, {"Message": "Invalid entity id: entity name must not be a null or empty string. (Parameter 'entityName')"})
        operation = "delete" if request.method == "DELETE" else asked.text("op") or ""
        length = request.headers.get("content-length")
        given: str | None = None
        if (length is None and not request.body) or (request.body and _media_type(request) == _FORM):
            given = '""'  # of a form nothing is left when upstream looks for the body, as with a start
        elif request.body:
            given = dumps(_body(request).decode("utf-8", "replace"))
            if _media_type(request) == "application/json":
                try:
                    given = parse_json(_body(request), empty_is_null=False, to_the_end=False) or "null"
                except BadJson as bad:
                    return _reply(400, {"Message": f"Could not parse JSON content: {bad}"})
        try:
            await self._client.signal_entity(name, key, operation, given)
        except ArgumentRefused as refused:
            return _reply(400, {"Message": str(refused)})
        return _ACCEPTED


def elsewhere(query: str) -> tuple[str | None, str | None]:
    """The task hub and the connection that a request names, each None when it leaves that open."""
    asked = Query(query)
    hub, connection = ((asked.text(name) or "").strip() or None for name in ("taskHub", "connection"))
    return hub, connection


def refuse_hub(problem: str) -> WebReply:
    """The reply to a request for a hub that cannot be."""
    return _error(400, _REFUSED, problem, "System.ArgumentException")


def refuse_connection(problem: str) -> WebReply:
    """The reply to a request for a connection that no app setting describes, or that leads nowhere."""
    return _error(500, _WENT_WRONG, problem, "System.InvalidOperationException")


def _decode(segment: str) -> str:
    """Percent-decodes once; an encoded slash stays as it is."""
    return "%2F".join(unquote(part) for part in segment.replace("%2f", "%2F").split("%2F"))


def _media_type(request: WebRequest) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _body(request: WebRequest) -> bytes:
    """The body in UTF-8, whatever character set it came in.

    Raises:
        OperationRefused: there is no such character set.
    """
    found = re.search(r";\s*charset\s*=\s*\"?([^\s;\"]+)", request.headers.get("content-type", ""), re.IGNORECASE)
    if found is None or found.group(1).lower() == "utf-8":
        return request.body
    try:
        return request.body.decode(found.group(1), "replace").encode("utf-8", "replace")
    except LookupError:
        raise OperationRefused(
            "The character set provided in ContentType is invalid. Cannot read content as string using an invalid character set."
        ) from None


def _bad_input(bad: BadJson) -> WebReply:
    """The reply to a start whose body is not JSON."""
    if not bad.cut_off:
        return _error(400, "Invalid JSON content", str(bad), "Newtonsoft.Json.JsonReaderException")
    sentence, type_name = _CUT_OFF[bad.cut_off]
    return _error(500, _WENT_WRONG, f"{sentence} Path{str(bad).rpartition(' Path')[2]}", type_name)


def _reply(status: int, value: Any, headers: dict[str, str] | None = None) -> WebReply:
    return WebReply(status=status, headers={**_JSON, **(headers or {})}, body=dumps(value).encode())


def _error(status: int, message: str, exception: str, type_name: str) -> WebReply:
    return _reply(status, {"Message": message, "ExceptionMessage": exception, "ExceptionType": type_name, "StackTrace": _STACK})
