"""Settings files: JSON that may hold comments, read with messages that say where."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


class SettingsError(Exception):
    """A setting or a settings file that cannot be used; the text names the place and what was expected."""


class MissingConnection(SettingsError):
    """A connection string that no app setting holds: without it the host does not start."""


def strip_comments(text: str) -> str:
    """Blanks out `//` and `/* */` comments outside strings; lines and columns stay where they were."""

    def blank(match: re.Match[str]) -> str:
        token = match.group()
        return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)

    return _TOKEN.sub(blank, text)


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        SettingsError: the file cannot be read, is no JSON, or is no object.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path.name} is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise SettingsError(f"{path.name} cannot be read: {error.strerror}") from None
    try:
        document = json.loads(strip_comments(text))
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path.name} is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{path.name} has to be a JSON object, not {json_type(document)}")
    return document


def json_type(value: object) -> str:
    """A JSON value's kind, for messages."""
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
