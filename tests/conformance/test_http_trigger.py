"""Checklist 9 to 14, HTTP trigger: routes, requests as a function sees them, replies by kind of answer, keys. `golden/http/` has more of it."""

from __future__ import annotations

import json
import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import app_settings, copy_of_app
from tests.conformance.target import WEB_HOOK, Target
from tests.devhost.shell.support import RunningHost, running

pytestmark = [pytest.mark.conformance, pytest.mark.e2e, pytest.mark.timeout(120)]

MAX_BODY = 104_857_600


def raw(target: Target, request: bytes) -> bytes:
    """Bytes over a connection of their own, and everything that comes back."""
    host, _, port = target.authority.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[tuple[RunningHost, Target, dict[str, Any]]]:
    """A host with keys and a route prefix of its own; the keys by holder."""
    app = copy_of_app(tmp_path_factory.mktemp("guarded"))
    host_json = json.loads((app / "host.json").read_text())
    host_json["extensions"]["http"]["routePrefix"] = "v1/own"
    (app / "host.json").write_text(json.dumps(host_json))
    keys_file = app / "keys.json"
    with running(app, "--enable-auth", "--keys", str(keys_file), settings=app_settings(storage)) as host:
        master = json.loads(keys_file.read_text(encoding="utf-8"))["masterKey"]

        def first(path: str) -> str:
            return str(host.get(path, **{"x-functions-key": master}).json()["keys"][0]["value"])

        keys = {
            "master": master,
            "host": first("/admin/host/keys"),
            "system": first("/admin/host/systemkeys"),
            "function": first("/admin/functions/level_function/keys"),
            "other": first("/admin/functions/level_admin/keys"),
        }
        yield host, Target(f"http://127.0.0.1:{host.port}", master), keys


def test_item_09_route_templates(target: Target) -> None:
    for path in ("/api/show", "/api/show/", "/API/Show/x"):
        assert target.get(path).status == 200, path
    for path in ("//api/show", "/api", "/api/", "/favicon.ico", "/api/show/x/y", "/api/none"):
        reply = target.get(path)
        assert (reply.status, reply.body, reply.headers["content-length"]) == (404, b"", "0"), path
    assert target.get("/api/number/007").json() == {"id": "007"}
    for value in ("abc", "1.5", "2147483648", ""):
        assert target.get(f"/api/number/{value}").status == 404, value
    assert target.get("/api/number/-7").json() == {"id": "-7"}
    assert target.get("/api/rest/a//b%2Fc/d").json() == {"rest": "a//b%2Fc/d"}
    assert target.get("/api/rest").json() == {}


def test_item_09_methods(target: Target) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW", "brew"):
        reply = target.request(method, "/api/show")
        assert (reply.status, reply.json()["method"]) == (200, method.upper())
    head = target.request("HEAD", "/api/show")
    assert (head.status, head.body) == (200, b"")
    assert target.request("get", "/api/get-only").status == 200
    for method in ("POST", "HEAD", "OPTIONS", "DELETE"):
        reply = target.request(method, "/api/get-only")
        assert (reply.status, reply.body) == (404, b""), method


def test_item_09_prefixes(guarded: tuple[RunningHost, Target, dict[str, Any]]) -> None:
    _, target, _ = guarded
    assert target.get("/v1/own/show").status == 200
    assert target.get("/V1/Own/show").status == 200
    assert target.get("/api/show").status == 404


def test_item_09_no_prefix_at_all(tmp_path: Path) -> None:
    from tests.devhost.shell.support import write_app

    source = "@app.route(route='bare/{x?}')\ndef f(req: func.HttpRequest) -> func.HttpResponse:\n    return func.HttpResponse('ok')\n"
    with running(write_app(tmp_path / "app", source, host={"extensions": {"http": {"routePrefix": ""}}})) as host:
        assert (host.get("/bare/1").text, host.get("/bare").text, host.get("/api/bare").status) == ("ok", "ok", 404)
        assert "Mapped function route '/bare/{x?}'" in host.log or f"http://localhost:{host.port}/bare/{{x?}}" in host.log


