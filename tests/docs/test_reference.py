from __future__ import annotations

import functools
import json
import re
from typing import Any

import pytest

from tests.unit.api.world import World, json_of
from tidemill.api.routes import ROUTES
from tools.bootstrap import ROOT
from tools.reference import openapi
from tools.reference.errors import error_classes
from tools.reference.pages import PAGES

document = functools.cache(openapi.document)


@pytest.mark.parametrize("name", list(PAGES))
def test_the_page_is_current(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name](), "run `python -m tools.reference`"


def test_every_route_is_in_both_pages() -> None:
    page = (ROOT / "docs/reference/http-api.md").read_text(encoding="utf-8")
    described = document()["paths"]
    for route in ROUTES:
        assert f"## {route.method} /api{route.template}\n" in page
        assert described[f"/api{route.template}"][route.method.lower()]["x-role"] == route.role.value


def test_every_code_of_the_error_tree_is_explained() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    assert [kind for kind in error_classes() if kind.code != "error" and f"| `{kind.code}`" not in page] == []


def test_every_reference_in_the_document_leads_somewhere() -> None:
    text = json.dumps(document())
    schemas = document()["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= set(schemas)
    assert all(schema.get("description") for schema in schemas.values())


def _fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether a JSON value is what a schema says: as much of JSON Schema as the document uses."""
    if "$ref" in schema:
        return _fits(value, schemas[schema["$ref"].rsplit("/", 1)[-1]], schemas)
    if "anyOf" in schema:
        return any(_fits(value, each, schemas) for each in schema["anyOf"])
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds: dict[str, Any] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
        "null": type(None),
    }
    kind = schema.get("type")
    if kind is not None and not any(isinstance(value, kinds[each]) for each in ([kind] if isinstance(kind, str) else kind)):
        return False
    if isinstance(value, dict) and "properties" in schema:
        return (
            set(value) <= set(schema["properties"])
            and set(schema.get("required", ())) <= set(value)
            and all(_fits(each, schema["properties"][name], schemas) for name, each in value.items())
        )
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return all(_fits(each, schema["items"], schemas) for each in value)
    return True


@pytest.fixture(scope="module")
def world() -> World:
    world = World(executes=True)
    world.run("+gold.broken")
    world.run("+gold.total")
    return world


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/runs"),
        ("get", "/runs/20260102t030405-00000001"),
        ("get", "/runs/20260102t030405-00000002"),
        ("get", "/runs/20260102t030405-0000000f"),
        ("post", "/runs/20260102t030405-00000002/cancel"),
        ("get", "/assets"),
        ("get", "/assets/silver.orders"),
        ("get", "/assets/silver.orders/partitions"),
        ("get", "/assets/silver.orders/data"),
        ("get", "/assets/silver.orders/why?partition=2013-01"),
        ("get", "/assets/silver.orders/why-not?partition=2013-01"),
        ("get", "/history"),
        ("get", "/diff?before=0"),
        ("get", "/branches"),
        ("get", "/branches/main"),
        ("get", "/branches/main/diff"),
        ("get", "/graph"),
        ("get", "/health"),
    ],
)
def test_replies_are_what_the_document_says(world: World, method: str, path: str) -> None:
    path, _, asked = path.partition("?")
    reply = world.ask(method.upper(), path, query=dict([asked.split("=")]) if asked else {})
    api = document()
    template = re.sub(r"^/branches/[^/]+", "/branches/{branch}", path)
    template = re.sub(r"^/runs/[^/]+", "/runs/{run_id}", re.sub(r"^/assets/[^/]+", "/assets/{asset}", template))
    responses = api["paths"][f"/api{template}"][method]["responses"]
    content = responses.get(str(reply.status), responses["default"])["content"]
    assert _fits(json_of(reply), content[reply.media_type]["schema"], api["components"]["schemas"])


@pytest.mark.parametrize(
    "path",
    ["/runs", "/runs/20260102t030405-00000001", "/runs/20260102t030405-00000002", "/assets", "/assets/gold.total", "/graph", "/health"],
)
def test_no_reply_holds_a_capability_or_a_secret(world: World, path: str) -> None:
    reply = world.get(path)
    assert [each for each in (b"runtime/webhooks", b"code=", b"sig=", b"rpcBaseUrl", b"SECRET") if each in reply.body] == []
