"""The host's log: one line a record, coloured on a terminal, JSON on request, filtered by category as host.json says.

Categories are the real host's (`Function.<name>`, `Function.<name>.User`, `Host.Function.Console`, ...) and double as logger names. The lines around
each invocation (`Executing`, `Executed`) are shown as `func start` shows them, except for activities, orchestrators and entities: without a word
in host.json about them they are left out, since one fan-out would drown everything else.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TextIO

_LEVELS = {
    "trace": logging.DEBUG, "debug": logging.DEBUG, "information": logging.INFO, "warning": logging.WARNING,
    "error": logging.ERROR, "critical": logging.CRITICAL, "none": logging.CRITICAL + 10,
}  # fmt: skip
_SHORT = {logging.DEBUG: "dbug", logging.INFO: "info", logging.WARNING: "warn", logging.ERROR: "fail", logging.CRITICAL: "crit"}
_COLOURS = {logging.DEBUG: "90", logging.INFO: "36", logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}
_LIBRARIES = ("asyncio", "aiohttp", "azure", "urllib3")


class CategoryLevels(logging.Filter):
    """Lets a record through when its level reaches that of the longest category it falls under."""

    def __init__(self) -> None:
        super().__init__()
        self.configure({}, verbose=False)

    def configure(self, log_levels: Mapping[str, str], *, verbose: bool) -> None:
        """`log_levels` is host.json's `logging.logLevel`; `verbose` shows everything but the chatter of libraries."""
        given = {name: _LEVELS.get(level.lower(), logging.INFO) for name, level in log_levels.items()}
        default = next((level for name, level in given.items() if name.lower() == "default"), logging.INFO)
        self._default = logging.DEBUG if verbose else default
        self._levels = dict.fromkeys(_LIBRARIES, logging.INFO if verbose else logging.WARNING) | ({} if verbose else given)
        self._given = None if verbose else given
        self.keep_quiet(())

    def keep_quiet(self, functions: Iterable[str]) -> None:
        """Leaves out the lines around the invocations of these functions, unless host.json has a level for them, or everything is shown."""
        given = self._given
        quiet = [] if given is None else [f"Function.{name}" for name in functions if not given.keys() & {"Function", f"Function.{name}"}]
        if given is not None and "Host.Http" not in given:
            quiet.append("Host.Http")
        self._quiet = dict.fromkeys(quiet, max(logging.WARNING, self._default))
        self._known: dict[str, int] = {}

    @property
    def lowest(self) -> int:
        """The lowest level that any category shows."""
        return min(self._default, *self._levels.values())

    def threshold(self, category: str) -> int:
        """The lowest level that is shown of a category."""
        level = self._known.get(category)
        if level is None:
            is_user = category.startswith("Function.") and category.endswith(".User")
            levels = self._levels if is_user else self._quiet | self._levels
            covering = [name for name in levels if category == name or category.startswith(name + ".")]
            level = self._known[category] = levels[max(covering, key=len)] if covering else self._default
        return level

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self.threshold(record.name)


_levels = CategoryLevels()


def keep_quiet(functions: Iterable[str]) -> None:
    """See `CategoryLevels.keep_quiet`."""
    _levels.keep_quiet(functions)


def is_shown(category: str, level: int) -> bool:
    """Whether such records are shown at all; spares busy code the making of those that are not."""
    return level >= _levels.threshold(category)


class ConsoleFormatter(logging.Formatter):
    """`[12:34:56.789] warn: text (function ids)`, in colour on a terminal."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level = _SHORT.get(record.levelno, record.levelname.lower())
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        text, newline, rest = text.rstrip("\n").partition("\n")
        rest = newline + rest
        origin = " ".join(_origin(record))
        if self._colour:
            suffix = f" \x1b[90m({origin})\x1b[0m" if origin else ""
            return f"\x1b[90m[{time}]\x1b[0m \x1b[{_COLOURS.get(record.levelno, '0')}m{level}\x1b[0m: {text}{suffix}{rest}"
        return f"[{time}] {level}: {text}" + (f" ({origin})" if origin else "") + rest


def _origin(record: logging.LogRecord) -> list[str]:
    """What a line says of where it came from: function, instance, the start of the invocation id."""
    fields = [getattr(record, "function", None), getattr(record, "instance_id", None)]
    invocation_id = getattr(record, "invocation_id", None)
    shown = [str(field) for field in fields if field]
    if not shown and not invocation_id:
        return [] if record.name.startswith(("Host.", "Function.")) else [record.name]
    return [*shown, str(invocation_id)[:8]] if invocation_id else shown


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "category": record.name,
            "message": record.getMessage(),
            "function": getattr(record, "function", None),
            "invocationId": getattr(record, "invocation_id", None),
            "instanceId": getattr(record, "instance_id", None),
            "source": getattr(record, "source", None),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in fields.items() if value is not None}, ensure_ascii=False)


def configure_logging(log_levels: Mapping[str, str], *, as_json: bool, verbose: bool, stream: TextIO | None = None) -> None:
    """Sets up the process's logging: one handler on the root logger, writing to stdout."""
    out = stream or sys.stdout
    _levels.configure(log_levels, verbose=verbose)
    handler = logging.StreamHandler(out)
    colour = out.isatty() and not os.environ.get("NO_COLOR")
    handler.setFormatter(JsonFormatter() if as_json else ConsoleFormatter(colour=colour))
    handler.addFilter(_levels)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_levels.lowest)  # records below it are not even made
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(_levels.threshold(library))
