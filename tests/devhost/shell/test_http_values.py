"""Query strings, request heads, JSON texts and reply descriptions: what the recorded set shows, and what it leaves out."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest

from devhost.http.app import encode_path
from devhost.http.cors import CorsPolicy
from devhost.http.head import BadHead, decode_path, read_head
from devhost.http.json_text import net_double
from devhost.http.message import Reply, Request
from devhost.http.query import read_query
from devhost.http.replies import TEXT, function_reply, text_reply
from devhost.invocation import Failed, HttpResponseData, Succeeded
from devhost.worker.bindings import cookie_headers


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("", {}),
        ("a=1&A=2&b=3", {"A": "1,2", "b": "3"}),
        ("a&b=&c=%20", {"c": " "}),
        ("a=&a=", {"a": ","}),
        ("=1", {"": "1"}),
        ("a=1;b=2", {"a": "1;b=2"}),
        ("x=%zz&y=%FF&z=%C3%A9+%2B", {"x": "%zz", "y": "%FF", "z": "é +"}),
        ("a=b=c", {"a": "b=c"}),
    ],
)
def test_query_strings(query: str, params: dict[str, str]) -> None:
    assert read_query(query) == params


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a%20b/%C3%A9", "/a b/é"),
        ("/a%2Fb%2fc", "/a%2Fb%2fc"),
        ("/%zz%", "/%zz%"),
        ("/%FF%41", "/%FFA"),
        ("/a/./b/../c", "/a/c"),
        ("/a/%2e%2E/b", "/b"),
        ("/../..", "/"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/.well-known/x", "/.well-known/x"),
    ],
)
def test_paths_are_decoded_and_normalised(raw: str, path: str) -> None:
    assert decode_path(raw) == path


def test_a_decoded_path_goes_back_into_a_url() -> None:
    assert encode_path("/a b/é%2F%zz?#") == "/a%20b/%C3%A9%2F%25zz%3F%23"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1", 400),
        (b"GET  / HTTP/1.1\r\nHost: x", 400),
        (b"GET / HTTP/2.0\r\nHost: x", 505),
        (b"GET / FTP/1.0\r\nHost: x", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x", 400),
        (b"GET /%00 HTTP/1.1\r\nHost: x", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y", 400),
        (b"GET / HTTP/1.1\r\nHost: a b", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Name: 1", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \xe9", 400),
        (b"GET http://other/ HTTP/1.1\r\nHost: x", 400),
        (b"GET x HTTP/1.1\r\nHost: x", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip", 400),
        (b"POST / HTTP/1.0", 400),
        (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: x", 414),
        (b"GET / HTTP/1.1\r\nHost: x" + b"".join(b"\r\nA%d: 1" % n for n in range(100)), 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 32768, 431),
    ],
)
def test_heads_the_web_server_refuses(head: bytes, status: int) -> None:
    with pytest.raises(BadHead) as error:
        read_head(head)
    assert error.value.status == status


def test_a_head_is_read_as_it_stands() -> None:
    request = read_head(b"brew http://x:1/a%20b?c=%41& HTTP/1.0\r\nHost: X:1\r\nA:  \xc3\xa9 \r\na: 2")
    assert (request.method, request.path, request.raw_path, request.query) == ("brew", "/a b", "/a%20b", "c=%41&")
    assert request.headers == {"host": "X:1", "a": "é,2"}
    assert request.version == "1.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.50, "12.5"), (1e3, "1000"), (0.0, "0"), (-0.5, "-0.5"), (1e14, "100000000000000"), (1e15, "1E+15"), (1.5e300, "1.5E+300"),
        (0.0001, "0.0001"), (0.00001, "1E-05"), (123456789.125, "123456789.125"), (0.1 + 0.2, "0.30000000000000004"),
    ],
)  # fmt: skip
def test_doubles_are_written_as_net_writes_them(value: float, text: str) -> None:
    assert net_double(value) == text


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("{broken", "{broken"),
        ("[]", "[]"),
        ("{}", "{}"),
        ('{"a": {"b": [2.0, 1e3, null, true, "é"]}}',
         '{\n  "a": {\n    "b": [\n      2.0,\n      1000.0,\n      null,\n      true,\n      "é"\n    ]\n  }\n}'),
        ("false", "False"),
        ("12345678901234567890", "12345678901234567890"),
        ("[" * 100_000, "[" * 100_000),
    ],
    ids=["broken", "empty array", "empty object", "nested", "false", "large", "too deep"],
)  # fmt: skip
def test_json_texts_are_written_anew(text: str, body: str) -> None:
    reply = text_reply(text)
    assert (reply.status, reply.headers, reply.body.decode()) == (200, [("Content-Type", TEXT)], body)


def test_an_object_with_a_body_describes_the_reply() -> None:
    reply = text_reply('{"Body": null, "StatusCode": "404", "status": 201, "Headers": {"content-type": "a/b", "X": 1.50}}')
    assert (reply.status, reply.body) == (404, b"")
    assert reply.headers == [("content-type", "a/b"), ("X", "1.5")]
    assert text_reply('{"body": true}').body == b"True"


def response(*headers: tuple[str, str], body: bytes = b"x") -> Succeeded:
    return Succeeded(return_value=HttpResponseData(status=200, headers=headers, body=body))


def test_of_equal_headers_the_last_one_is_sent_except_cookies() -> None:
    reply = function_reply(response(("X-A", "1"), ("x-a", "2"), ("set-cookie", "a"), ("set-cookie", "b"), ("Transfer-Encoding", "gzip")))
    assert reply.headers == [("x-a", "2"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]


@pytest.mark.parametrize("header", [("X Y", "1"), ("X", "a\r\nB: c"), ("X", "é"), ("Content-Length", "0"), ("Content-Length", "many")])
def test_a_reply_that_http_cannot_carry_is_a_500(header: tuple[str, str]) -> None:
    reply = function_reply(response(header))
    assert (reply.status, reply.headers, reply.body) == (500, [], b"")


def test_a_failure_is_a_500_without_body() -> None:
    assert function_reply(Failed(type_name="E", message="m", stack="s")).status == 500


@pytest.mark.parametrize(
    ("cookie", "header"),
    [
        ("a=b", "a=b; domain=; path="),
        ('a="x;y"; Path=/; HttpOnly', "a=x%3By; domain=; path=/; httponly"),
        ("a=b; expires=Wed, 21-Oct-65 07:28:00 GMT; Max-Age=0", "a=b; expires=Wed, 21 Oct 2065 07:28:00 GMT; max-age=0; domain=; path="),
        ("a=b; SameSite=odd; Secure", "a=b; domain=; path=; secure"),
    ],
)
def test_cookies_are_rewritten(cookie: str, header: str) -> None:
    assert cookie_headers(SimpleCookie(cookie)) == [header]


def request(method: str = "GET", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method=method, path="/", raw_path="/", query="", has_query=False, headers=named)


def test_only_named_origins_may_call_from_a_browser() -> None:
    policy = CorsPolicy(("http://page.test/",))
    reply = Reply(status=200, headers=[("access-control-allow-origin", "http://old")])
    assert policy.apply(request(origin="http://PAGE.test"), reply).headers == [
        ("Access-Control-Allow-Origin", "http://PAGE.test"), ("Vary", "Origin"),
    ]  # fmt: skip
    assert policy.apply(request(origin="http://other.test"), reply) == reply
    assert policy.apply(request(), reply) == reply
    assert CorsPolicy(("*",)).apply(request(origin="x"), Reply(status=200)).headers == [("Access-Control-Allow-Origin", "*")]
    assert CorsPolicy().apply(request(origin="x"), reply) == reply


def test_a_preflight_is_answered_by_the_host_when_there_is_a_policy() -> None:
    asked = request("OPTIONS", origin="http://page.test", access_control_request_method="PUT", access_control_request_headers="x-a, x-b")
    answer = CorsPolicy(("*",)).preflight(asked)
    assert answer is not None
    assert (answer.status, answer.headers) == (204, [("Access-Control-Allow-Methods", "PUT"), ("Access-Control-Allow-Headers", "x-a, x-b")])
    refused = CorsPolicy(("http://other.test",)).preflight(asked)
    assert refused is not None
    assert refused.headers == []
    assert CorsPolicy().preflight(asked) is None
    assert CorsPolicy(("*",)).preflight(request("OPTIONS", origin="x")) is None
