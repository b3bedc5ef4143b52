"""What an HTTP function gave back, as a reply."""

from __future__ import annotations

import logging
import re
from typing import Any

from devhost.http import json_text
from devhost.http.message import Reply
from devhost.invocation import Datum, Failed, HttpResponseData, JsonText, Succeeded

TEXT = "text/plain; charset=utf-8"

_log = logging.getLogger("Host.Http")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# The host's own: a function cannot choose how its reply is framed, except by Content-Length
_FRAMING = {"transfer-encoding"}


def function_reply(outcome: Succeeded | Failed) -> Reply:
    """The reply for an outcome; a failure is a 500 without body."""
    if isinstance(outcome, Failed):
        return Reply(status=500)
    value = outcome.return_value
    if value is None:
        # A function that sets its reply through an out-binding, as `http` bindings of other names do
        value = next((item for item in outcome.outputs.values() if isinstance(item, HttpResponseData)), None)
    return sendable(_reply(value))


def _reply(value: Datum) -> Reply:
    if isinstance(value, HttpResponseData):
        return Reply(status=value.status, headers=_last_of_each(value.headers), body=value.body, is_streamed=True)
    if isinstance(value, bytes):
        return _body_reply(200, [("Content-Type", "application/octet-stream")], value)
    text = value.text if isinstance(value, JsonText) else value
    return text_reply(text) if isinstance(text, str) else _body_reply(200, [], b"")


def text_reply(text: str) -> Reply:
    """A `str` result: JSON is written anew, an object with a `body` describes the whole reply, other text goes out as it is."""
    try:
        value = json_text.parse(text)
    except (ValueError, RecursionError):
        return _body_reply(200, [("Content-Type", TEXT)], text.encode("utf-8", "replace"))
    if isinstance(value, dict):
        fields = {key.lower(): item for key, item in value.items()}
        if "body" in fields:
            return _described_reply(fields)
    return _body_reply(200, [("Content-Type", TEXT)], json_text.as_text(value).encode("utf-8", "replace"))


def _described_reply(fields: dict[str, Any]) -> Reply:
    body = fields["body"]
    if isinstance(body, dict):
        text = json_text.write(body, indent=None)
    elif isinstance(body, list):
        text = "System.Collections.Generic.List`1[System.Object]"
    else:
        text = json_text.as_text(body)
    headers = [("Content-Type", TEXT)]
    given = fields.get("headers")
    if isinstance(given, dict):
        headers += [(str(name), json_text.as_text(value)) for name, value in given.items()]
    return _body_reply(_status(fields.get("statuscode", fields.get("status"))), _last_of_each(headers), text.encode("utf-8", "replace"))


def _status(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 999 else 200


def _body_reply(status: int, headers: list[tuple[str, str]], body: bytes) -> Reply:
    return Reply(status=status, headers=headers, body=body, is_streamed=True)


def _last_of_each(headers: Any) -> list[tuple[str, str]]:
    """Of headers with one name only the last is sent, except cookies."""
    kept: dict[str, tuple[str, str]] = {}
    cookies: list[tuple[str, str]] = []
    for name, value in headers:
        if name.lower() == "set-cookie":
            cookies.append(("Set-Cookie", value))
        elif name.lower() not in _FRAMING:
            kept[name.lower()] = (name, value)
    return [*kept.values(), *cookies]


def sendable(reply: Reply) -> Reply:
    """The reply, or a 500 when HTTP cannot carry it: odd header names or values, a Content-Length smaller than the body."""
    for name, value in reply.headers:
        if not _HEADER_NAME.fullmatch(name) or not value.isascii() or any(c in value for c in "\r\n\0"):
            _log.error("The header %r: %r of a function's reply cannot be sent; the reply is a 500 instead", name, value)
            return Reply(status=500)
        if name.lower() == "content-length" and not (value.isdigit() and int(value) >= len(reply.body)):
            _log.error("A function's reply has %d bytes, but its Content-Length is %s; the reply is a 500 instead", len(reply.body), value)
            return Reply(status=500, close=True)
    return reply
