"""The OpenAPI 3.1 document, from the route table and the structs it names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tidemill.api.http import JSON
from tidemill.api.problem import MEDIA_TYPE, Problem
from tidemill.api.reading import MAX_BODY_BYTES
from tidemill.api.route import Nothing, Route
from tidemill.api.routes import ROUTES
from tidemill.version import VERSION
from tools.reference.fields import field_docs, summary

_PATH_PARAMETERS = {
    "run_id": ("A run id.", "^[a-z0-9][a-z0-9\\-]{2,79}$"),
    "asset": ("An asset key.", "^[a-z][a-z0-9_]{0,62}(\\.[a-z][a-z0-9_]{0,62}){0,4}$"),
    "plan": ("The id of a saved plan, or its first six digits or more.", "^[0-9a-f]{6,64}$"),
    "branch": ("A branch.", "^[a-z0-9][a-z0-9_\\-]{0,62}$"),
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Repeating a request with the same key gives the same run.",
    "schema": {"type": "string", "maxLength": 200},
}


def openapi_text() -> str:
    """The document as JSON text."""
    return msgspec.json.format(msgspec.json.encode(document(), order="deterministic"), indent=2).decode() + "\n"


def document() -> dict[str, Any]:
    """The document."""
    structs = list(dict.fromkeys(_structs()))
    _, schemas = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    for struct in _reachable(structs):
        properties = schemas[struct.__name__].get("properties", {})
        for name, text in field_docs(struct).items():
            properties[name].setdefault("description", text)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(f"/api{route.template}", {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tidemill",
            "version": VERSION,
            "description": "Plan, run and look at durable data pipelines. Every error is a problem document (RFC 9457) with a stable code and a hint.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(route: Route[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": summary(route.handler),
        "x-role": route.role.value,
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.body is not Nothing:
        operation["requestBody"] = {
            "description": f"At most {MAX_BODY_BYTES:,} bytes. Unknown fields are refused.",
            "required": any(field.required for field in msgspec.structs.fields(route.body)),
            "content": {JSON: {"schema": _ref(route.body)}},
        }
    return operation


def _parameters(route: Route[Any, Any]) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in route.segments if part.startswith("{")]
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_PARAMETERS[name][0],
            "schema": {"type": "string", "pattern": _PATH_PARAMETERS[name][1]},
        }
        for name in names
    ]
    if route.query is not Nothing:
        (_,), components = msgspec.json.schema_components([route.query])
        docs, needed = field_docs(route.query), components[route.query.__name__].get("required", ())
        found += [
            {"name": name, "in": "query", "required": name in needed, "description": docs.get(name, ""), "schema": schema}
            for name, schema in components[route.query.__name__]["properties"].items()
        ]
    if route.name == "start_run":
        found.append(_IDEMPOTENCY)
    return found


def _responses(route: Route[Any, Any]) -> dict[str, Any]:
    replies: dict[str, Any] = {}
    for reply in route.replies:
        content: dict[str, Any] = {media_type: {} for media_type in reply.media_types}
        if reply.struct is not None:
            content = {JSON: {"schema": _ref(reply.struct)}} | content
        replies[str(reply.status)] = {"description": reply.meaning, "content": content}
        if reply.status == 202:
            replies["202"]["headers"] = {
                "Location": {"description": "Where to ask about the run.", "schema": {"type": "string"}},
                "Retry-After": {"description": "How many seconds to wait before asking.", "schema": {"type": "integer"}},
            }
    replies["default"] = {"description": "What went wrong, and what to do.", "content": {MEDIA_TYPE: {"schema": _ref(Problem)}}}
    return replies


def _structs() -> Iterable[type[msgspec.Struct]]:
    yield Problem
    for route in ROUTES:
        if route.body is not Nothing:
            yield route.body
        for reply in route.replies:
            if reply.struct is not None:
                yield reply.struct


def _reachable(structs: Iterable[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    """The structs and all that they are made of."""
    found: set[type[msgspec.Struct]] = set()

    def visit(kind: msgspec.inspect.Type) -> None:
        match kind:
            case msgspec.inspect.StructType(cls=struct, fields=fields):
                if struct not in found:
                    found.add(struct)
                    for field in fields:
                        visit(field.type)
            case msgspec.inspect.VarTupleType(item_type=item) | msgspec.inspect.ListType(item_type=item):
                visit(item)
            case msgspec.inspect.DictType(value_type=value):
                visit(value)
            case msgspec.inspect.UnionType(types=types):
                for each in types:
                    visit(each)

    for each in structs:
        visit(msgspec.inspect.type_info(each))
    return found


def _ref(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}
