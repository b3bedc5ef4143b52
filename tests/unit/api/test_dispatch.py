from __future__ import annotations

import logging
from typing import NoReturn
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.api.world import ORIGIN, World, json_of
from tidemill.api.http import ApiRequest
from tidemill.errors import StoreUnavailable
from tidemill.storage.memory import MemoryStore


@pytest.fixture
def world() -> World:
    return World()


def test_an_unknown_path_is_404_and_names_the_nearest_route(world: World) -> None:
    reply = world.get("/asets")
    assert (reply.status, reply.media_type) == (404, "application/problem+json")
    assert json_of(reply) == {
        "type": "urn:tidemill:problem:route-not-found",
        "title": "No route has this path",
        "status": 404,
        "detail": "There is nothing at `/asets`.",
        "code": "route-not-found",
        "hint": "Did you mean `/assets`?",
    }


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/runs", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/runs/20260102t030405-00000001", "GET, HEAD, OPTIONS"),
        ("GET", "/runs/20260102t030405-00000001/cancel", "OPTIONS, POST"),
        ("POST", "/assets", "GET, HEAD, OPTIONS"),
        ("BREW", "/health", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_405_and_says_what_is_allowed(world: World, method: str, path: str, allow: str) -> None:
    reply = world.ask(method, path)
    assert (reply.status, reply.headers["Allow"]) == (405, allow)
    assert json_of(reply)["detail"] == f"`{path}` does not take {method}."


def test_options_says_what_is_allowed(world: World) -> None:
    reply = world.ask("OPTIONS", "/runs")
    assert (reply.status, reply.headers["Allow"], reply.body) == (204, "GET, HEAD, OPTIONS, POST", b"")


def test_head_answers_as_get(world: World) -> None:
    assert world.ask("HEAD", "/graph") == world.ask("GET", "/graph")


def test_literal_parts_ignore_case_and_a_trailing_slash(world: World) -> None:
    assert world.get("/ASSETS/").status == 200
    assert world.get("/assets//").status == 404


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{", "The body is not valid JSON: Input data was truncated."),
        (b"\xff\xfe", "The body is not valid JSON"),
        (b"[" * 100_000, "The body is not valid JSON: it is nested too deeply."),
        (b'{"selection": NaN}', "The body is not valid JSON"),
    ],
)
def test_a_body_that_is_not_json_is_400(world: World, body: bytes, detail: str) -> None:
    reply = world.ask("POST", "/runs", body=body, headers={"Content-Type": "application/json"})
    assert reply.status == 400
    assert json_of(reply)["code"] == "invalid-json"
    assert json_of(reply)["detail"].startswith(detail)


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (["x"], "The body is a list, but it has to be an object."),
        ("x", "The body is a string, but it has to be an object."),
        ({}, "A run takes either a `selection` or a `plan`."),
        ({"selection": "a", "plan": "0" * 64}, "A run takes either a `selection` or a `plan`."),
        ({"plan": "0" * 64, "rerun": True}, "With a `plan`, only `author`, `reason` and `idempotency_key` can be given."),
        ({"selection": 1}, "The body cannot be read: Expected `str`, got `int` in `selection`."),
        ({"partitions": ""}, "The body cannot be read: Expected `str` of length >= 1 in `partitions`."),
        ({"selection": "a", "rerun": "yes"}, "The body cannot be read: Expected `bool`, got `str` in `rerun`."),
        (
            {"selection": "a", "parameters": {"x": []}},
            "The body cannot be read: Expected `bool | int | float | str | null`, got `array` in `parameters[...]`.",
        ),
        ({"selektion": "a"}, "There is no field `selektion`. Did you mean `selection`?"),
    ],
)
def test_a_body_of_the_wrong_shape_is_422_and_says_where(world: World, value: object, detail: str) -> None:
    reply = world.post("/runs", value)
    assert (reply.status, json_of(reply)["code"], json_of(reply)["detail"]) == (422, "invalid-body", detail)


def test_all_unknown_fields_are_told_at_once(world: World) -> None:
    problem = json_of(world.post("/runs", {"selection": "a", "zz": 1, "partition": "x"}))
    assert [each["detail"] for each in problem["problems"]] == [
        "There is no field `partition`. Did you mean `partitions`?",
        "There is no field `zz`.",
    ]


