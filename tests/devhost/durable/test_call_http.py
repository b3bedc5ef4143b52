"""Contract §3.14: what `call_http` sends, what it shows of an answer, and in which words it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from devhost.durable.history import Event, Kind
from devhost.durable.http_activity import HttpActivity


def called(
    request: dict[str, Any], answer: Callable[[web.Request], web.Response] | None = None
) -> tuple[Event, list[web.Request], list[bytes]]:
    """The event of one call against a server of the test's own (`uri` is its path), and the requests with their bodies that it got."""
    requests: list[web.Request] = []
    bodies: list[bytes] = []

    async def handle(got: web.Request) -> web.Response:
        requests.append(got)
        bodies.append(await got.read())
        return answer(got) if answer else web.Response(text="ok")

    async def run() -> Event:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        activity = HttpActivity()
        uri = str(request["uri"]).replace("HOST", f"127.0.0.1:{runner.addresses[0][1]}")
        try:
            return await activity.run(7, json.dumps({**request, "uri": uri}))
        finally:
            await activity.close()
            await runner.cleanup()

    return asyncio.run(run()), requests, bodies


def result(event: Event) -> Any:
    assert event.kind is Kind.TaskCompleted, event
    return json.loads(event.members["Result"])


def test_3_14_content_is_plain_text_unless_a_type_is_given_and_the_host_names_itself() -> None:
    _, requests, bodies = called({"method": "POST", "uri": "http://HOST/x", "content": '"é"'})
    assert requests[0].headers["Content-Type"] == "text/plain"
    assert bodies == ['"é"'.encode()]
    assert requests[0].headers["User-Agent"].startswith("Microsoft.Azure.WebJobs.Extensions.DurableTask/")
    assert "Accept" not in requests[0].headers


def test_3_14_headers_are_sent_as_given_but_a_type_without_content_is_not() -> None:
    headers = {"Content-Type": "application/json", "X-One": "1", "X-Two": ["a", "b"], "X-Number": 5, "user-agent": "mine"}
    _, requests, _ = called({"method": "GET", "uri": "http://HOST/x", "headers": headers})
    got = requests[0].headers
    assert (got["X-One"], got["X-Two"], got["User-Agent"]) == ("1", "a, b", "mine")
    assert "Content-Type" not in got
    assert "X-Number" not in got


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [("application/json", "application/json"), ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8")],
)
def test_3_14_a_content_type_is_kept(content_type: str, sent: str) -> None:
    _, requests, _ = called({"method": "POST", "uri": "http://HOST/x", "content": "a=1", "headers": {"content-type": content_type}})
    assert requests[0].headers["Content-Type"] == sent


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (
            {"uri": "http://HOST/x", "content": "1", "headers": {"Content-Type": "application/json; charset=utf-8"}},
            "The format of value 'application/json; charset=utf-8' is invalid.",
        ),
        (
            {"uri": "http://HOST/x", "headers": {"Content-Type": "multipart/form-data"}},
            "Multipart content is not supported with CallHttpAsync.",
        ),
        ({"uri": "http://HOST/x", "headers": {"Content-Length": "5"}}, "Misused header name, 'Content-Length'."),
        ({"uri": "http://127.0.0.1:1/x"}, "Connection refused (127.0.0.1:1)"),
        ({"uri": "no/such"}, "An invalid request URI was provided."),
    ],
)
def test_3_14_a_failure_has_dotnets_reason_and_nothing_around_it(request_: dict[str, Any], reason: str) -> None:
    event, requests, _ = called({"method": "POST", **request_})
    assert event.kind is Kind.TaskFailed
    assert event.members["Reason"].startswith(reason)
    assert json.loads(event.members["Details"])["Message"] == event.members["Reason"]
    assert not requests


def test_3_14_a_202_an_error_and_odd_bytes_are_results_and_headers_with_several_values_are_lists() -> None:
    def later(_: web.Request) -> web.Response:
        reply = web.Response(
            status=202, body=b"a\xffb", headers={"Location": "/y", "Vary": "A, B", "Server": "One/1 Two/2", "X-Own": "p, q", "Expires": "0"}
        )
        reply.headers.add("Set-Cookie", "a=1")
        reply.headers.add("Set-Cookie", "b=2")
        return reply

    found = result(called({"method": "GET", "uri": "http://HOST/x"}, later)[0])
    assert (found["statusCode"], found["content"]) == (202, "a\N{REPLACEMENT CHARACTER}b")
    shown = found["headers"]
    assert (shown["Location"], shown["Vary"], shown["Server"], shown["X-Own"]) == ("/y", ["A", "B"], ["One/1", "Two/2"], "p, q")
    assert shown["Set-Cookie"] == ["a=1", "b=2"]
    assert not {"Expires", "Content-Type", "Content-Length"} & set(shown)
