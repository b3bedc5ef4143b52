"""Route templates and the order of routes, as ASP.NET Core has them."""

from __future__ import annotations

import pytest

from devhost.functions import FunctionMetadata
from devhost.http.router import Router
from devhost.http.templates import BadTemplate, RouteTemplate


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("a/b", "/A/b/", {}),
        ("/a/b", "/a/b", {}),
        ("a/b", "/a", None),
        ("a/b", "/a//b", None),
        ("a/b", "//a/b", None),
        ("", "/", {}),
        ("{id}", "/x", {"id": "x"}),
        ("{id}", "/", None),
        ("{Id:int}", "/-7", {"Id": "-7"}),
        ("{id:int}", "/007", {"id": "007"}),
        ("{id:int}", "/2147483647", {"id": "2147483647"}),
        ("{id:int}", "/2147483648", None),
        ("{id:long}", "/2147483648", {"id": "2147483648"}),
        ("{id:int}", "/٣", None),
        ("{x:bool}", "/TRUE", {"x": "TRUE"}),
        ("{x:bool}", "/1", None),
        ("{x:alpha}", "/é", None),
        ("{x:alpha:length(2,3)}", "/abc", {"x": "abc"}),
        ("{x:alpha:length(2,3)}", "/abcd", None),
        ("{x:min(3)}", "/2", None),
        ("{x:max(3)}", "/3", {"x": "3"}),
        ("{x:guid}", "/12345678-1234-1234-1234-1234567890AB", {"x": "12345678-1234-1234-1234-1234567890AB"}),
        ("{x:guid}", "/12345678", None),
        ("{x:regex(^\\d{{2}}$)}", "/12", {"x": "12"}),
        ("{x:regex(^a:b=c$)}", "/a:b=c", {"x": "a:b=c"}),
        ("{x:datetime}", "/2024-02-30", None),
        ("{x:datetime}", "/2024-02-28", {"x": "2024-02-28"}),
        ("{x:double}", "/1.5e3", {"x": "1.5e3"}),
        ("{x?}", "/", {}),
        ("a/{x?}", "/a/", {}),
        ("a/{x=5}/{y?}", "/a", {"x": "5"}),
        ("a/{x:int=1}", "/a/b", None),
        ("{*rest}", "/a//b/", {"rest": "a//b/"}),
        ("a/{*rest}", "/a/", {}),
        ("a/{*rest=none}", "/a", {"rest": "none"}),
        ("{**rest}", "/a/b", {"rest": "a/b"}),
        ("{a}.{b}", "/x.y.z", {"a": "x.y", "b": "z"}),
        ("{a}.{b?}", "/x", {"a": "x"}),
        ("{a}.{b?}", "/x.y", {"a": "x", "b": "y"}),
        ("v{major}-{minor}", "/V1-2-3", {"major": "1-2", "minor": "3"}),
        ("{{x}}", "/{x}", {}),
    ],
)
def test_a_template_matches_as_on_the_real_host(template: str, path: str, values: dict[str, str] | None) -> None:
    assert RouteTemplate(template).match(path) == values


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("~a", "must not start with '~'"),
        ("api//a", "must not have an empty segment"),
        ("a//b", "must not have an empty segment"),
        ("{a}{b}", "two parameters follow each other"),
        ("{a", "has a '{' without '}'"),
        ("a}", "has a '}' without '{'"),
        ("{a}/{A}", "has the parameter 'A' twice"),
        ("{*a}/b/{c}", "the catch-all 'a' has to be the last segment"),
        ("x{*a}", "the catch-all 'a' has to be a segment of its own"),
        ("{a:nope}", "there is no constraint 'nope'"),
        ("{a:length(x)}", "needs whole numbers"),
        ("{a:regex([)}", "is not valid"),
        ("{}", "a parameter without a valid name"),
        ("a?b", "must not contain '?'"),
    ],
)
def test_a_template_that_cannot_be_read_says_why(template: str, reason: str) -> None:
    with pytest.raises(BadTemplate) as error:
        RouteTemplate(template)
    assert reason in str(error.value)


def function(name: str, route: str | None = None, methods: list[str] | None = None, **other: object) -> FunctionMetadata:
    trigger = {"type": "httpTrigger", "name": "req", "direction": "IN", "route": route, "methods": methods, **other}
    return FunctionMetadata(name=name, bindings=(trigger,), is_async=False, script_file="function_app.py", entry_point=name)


def matched(router: Router, method: str, path: str) -> str | None:
    match = router.match(method, path)
    return match.route.function.name if match else None


def test_routes_are_tried_in_the_order_of_function_names() -> None:
    router = Router([function("B_fixed", "x/fixed"), function("a_any", "x/{name}"), function("_first", "x/first")], "api")
    assert matched(router, "GET", "/api/x/fixed") == "a_any"
    assert matched(router, "GET", "/api/x/first") == "a_any"  # `_` sorts behind letters: names are compared in upper case
    assert matched(router, "GET", "/x/fixed") is None


def test_methods_are_part_of_the_match() -> None:
    router = Router([function("a", "x", ["GET"]), function("b", "x", ["POST"]), function("c")], "")
    assert [matched(router, verb, "/x") for verb in ("get", "POST", "HEAD", "OPTIONS")] == ["a", "b", None, None]
    assert matched(router, "BREW", "/c") == "c"
