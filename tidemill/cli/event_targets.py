"""Handing the events of a whole run over: to a file that appears whole or not at all, or to a lineage backend that is asked again while it may recover."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tidemill.cli.errors import ExportFailed
from tidemill.execution.event_targets import Event, HttpTarget, NotTaken

KEY_VARIABLE = "TIDEMILL_OPENLINEAGE_KEY"
"""Environment variable with the backend's key, sent as `Authorization: Bearer …`."""

ATTEMPTS = 5
"""Times that one event is sent at most: with the pauses between, for some fifteen seconds."""

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0


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
    key: str,
    *,
    pause: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda _: None,
) -> int:
    """Posts events one by one, in order; the number of them.

    Args:
        address: an HTTP address.
        events: what to send.
        key: the backend's, if it wants one.
        pause: waits that many seconds.
        tell: is told of every attempt that failed and will be repeated.

    Raises:
        ExportFailed: an event was refused, or could not be handed over in `ATTEMPTS` attempts. Those before it were taken.
    """
    count = 0
    target = HttpTarget(address, key)
    try:
        for event in events:
            _deliver(target, event, count, pause, tell)
            count += 1
    finally:
        target.close()
    return count


def _deliver(target: HttpTarget, event: Event, sent: int, pause: Callable[[float], None], tell: Callable[[str], None]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            target.send(event)
        except NotTaken as error:
            if error.status in (401, 403):
                raise ExportFailed(target.name, f"{error}; set {KEY_VARIABLE} to a key that it accepts", sent=sent) from None
            if not error.passing:
                raise ExportFailed(target.name, str(error), sent=sent) from None
            if attempt == ATTEMPTS:
                raise ExportFailed(target.name, f"{error}, {ATTEMPTS} times", sent=sent) from None
            wait = max(_PAUSE_SECONDS * 2 ** (attempt - 1), error.wait)
            tell(f"Event {sent + 1} was not taken ({error}); trying again in {wait:.0f} s.")
            pause(min(wait, _LONGEST_PAUSE_SECONDS))
        else:
            return
