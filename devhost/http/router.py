"""Which function answers a path: routes are tried in the order of the functions' names, and the first that matches wins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from devhost.functions import FunctionMetadata
from devhost.http.templates import RouteTemplate


@dataclass(frozen=True, slots=True)
class Route:
    """The route of one function."""

    function: FunctionMetadata
    template: RouteTemplate
    methods: frozenset[str] | None
    """Upper case; None takes every method."""

    @property
    def auth_level(self) -> str:
        """`anonymous`, `function` or `admin`."""
        return str(self.function.trigger.get("authLevel") or "function").lower()


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """A route and the values its parameters have in a path."""

    route: Route
    values: dict[str, str]


def route_text(function: FunctionMetadata) -> str:
    """The route a function was given, its name when it has none."""
    return str(function.trigger.get("route") or function.name)


def make_route(function: FunctionMetadata, prefix: str) -> Route:
    """Raises:
    BadTemplate: the route cannot be read.
    """
    route = route_text(function)
    template = RouteTemplate(f"{prefix}/{route}" if prefix else route)
    methods = function.trigger.get("methods")
    return Route(function, template, frozenset(str(method).upper() for method in methods) if methods else None)


class Router:
    """All routes of the app."""

    def __init__(self, functions: Iterable[FunctionMetadata], prefix: str) -> None:
        """`functions` are those to serve; the ones that are in error or not HTTP-triggered are left out. Disabled ones keep their route.

        Raises:
            BadTemplate: a route cannot be read.
        """
        served = [f for f in functions if f.kind == "httpTrigger" and not f.errors]
        self.routes = [make_route(function, prefix) for function in sorted(served, key=lambda f: f.name.upper())]

    def match(self, method: str, path: str) -> RouteMatch | None:
        """The route for a decoded path; a method that no function takes is no match, like an unknown path."""
        verb = method.upper()
        for route in self.routes:
            if route.methods is not None and verb not in route.methods:
                continue
            values = route.template.match(path)
            if values is not None:
                return RouteMatch(route, values)
        return None
