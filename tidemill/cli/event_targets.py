"""Where events go: a file that appears whole or not at all, or a lineage backend that is asked again while it may recover.

Sending an event twice is harmless: its run and time are the same, and backends keep one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tidemill.cli.errors import ExportFailed

KEY_VARIABLE = "TIDEMILL_OPENLINEAGE_KEY"
"""Environment variable with the backend's key, sent as `Authorization: Bearer …`."""

ATTEMPTS = 5
"""Times that one event is sent at most: with the pauses between, for some fifteen seconds."""

_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})

Event = dict[str, Any]


def write(path: Path, events: Iterable[Event]) -> int:
    """Writes events, one JSON document a line; the number of them. A failure half way leaves no half file.

    Raises:
        ExportFailed: the file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    count = 0
    try:
        with part.open("wb") as out:
            for event in events:
                out.write(msgspec.json.encode(event) + b"\n")
                count += 1
        part.replace(path)
    except OSError as error:
        raise ExportFailed(str(path), error.strerror or str(error), sent=0) from None
    finally:
        part.unlink(missing_ok=True)
    return count


def post(
    address: str,
    events: Iterable[Event],
    environment: Mapping[str, str],
    *,
    pause: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda _: None,
) -> int:
    """Posts events one by one, in order; the number of them.

    Args:
        address: an HTTP address.
        events: what to send.
        environment: holds the key, if the backend wants one.
        pause: waits that many seconds.
        tell: is told of every attempt that failed and will be repeated.

    Raises:
        ExportFailed: an event was refused, or could not be handed over in `ATTEMPTS` attempts. Those before it were taken.
    """
    key = environment.get(KEY_VARIABLE, "")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    count = 0
    with httpx.Client(headers=headers, timeout=httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS)) as http:
        for event in events:
            _deliver(http, address, msgspec.json.encode(event), count, pause, tell)
            count += 1
    return count


def _deliver(http: httpx.Client, address: str, body: bytes, sent: int, pause: Callable[[float], None], tell: Callable[[str], None]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        wait = _PAUSE_SECONDS * 2 ** (attempt - 1)
        try:
            reply = http.post(address, content=body)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ExportFailed(address, f"that is no address: {error}", sent=sent) from None
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
        else:
            if reply.is_success:
                return
            why = f"it answers HTTP {reply.status_code}"
            if reply.status_code in (401, 403):
                raise ExportFailed(address, f"{why}; set {KEY_VARIABLE} to a key that it accepts", sent=sent)
            if reply.status_code not in _PASSING:
                raise ExportFailed(address, why, sent=sent)
            wait = max(wait, _asked_for(reply))
        if attempt == ATTEMPTS:
            raise ExportFailed(address, f"{why}, {ATTEMPTS} times", sent=sent)
        tell(f"Event {sent + 1} was not taken ({why}); trying again in {wait:.0f} s.")
        pause(min(wait, _LONGEST_PAUSE_SECONDS))


def _asked_for(reply: httpx.Response) -> float:
    """Seconds that the backend asks to wait."""
    text = reply.headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 0.0