def test_item_10_what_a_function_sees_of_a_request(target: Target) -> None:
    seen = target.get("/api/show/a%2Fb%20c?x=1&X=2&empty=&flag&u=%C3%A9&plus=a+b&semi=1;2", **{"X-Mixed-Case": "V"}).json()
    assert seen["params"] == {"X": "1,2", "u": "é", "plus": "a b", "semi": "1;2"}
    assert seen["route"] == {"Name": "a%2Fb c"}
    assert seen["headers"]["x-mixed-case"] == "V"
    assert "X-Mixed-Case" not in seen["headers"]
    assert target.get("/api/show").json()["route"] == {}
    assert target.request("DELETE", "/api/show", b"del").json()["body"] == "del"
    chunked = f"POST /api/show HTTP/1.1\r\nHost: {target.authority}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    answered = raw(target, chunked.encode())
    assert answered.startswith(b"HTTP/1.1 200")
    assert b'"body": ""' in answered  # a body without a length does not reach the function


def test_item_11_text_results(target: Target) -> None:
    def text(kind: str) -> tuple[int, str, str]:
        reply = target.get(f"/api/text/{kind}")
        return reply.status, reply.headers.get("content-type", ""), reply.text

    plain = "text/plain; charset=utf-8"
    assert text("plain") == (200, plain, "just text")
    assert text("described") == (201, plain, "x")
    assert target.get("/api/text/described").headers["x-a"] == "b"
    assert text("status-code") == (202, plain, '{"a":[1,2.5]}')
    assert text("object") == (200, plain, '{\n  "a": {\n    "b": [\n      1,\n      {}\n    ]\n  }\n}')
    assert text("array") == (200, plain, "[\n  1\n]")
    assert [text(kind)[2] for kind in ("string", "true", "number", "null", "broken")] == ["unquoted", "True", "12.5", "", '{"a": ']


def test_item_12_replies_by_kind_of_answer(target: Target) -> None:
    for kind in ("none", "dict", "bytes", "raise"):
        reply = target.get(f"/api/answer/{kind}")
        assert (reply.status, reply.body, reply.headers["content-length"]) == (500, b"", "0"), kind
        assert "content-type" not in reply.headers
    default = target.get("/api/answer/default")
    assert (default.headers["content-type"], default.headers["transfer-encoding"]) == ("text/plain; charset=utf-8", "chunked")
    assert target.get("/api/answer/json").headers["content-type"] == "application/json"
    empty = target.get("/api/answer/empty")
    assert (empty.status, empty.headers["content-length"], empty.headers["content-type"]) == (418, "0", "text/plain; charset=utf-8")
    assert target.get("/api/answer/cookie").headers["set-cookie"] == "a=b; domain=; path=/; httponly"
    assert target.get("/api/answer/binary").body == bytes(range(256))


def test_item_12_custom_headers_are_on_every_reply(target: Target) -> None:
    replies = [target.get(path) for path in ("/api/show", "/api/none", "/api/answer/raise", "/admin/host/ping", "/")]
    replies.append(target.manage("GET", "/instances/none"))
    assert [reply.headers.get("x-conformance") for reply in replies] == ["yes"] * 6
    assert target.get("/api/answer/custom").headers["x-other"] == "1"


def test_item_12_the_limit_of_a_body(target: Target) -> None:
    body = bytes(5_000_000)
    assert target.request("POST", "/api/length", body).json() == len(body)
    head = f"POST /api/length HTTP/1.1\r\nHost: {target.authority}\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode()
    answered = raw(target, head + bytes(1000))
    assert answered.startswith(b"HTTP/1.1 500")
    assert b"Content-Length: 0" in answered
    assert b"Connection: close" in answered


def test_item_13_urls_are_those_the_caller_used(target: Target) -> None:
    name = f"other.example:{urllib.parse.urlsplit(target.base).port or 80}"
    seen = target.request("GET", "/api/show/a%20b?q=%C3%A9", headers={"Host": name}).json()
    assert seen["url"] == f"http://{name}/api/show/a%20b?q=%C3%A9"
    found = target.request("GET", "/api/binding", headers={"Host": name}).json()
    assert found["links"]["statusQueryGetUri"].startswith(f"http://{name}{WEB_HOOK}/instances/some-id?")
    assert not found["payload"]["statusQueryGetUri"].startswith(f"http://{name}/")
    started = target.request("POST", f"{WEB_HOOK}/orchestrators/o_chain?code={target.code}", b"", {"Host": name})
    assert started.json()["statusQueryGetUri"].startswith(f"http://{name}{WEB_HOOK}/instances/")