def test_a_body_above_one_mebibyte_is_413(world: World) -> None:
    fits, too_large = b" " * 1024 * 1024, b" " * (1024 * 1024 + 1)
    headers = {"Content-Type": "application/json"}
    assert world.ask("POST", "/runs", body=fits, headers=headers).status == 400
    assert world.ask("POST", "/runs", body=too_large, headers=headers).status == 413


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_a_body_not_declared_as_json_is_415_so_that_a_foreign_form_starts_nothing(world: World, media_type: str) -> None:
    reply = world.ask("POST", "/runs", body=b'{"selection": "gold.total"}', headers={"content-type": media_type} if media_type else {})
    assert (reply.status, world.remembering.started) == (415, [])


def test_a_page_of_another_site_changes_nothing(world: World) -> None:
    assert world.post("/runs", {"selection": "gold.total"}, origin="https://evil.example").status == 403
    assert world.post("/runs", {"selection": "gold.total"}, origin="null").status == 403
    assert world.remembering.started == []
    assert world.post("/runs", {"selection": "gold.total"}, origin=ORIGIN).status == 202


def test_an_unknown_query_parameter_is_refused_but_the_hosts_own_key_is_not(world: World) -> None:
    reply = world.get("/runs", limt="3")
    assert (reply.status, json_of(reply)["hint"]) == (400, "Did you mean `limit`?")
    assert world.get("/runs", limit="3", code="a-function-key").status == 200
    assert json_of(world.get("/branches", limit="3"))["hint"] == "This route takes none."


@pytest.mark.parametrize("limit", ["0", "201", "x", "1.5", "-1"])
def test_a_limit_out_of_range_is_refused(world: World, limit: str) -> None:
    reply = world.get("/runs", limit=limit)
    assert (reply.status, json_of(reply)["code"]) == (400, "invalid-query")


class _Down(MemoryStore):
    def get(self, name: str) -> NoReturn:
        raise StoreUnavailable("The store does not answer.", hint="Try again.")


class _Broken(MemoryStore):
    def get(self, name: str) -> NoReturn:
        raise RuntimeError("secret text")


def test_a_store_that_does_not_answer_is_503_with_retry_after() -> None:
    reply = World(store=_Down()).get("/assets")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    assert json_of(reply)["code"] == "store-unavailable"


def test_a_defect_is_500_without_its_text_and_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="tidemill.api"):
        reply = World(store=_Broken()).get("/assets")
    assert (reply.status, json_of(reply)["code"]) == (500, "internal")
    assert b"secret text" not in reply.body
    assert b"Traceback" not in reply.body
    assert caplog.records[0].exc_info is not None


def test_only_the_whole_prefix_is_taken_off() -> None:
    def path(url: str) -> str:
        return ApiRequest.of("GET", url, query={}, headers={}, body=b"").path

    assert [path(f"http://h{each}") for each in ("/api/runs", "/API/runs", "/api", "/apiary", "/runs")] == [
        "/runs",
        "/runs",
        "/",
        "/apiary",
        "/runs",
    ]


def test_links_take_no_origin_that_could_be_more_than_a_host() -> None:
    asked = ApiRequest.of("GET", "http://h\\x/api/runs", query={}, headers={}, body=b"")
    assert asked.link("runs", "a/b") == "/api/runs/a%2Fb"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["selection", "partitions", "parameters", "rerun", "reason", "author", "idempotency_key"]) | st.text()


@given(body=st.dictionaries(FIELDS, JSON_VALUES) | JSON_VALUES)
def test_no_body_whatsoever_is_a_defect(body: object) -> None:
    assert World().post("/runs", body).status in (202, 400, 422)


@given(
    path=st.lists(st.sampled_from(["runs", "assets", "graph", "health", "data", "partitions", "cancel"]) | st.text(max_size=8), max_size=4),
    query=st.dictionaries(st.sampled_from(["limit", "cursor", "partition", "columns", "format"]) | st.text(), st.text(min_size=1)),
)
def test_no_address_whatsoever_is_a_defect(path: list[str], query: dict[str, str]) -> None:
    reply = World().ask("GET", "/" + "/".join(quote(part, safe="", errors="replace") for part in path), query=query)
    assert reply.status < 500
