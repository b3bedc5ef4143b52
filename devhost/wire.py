"""Frames between the host and its workers: a JSON header and raw bytes, over a socket of their own.

The worker side runs in the app's own environment, so this module needs nothing but the standard library. Payloads (strings, bodies,
JSON texts) travel as bytes behind the header instead of inside it: an orchestration's context is JSON text of megabytes, and escaping it
into another JSON text would cost more than everything else about a call.

    frame = length of the rest (4 bytes) | length of the header (4 bytes) | header | payloads, one after the other
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from devhost.invocation import Datum, Failed, HttpRequestData, HttpResponseData, Invocation, JsonText, Succeeded

_LENGTHS = struct.Struct("!II")
_encode_json = json.JSONEncoder(separators=(",", ":")).encode
_decode_json = json.JSONDecoder().decode

Header = dict[str, Any]


class FrameWriter:
    """Builds one frame: `add` puts a payload behind the header and gives the token that stands for it in the header."""

    __slots__ = ("_payloads",)

    def __init__(self) -> None:
        self._payloads: list[bytes] = []

    def add(self, datum: Datum | list[Datum]) -> Any:
        if datum is None:
            return None
        if isinstance(datum, str):
            return ["s", self._payload(datum.encode("utf-8", "surrogatepass"))]
        if isinstance(datum, JsonText):
            return ["j", self._payload(datum.text.encode("utf-8", "surrogatepass"))]
        if isinstance(datum, bytes):
            return ["b", self._payload(datum)]
        if isinstance(datum, HttpRequestData):
            maps = (dict(datum.headers), dict(datum.params), dict(datum.route_params))
            return ["q", self._payload(datum.body), datum.method, datum.url, *maps]
        if isinstance(datum, HttpResponseData):
            return ["r", self._payload(datum.body), datum.status, datum.headers]
        return ["l", [self.add(item) for item in datum]]

    def _payload(self, content: bytes) -> int:
        self._payloads.append(content)
        return len(content)

    def frame(self, header: Mapping[str, Any]) -> bytes:
        head = _encode_json(header).encode()
        rest = sum(map(len, self._payloads))
        return b"".join((_LENGTHS.pack(4 + len(head) + rest, len(head)), head, *self._payloads))


class FrameReader:
    """The payloads of one received frame; tokens have to be read in the order in which they were written."""

    __slots__ = ("_content", "_offset", "header")

    def __init__(self, header: Header, content: bytes) -> None:
        self.header = header
        self._content = content
        self._offset = 0

    def take(self, token: Any) -> Any:
        """The datum (or list of them) that `FrameWriter.add` was given."""
        if token is None:
            return None
        kind = token[0]
        if kind == "l":
            return [self.take(item) for item in token[1]]
        start, self._offset = self._offset, self._offset + token[1]
        content = self._content[start : self._offset]
        if kind == "s":
            return content.decode("utf-8", "surrogatepass")
        if kind == "j":
            return JsonText(content.decode("utf-8", "surrogatepass"))
        if kind == "q":
            _, _, method, url, headers, params, route_params = token
            return HttpRequestData(method=method, url=url, headers=headers, params=params, route_params=route_params, body=content)
        if kind == "r":
            return HttpResponseData(status=token[2], headers=tuple((name, value) for name, value in token[3]), body=content)
        return content


class FrameDecoder:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[FrameReader]:
        """Yields every frame that is complete with `data`, the rest is kept for later."""
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= _LENGTHS.size:
            rest, head = _LENGTHS.unpack_from(buffer, position)
            end = position + 4 + rest
            if len(buffer) < end:
                break
            start = position + _LENGTHS.size
            header = _decode_json(buffer[start : start + head].decode())
            content = bytes(buffer[start + head : end])
            position = end
            yield FrameReader(header, content)
        del buffer[:position]


def call_frame(number: int, invocation: Invocation) -> bytes:
    """Asks a worker to run a function; `number` names the call in the worker's answer."""
    writer = FrameWriter()
    failure = invocation.retry_failure
    header: Header = {
        "k": "call",
        "n": number,
        "f": invocation.function,
        "i": invocation.invocation_id,
        "o": invocation.instance_id,
        "m": dict(invocation.trigger_metadata),
        "r": [invocation.retry_count, invocation.max_retry_count, failure and [failure.type_name, failure.message, failure.stack]],
        "a": {name: writer.add(datum) for name, datum in invocation.arguments.items()},
    }
    return writer.frame(header)


def read_call(frame: FrameReader) -> Invocation:
    """The inverse of `call_frame`."""
    header = frame.header
    retry_count, max_retry_count, failure = header["r"]
    return Invocation(
        function=header["f"],
        arguments={name: frame.take(token) for name, token in header["a"].items()},
        invocation_id=header["i"],
        instance_id=header["o"],
        trigger_metadata=header["m"],
        retry_count=retry_count,
        max_retry_count=max_retry_count,
        retry_failure=failure and Failed(type_name=failure[0], message=failure[1], stack=failure[2]),
    )


def outcome_frame(number: int, outcome: Succeeded | Failed) -> bytes:
    """Answers a call."""
    writer = FrameWriter()
    if isinstance(outcome, Failed):
        texts = [writer.add(text) for text in (outcome.type_name, outcome.message, outcome.stack)]
        return writer.frame({"k": "fail", "n": number, "t": texts})
    value = writer.add(outcome.return_value)
    outputs = {name: writer.add(datum) for name, datum in outcome.outputs.items()}
    return writer.frame({"k": "done", "n": number, "v": value, "o": outputs})


def read_outcome(frame: FrameReader) -> Succeeded | Failed:
    """The inverse of `outcome_frame`."""
    header = frame.header
    if header["k"] == "fail":
        type_name, message, stack = (frame.take(token) for token in header["t"])
        return Failed(type_name=type_name, message=message, stack=stack)
    value = frame.take(header["v"])
    return Succeeded(return_value=value, outputs={name: frame.take(token) for name, token in header["o"].items()})


def plain_frame(header: Mapping[str, Any]) -> bytes:
    """A frame without payloads, such as a log record or the index of the app."""
    return FrameWriter().frame(header)


Send = Callable[[bytes], None]