def test_item_13_the_binding_uses_website_hostname(target: Target, own_host: RunningHost) -> None:
    found = target.get("/api/binding").json()
    assert found["payload"]["statusQueryGetUri"].startswith(f"http://localhost:{own_host.port}{WEB_HOOK}/instances/some-id?")
    assert target.get("/api/environment/WEBSITE_HOSTNAME").json() == f"localhost:{own_host.port}"


def test_item_13_website_hostname_of_the_environment_counts(tmp_path: Path, storage: str) -> None:
    app = copy_of_app(tmp_path)
    with running(app, settings={**app_settings(storage), "WEBSITE_HOSTNAME": "app.example"}) as host:
        own = Target(f"http://127.0.0.1:{host.port}")
        found = own.get("/api/binding").json()
        assert found["payload"]["statusQueryGetUri"].startswith(f"https://app.example{WEB_HOOK}/instances/some-id?")
        assert found["links"]["statusQueryGetUri"].startswith(f"{own.base}{WEB_HOOK}/instances/some-id?")
        assert own.get("/api/environment/WEBSITE_HOSTNAME").json() == "app.example"


def test_item_14_without_keys_every_caller_may_do_everything(target: Target, own_host: RunningHost) -> None:
    for path in ("/api/level/function", "/api/level/admin"):
        for query in ("", "?code=wrong", "?code="):
            assert target.get(path + query).status == 200
        assert target.get(path, **{"x-functions-key": "wrong"}).status == 200
    assert target.get("/admin/host/status").status == 200
    assert target.get(f"{WEB_HOOK}/instances").status == 200
    assert f"http://127.0.0.1:{own_host.port}" == target.base


def test_item_14_keys_and_levels(guarded: tuple[RunningHost, Target, dict[str, Any]]) -> None:
    _, target, keys = guarded

    def asked(path: str, key: str | None, *, by_query: bool = False) -> int:
        if key is None:
            return target.get(path).status
        query = f"?code={urllib.parse.quote(key, safe='')}" if by_query else ""
        reply = target.get(path + query, **({} if by_query else {"x-functions-key": key}))
        assert reply.status in (200, 202) or (reply.body, "www-authenticate" in reply.headers) == (b"", False)
        return reply.status

    holders = ["master", "host", "function", "other", "system"]
    function, admin = "/v1/own/level/function", "/v1/own/level/admin"
    for by_query in (False, True):
        assert [asked(function, keys[name], by_query=by_query) for name in holders] == [200, 200, 200, 401, 401]
        assert [asked(admin, keys[name], by_query=by_query) for name in holders] == [200, 401, 401, 401, 401]
        assert [asked("/admin/host/status", keys[name], by_query=by_query) for name in holders] == [200, 403, 401, 401, 403]
        assert [asked(f"{WEB_HOOK}/instances", keys[name], by_query=by_query) for name in holders] == [200, 403, 401, 401, 200]
    for path in (function, admin, "/admin/host/status", f"{WEB_HOOK}/instances"):
        assert [asked(path, key) for key in (None, "wrong", "")] == [401] * 3
    good = {"x-functions-key": keys["function"]}
    assert target.get(f"{function}?code=wrong", **good).status == 200  # the header wins
    assert target.get(f"{function}?code={urllib.parse.quote(keys['function'])}", **{"x-functions-key": "wrong"}).status == 401
    assert [asked(path, None) for path in ("/v1/own/show", "/admin/host/ping", "/")] == [200] * 3
    assert (asked("/runtime/webhooks/none/x", None), asked("/runtime/webhooks/none/x", keys["master"])) == (401, 404)
    assert asked("/runtime/webhooks/DurableTask/instances/none", keys["system"]) == 404
    assert [asked("/v1/own/disabled", key) for key in (None, keys["host"], keys["master"])] == [404, 404, 200]
    assert all(len(keys[name]) == 56 and "AzFu" in keys[name] for name in holders)


def test_item_14_links_carry_the_system_key(guarded: tuple[RunningHost, Target, dict[str, Any]]) -> None:
    host, target, keys = guarded
    links = target.manage("POST", "/orchestrators/o_chain").json()
    parts = urllib.parse.urlsplit(links["statusQueryGetUri"])
    assert urllib.parse.parse_qs(parts.query)["code"] == [keys["system"]]
    assert target.get(f"{parts.path}?{parts.query}").status in (200, 202)
    rpc = Target(f"http://127.0.0.1:{host.ready['rpc_port']}")
    assert rpc.get(f"/durabletask/instances/{links['id']}").status in (200, 202)
