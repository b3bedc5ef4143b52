"""Reads the head of a request the way the real web server does: what it refuses, and with which status, is part of the contract."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from devhost.http.message import Request

MAX_REQUEST_LINE = 8192
MAX_HEADERS_SIZE = 32768
MAX_HEADER_COUNT = 100
PATH_SAFE = "/!$&'()*+,;=:@-._~"
"""What a path may hold unescaped in a URL."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_ESCAPE = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_VALID_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@\\\[\]:]*)(?::\d*)?")


class BadHead(Exception):
    """A head that is answered with a status and a closed connection."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


def read_head(head: bytes) -> Request:
    """Parses request line and headers (without the empty line that ends them); the request has no body yet.

    Raises:
        BadHead: with the status to answer.
    """
    line, _, rest = head.partition(b"\r\n")
    if len(line) + 2 > MAX_REQUEST_LINE:
        raise BadHead(414)
    method, target, version = _read_request_line(line)
    if len(rest) > MAX_HEADERS_SIZE:
        raise BadHead(431)
    headers = _read_headers(rest)
    host = headers.get("host")
    if (host is None and version == "1.1") or (host is not None and not _VALID_HOST.fullmatch(host)):
        raise BadHead(400)
    coding = headers.get("transfer-encoding")
    if coding is not None and coding.rpartition(",")[2].strip().lower() != "chunked":
        raise BadHead(400)
    if version == "1.0" and method in {"POST", "PUT"} and coding is None and "content-length" not in headers:
        raise BadHead(400)
    raw_path, mark, query = _read_target(target, host or "").partition("?")
    return Request(
        method=method,
        path=decode_path(raw_path),
        raw_path=raw_path,
        query=query,
        has_query=bool(mark),
        headers=headers,
        is_chunked=coding is not None,
        version=version,
    )


def _read_request_line(line: bytes) -> tuple[str, str, str]:
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]) or not parts[1]:
        raise BadHead(400)
    method, target, protocol = parts
    if protocol not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise BadHead(505 if protocol.startswith(b"HTTP/") else 400)
    if not target.isascii() or any(byte <= 32 or byte == 127 for byte in target):
        raise BadHead(400)
    return method.decode(), target.decode(), protocol[5:].decode()


def _read_headers(block: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    lines = block.split(b"\r\n") if block else []
    if len(lines) > MAX_HEADER_COUNT:
        raise BadHead(431)
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or b"\0" in value or b"\n" in value or b"\r" in value:
            raise BadHead(400)
        try:
            text = value.strip(b" \t").decode()
        except UnicodeDecodeError:
            raise BadHead(400) from None
        key = name.decode().lower()
        if key in headers:
            if key in {"host", "content-length"}:
                raise BadHead(400)
            headers[key] += "," + text
        else:
            headers[key] = text
    return headers


def _read_target(target: str, host: str) -> str:
    """Path and query of a request target; an absolute one has to name the same host as the Host header."""
    if target.startswith("/"):
        return target
    if target == "*":
        return "/"
    if target.lower().startswith(("http://", "https://")):
        parts = urlsplit(target)
        if parts.netloc.lower() != host.lower():
            raise BadHead(400)
        return (parts.path or "/") + ("?" + parts.query if "?" in target else "")
    raise BadHead(400)


def decode_path(raw: str) -> str:
    """Percent-decodes a path (a `%2F` and what is no UTF-8 stay as they are) and resolves dot segments.

    Raises:
        BadHead: 400 for a `%00`.
    """
    path = _ESCAPE.sub(_decode_escapes, raw) if "%" in raw else raw
    if "\0" in path:
        raise BadHead(400)
    return _without_dot_segments(path) if "/." in path else path


def _decode_escapes(match: re.Match[str]) -> str:
    """Decodes a run of escapes; in one that is not UTF-8, what can be decoded is."""
    text = match.group()
    parts: list[str] = []
    position = 0
    while position < len(text):
        for length in (1, 2, 3, 4):
            escapes = text[position : position + 3 * length]
            try:
                decoded = bytes.fromhex(escapes.replace("%", "")).decode()
            except UnicodeDecodeError:
                continue
            parts.append(escapes if decoded == "/" else decoded)
            position += len(escapes)
            break
        else:
            parts.append(text[position : position + 3])
            position += 3
    return "".join(parts)


def _without_dot_segments(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments[1:]:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
