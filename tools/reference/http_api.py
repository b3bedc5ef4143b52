"""The page about the HTTP API, from the route table."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill.api.reading import MAX_BODY_BYTES
from tidemill.api.routes import ROUTES
from tools.reference.fields import cell
from tools.reference.openapi import document

_HEAD = f"""\
<!-- Written by `python -m tools.reference`; change the code, not this page. -->
# HTTP API

Everything is below `/api`. Bodies are JSON (`Content-Type: application/json`), at most {MAX_BODY_BYTES:,} bytes; unknown fields and unknown query
parameters are refused, with the nearest name. Instants are RFC 3339 text in UTC.

Every error is a problem document (`application/problem+json`, RFC 9457) with a stable `code` and a `hint`; see [errors](errors.md). A store or engine
that does not answer is 503 with `Retry-After`. A wrong method is 405 with `Allow`. `HEAD` answers as `GET` does, `OPTIONS` says what is allowed.
A page of another site can change nothing: its `Origin` is refused (403).

A run is asynchronous: `POST /api/runs` answers 202 with `Location`; ask there, after `Retry-After` seconds, until it answers 200.
With an `Idempotency-Key` the same request gives the same run, however often it is sent; another request with the same key is a conflict (409).

The same as a machine-readable document: `tidemill/api/openapi.json` (OpenAPI 3.1).

| | | |
|---|---|---|
"""


def http_api_page() -> str:
    """The page."""
    api = document()
    schemas: dict[str, Any] = api["components"]["schemas"]
    parts = [_HEAD + "".join(f"| {route.method} | `/api{route.template}` | {route.summary} |\n" for route in ROUTES)]
    used: dict[str, None] = {}
    for route in ROUTES:
        operation = api["paths"][f"/api{route.template}"][route.method.lower()]
        parts.append(f"## {route.method} /api{route.template}\n\n{operation['description']} Role: {route.role.value}.\n")
        parts.append(_parameters(operation["parameters"]))
        if "requestBody" in operation:
            body = schemas[_name(operation["requestBody"]["content"]["application/json"]["schema"])]
            parts.append("Body:\n\n" + _fields(body))
            _collect_parts(body, schemas, used)
        for status, reply in operation["responses"].items():
            if status == "default":
                continue
            types = [
                f"`{media_type}`" + (f" ([{_name(content['schema'])}](#{_name(content['schema']).lower()}))" if content else "")
                for media_type, content in reply["content"].items()
            ]
            parts.append(f"**{status}** {reply['description']} {', '.join(types)}\n")
            for content in reply["content"].values():
                if content:
                    _collect(_name(content["schema"]), schemas, used)
    parts.append("## Objects\n")
    parts += [f"### {name}\n\n{schemas[name].get('description', '')}\n\n{_fields(schemas[name])}" for name in used]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _parameters(parameters: list[dict[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = [f"| `{each['name']}` | {each['in']} | {_type(each['schema'])} | {cell(each['description'])} |" for each in parameters]
    return "\n".join(["| parameter | in | type | |", "|---|---|---|---|", *rows]) + "\n"


def _fields(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"One of {', '.join(f'`{each}`' for each in schema['enum'])}.\n"
    required = set(schema.get("required", ()))
    rows = []
    for name, each in schema["properties"].items():
        default = "" if name in required else f" Default: `{msgspec.json.encode(each.get('default')).decode()}`."
        rows.append(f"| `{name}` | {_type(each)} | {cell(each.get('description', '') + default).strip()} |")
    return "\n".join(["| field | type | |", "|---|---|---|", *rows]) + "\n"


def _collect(name: str, schemas: dict[str, Any], used: dict[str, None]) -> None:
    """An object and every one that it is made of, in the order in which a reader meets them."""
    if name in used:
        return
    used[name] = None
    _collect_parts(schemas[name], schemas, used)


def _collect_parts(schema: dict[str, Any], schemas: dict[str, Any], used: dict[str, None]) -> None:
    """Every object that the fields of another are made of."""
    front: list[Any] = [schema.get("properties", {})]
    while front:
        value = front.pop(0)
        if isinstance(value, dict):
            if "$ref" in value:
                _collect(_name(value), schemas, used)
            front += value.values()
        elif isinstance(value, list):
            front += value


def _type(schema: dict[str, Any]) -> str:
    """A schema in a word or two."""
    if "$ref" in schema:
        return f"[{_name(schema)}](#{_name(schema).lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object":
        return "object" if "additionalProperties" not in schema else f"object of {_type(schema['additionalProperties'] or {})}"
    bounds = [f"{name} {schema[key]:,}" for name, key in (("from", "minimum"), ("to", "maximum")) if key in schema]
    word = "instant" if schema.get("format") == "date-time" else kind
    return f"{word} {' '.join(bounds)}".strip()


def _name(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[-1]
