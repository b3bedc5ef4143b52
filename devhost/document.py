"""A settings document and its sections, read by key without regard to case, with errors that name the path."""

from __future__ import annotations

import json
import re
from collections.abc import ItemsView, Mapping
from typing import Any, overload

from devhost.durations import parse_timespan
from devhost.jsonc import SettingsError, json_type


class Document:
    """One JSON object of a settings file."""

    def __init__(self, fields: Mapping[str, Any], name: str, path: str = "") -> None:
        self.fields = fields
        self._name = name
        self._path = path
        self._lower = {key.lower(): value for key, value in fields.items()}

    def place(self, key: str) -> str:
        """How messages name a key: `host.json: extensions.http.routePrefix`."""
        return f"{self._name}: {self._path}{key}"

    def get(self, key: str) -> Any:
        return self._lower.get(key.lower())

    def items(self) -> ItemsView[str, Any]:
        return self.fields.items()

    def section(self, key: str) -> Document:
        """The object under `key`; an absent one is empty."""
        value = self.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise SettingsError(f"{self.place(key)} has to be an object, not {json_type(value)}")
        return Document(value, self._name, f"{self._path}{key}.")

    def sections(self) -> dict[str, Document]:
        """Every field as a section."""
        return {key: self.section(key) for key in self.fields}

    def text(self, key: str, *, default: str) -> str:
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise SettingsError(f"{self.place(key)} has to be a string, not {json_type(value)}")
        return value

    def boolean(self, key: str, *, default: bool) -> bool:
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        if not isinstance(value, bool):
            raise SettingsError(f"{self.place(key)} has to be true or false, not {json.dumps(value)}")
        return value

    @overload
    def integer(self, key: str, *, default: int, at_least: int, at_most: int) -> int: ...
    @overload
    def integer(self, key: str, *, default: None, at_least: int, at_most: int) -> int | None: ...
    def integer(self, key: str, *, default: int | None, at_least: int, at_most: int) -> int | None:
        value = self.get(key)
        if value is None:
            return default
        if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
            raise SettingsError(f"{self.place(key)} has to be a whole number from {at_least} to {at_most}, not {json.dumps(value)}")
        return value

    def timespan(self, key: str, *, default: float) -> float:
        """Seconds of a .NET time span such as `00:05:00` or `1.02:03:04.5`."""
        value = self.get(key)
        if value is None:
            return default
        seconds = parse_timespan(value) if isinstance(value, str) else None
        if seconds is None:
            raise SettingsError(f'{self.place(key)} has to be a time span such as "00:05:00" (hh:mm:ss), not {json.dumps(value)}')
        return seconds
