"""Binding expressions: `%SETTING%` and `{placeholder}` in the paths and names of bindings."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from devhost.executor import BindingError
from devhost.invocation import HttpRequestData, Invocation

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_DATE_PARTS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}


def binding_data(invocation: Invocation) -> dict[str, str]:
    """The values placeholders stand for in one call, by lower-case name: trigger metadata, route and query parameters, JSON fields."""
    data: dict[str, str] = {}
    for argument in invocation.arguments.values():
        if isinstance(argument, HttpRequestData):
            data.update(_json_fields(argument.body.decode("utf-8", "replace")))
            data.update({f"query.{name.lower()}": value for name, value in argument.params.items()})
            data.update({f"headers.{name.lower()}": value for name, value in argument.headers.items()})
            data.update({name.lower(): value for name, value in argument.params.items()})
            data.update({name.lower(): value for name, value in argument.route_params.items()})
        elif isinstance(argument, str):
            data.update(_json_fields(argument))
    data.update({name.lower(): value for name, value in invocation.trigger_metadata.items()})
    data["sys.methodname"] = invocation.function
    return data


def _json_fields(text: str) -> dict[str, str]:
    if not text.lstrip().startswith("{"):
        return {}
    try:
        fields = json.loads(text)
    except ValueError:
        return {}
    return {name.lower(): _plain(value) for name, value in fields.items() if not isinstance(value, (dict, list))}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def expand_placeholders(text: str, data: Mapping[str, str], place: str) -> str:
    """`text` with every `{name}` replaced.

    Raises:
        BindingError: a name has no value in this call; `place` says where it stands.
    """

    def value(match: re.Match[str]) -> str:
        name, _, form = match.group(1).partition(":")
        lower = name.lower()
        if lower in data:
            return unquote(data[lower]) if lower.startswith("query.") else data[lower]
        if lower in {"rand-guid", "sys.randguid"}:
            return _guid(form)
        if lower in {"datetime", "sys.utcnow"}:
            return _now(form)
        raise BindingError(f"{place}: there is no value for {{{match.group(1)}}}; there are {', '.join(sorted(data)) or 'none'}")

    return _PLACEHOLDER.sub(value, text)


def _guid(form: str) -> str:
    guid = uuid.uuid4()
    return {"N": guid.hex, "B": f"{{{guid}}}", "P": f"({guid})"}.get(form.upper(), str(guid))


def _now(form: str) -> str:
    now = datetime.now(UTC)
    if not form:
        return now.strftime("%Y-%m-%dT%H-%M-%SZ")
    return re.sub("yyyy|MM|dd|HH|mm|ss", lambda part: now.strftime(_DATE_PARTS[part.group()]), form)
