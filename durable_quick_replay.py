"""Takes the parsing of timestamps out of every replay of the Durable SDK: the one cost that grows with a history and buys nothing.

`azure/durable_functions/models/history/HistoryEvent.py` has `self._timestamp = dt_parse(Timestamp)` in `HistoryEvent.__init__`. That is
`dateutil.parser.parse`, which guesses at any way of writing a date; it runs for every event of the history, in every episode, and is four fifths and
more of a replay. The engine writes one form only, which `datetime.fromisoformat` reads some forty times as fast.

`quicken_replay()` gives that module another `dt_parse`: the plain form is read quickly, all else goes to dateutil as before. Values, time zone objects and
errors are the same. Nothing else that uses dateutil is touched, and no class is. It is done for exactly the release it was written against and only if the
file is, to the letter, the one that was read; otherwise it does nothing and says so in one line.

This module stands alone, beside what uses it: Tidemill's app asks for it by name, the local host does it for every app. Any other app on the Durable SDK
can use it, or copy it. It can go when the SDK stops parsing what nobody
reads: only the timestamps of `OrchestratorStarted` are ever looked at.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import inspect
import logging
import re
import time
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Final

DISTRIBUTION: Final = "azure-functions-durable"
RELEASE: Final = "1.7.0"
MODULE: Final = "azure.durable_functions.models.history.HistoryEvent"
SOURCE: Final = "c0bed14cbed8801eec491675e48f6bd251241a4362d8016f0c159a37597fecb9"
"""SHA-256 of that module's source text, in that release."""

Parse = Callable[[str], datetime]

SAMPLES: Final = (
    "2026-11-21T15:33:31Z",
    "2026-11-21T15:33:31.5Z",
    "2024-02-29T00:00:00.123456Z",
    "1999-12-31T23:59:59.9999999Z",
    "2026-11-21T15:33:31.1234567+00:00",
)
"""Read in both ways before anything is changed, since dateutil's release is not fixed by the SDK's."""

_PLAIN: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,7})?Z")
_log = logging.getLogger(__name__)


def quicken_replay() -> bool:
    """Makes replays in this process quick, for every app in it; call it once, when `function_app.py` is loaded. Again is harmless.

    Never raises: an app without it is slower and otherwise the same.

    Returns:
        Whether replays are quick now. If not, one warning was logged that says why.
    """
    problem = why_not_quick()
    if problem is not None:
        _log.warning("Replays are left as slow as the Durable SDK has them: %s", problem)
    return problem is None


def why_not_quick() -> str | None:
    """As `quicken_replay`, for whom slow replays need no warning: why they stay slow, or None if they are quick now."""
    try:
        return _quicken()
    except Exception as error:  # noqa: BLE001 - whatever a release that nobody has seen may do, the app goes on without this
        return f"{type(error).__name__}: {error}"


def quick(original: Parse) -> Parse:
    """A function that answers what `original`, dateutil's `parse`, answers, and the engine's timestamps at once.

    A suffix `Z` means `tz.UTC` to dateutil, or `tzlocal()` where the machine's own zone is called UTC, as on Azure. So its own answer is asked for
    that, and again if the zone of the process is changed by `time.tzset`.
    """
    zone: tzinfo | None = None
    zone_names: tuple[str, str] | None = None
    is_plain, read = _PLAIN.fullmatch, datetime.fromisoformat

    def parse(text: str) -> datetime:
        nonlocal zone, zone_names
        if zone_names is not time.tzname:
            names = time.tzname
            zone = original(SAMPLES[0]).tzinfo if _says_one_thing(names) else None
            zone_names = names
        if zone is not None and type(text) is str and is_plain(text):
            try:
                return read(text[:-1]).replace(tzinfo=zone)
            except ValueError:  # a 13th month: what becomes of it is dateutil's to say
                pass
        return original(text)

    return parse


def _says_one_thing(names: tuple[str, str]) -> bool:
    """Whether UTC means the same at all times of the year here. Where summer time is called UTC, dateutil's answer depends on the date."""
    return "UTC" not in names or (names == ("UTC", "UTC") and time.timezone == 0 == time.altzone)


def _quicken() -> str | None:
    """Why it was not done; None if it was, now or before."""
    release = importlib.metadata.version(DISTRIBUTION)
    if release != RELEASE:
        return f"{DISTRIBUTION} is {release}, and {__name__} was written for {RELEASE}."
    module = importlib.import_module(MODULE)
    original: Parse = module.dt_parse
    if getattr(original, "__module__", None) == __name__:
        return None
    if original is not importlib.import_module("dateutil.parser").parse:
        return f"`dt_parse` in {MODULE} is not dateutil's: something else has replaced it."
    if hashlib.sha256(inspect.getsource(module).encode()).hexdigest() != SOURCE:
        return f"the source of {MODULE} is not that of {RELEASE}."
    parse = quick(original)
    for sample in SAMPLES:
        expected, found = original(sample), parse(sample)
        if (expected, type(expected.tzinfo), expected.fold) != (found, type(found.tzinfo), found.fold):
            return f"dateutil reads {sample} as {expected!r}, not as {found!r}."
    vars(module)["dt_parse"] = parse
    return None
