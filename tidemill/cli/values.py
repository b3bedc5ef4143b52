"""Reading values from a command line."""

from __future__ import annotations

import getpass
from collections.abc import Iterable

import msgspec

from tidemill.cli.errors import UsageMistake
from tidemill.model.facts import JsonScalar


def read_parameters(given: Iterable[str]) -> dict[str, JsonScalar]:
    """`name=value` pairs. A value that is a JSON number, `true`, `false`, `null` or a quoted string is that; anything else is text.

    Raises:
        UsageMistake: one is not such a pair.
    """
    parameters: dict[str, JsonScalar] = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageMistake(f"--param {pair} is not name=value.", hint="Write, for example, --param year=2013.")
        parameters[name] = _value(text)
    return parameters


def login_name() -> str:
    """Who sits at this terminal; empty if the machine does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _value(text: str) -> JsonScalar:
    try:
        value = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeError):
        return text
    return text if isinstance(value, dict | list) else value
