"""What a route is, and which route a path means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec

from tidemill.api.app import ApiApp
from tidemill.api.http import ApiRequest, ApiResponse

QueryT = TypeVar("QueryT", bound=msgspec.Struct)
BodyT = TypeVar("BodyT", bound=msgspec.Struct)


class Role(StrEnum):
    """What a caller must be allowed to do. Every route names one: what is not declared is not served."""

    ANYONE = "anyone"  # says nothing about data
    VIEWER = "viewer"  # reads
    OPERATOR = "operator"  # starts and stops runs


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No query parameters, or no body."""


@dataclass(frozen=True, slots=True)
class Call(Generic[QueryT, BodyT]):
    """A request that has been read: everything in it has the type the route declares."""

    request: ApiRequest
    params: Mapping[str, str]
    """Values of the template's parameters, decoded, of any spelling."""
    query: QueryT
    body: BodyT


Handler = Callable[[ApiApp, Call[QueryT, BodyT]], ApiResponse] | Callable[[ApiApp, Call[QueryT, BodyT]], Awaitable[ApiResponse]]
"""Answers a call. A plain function may block, since it is run on a thread; one that talks to the engine is a coroutine and must not."""


class Reply(NamedTuple):
    """One way in which a route answers when all is well."""

    status: int
    meaning: str
    struct: type[msgspec.Struct] | None = None
    """None: no JSON."""
    media_types: tuple[str, ...] = ()
    """Besides JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[QueryT, BodyT]):
    """One method on one path template."""

    name: str
    """Operation id."""
    method: str
    template: str
    """Below the prefix: `/runs/{run_id}`."""
    role: Role
    summary: str
    handler: Handler[QueryT, BodyT]
    replies: tuple[Reply, ...]
    query: type[QueryT]
    body: type[BodyT]

    @property
    def segments(self) -> list[str]:
        """The template's parts."""
        return self.template.strip("/").split("/")


def match(template: Sequence[str], path: str) -> dict[str, str] | None:
    """The parameters of a path that fits a template; None if it does not. Literal parts ignore case and a trailing slash, as the Functions host does."""
    parts = [unquote(part) for part in path.removesuffix("/").removeprefix("/").split("/")]
    if len(parts) != len(template):
        return None
    params: dict[str, str] = {}
    for expected, part in zip(template, parts, strict=True):
        if not part:
            return None
        if expected.startswith("{"):
            params[expected[1:-1]] = part
        elif expected.lower() != part.lower():
            return None
    return params


def find(routes: Iterable[Route[Any, Any]], path: str) -> dict[str, tuple[Route[Any, Any], dict[str, str]]]:
    """The routes a path fits, by method."""
    found: dict[str, tuple[Route[Any, Any], dict[str, str]]] = {}
    for route in routes:
        params = match(route.segments, path)
        if params is not None:
            found.setdefault(route.method, (route, params))
    return found


def open_templates(routes: Iterable[Route[Any, Any]]) -> frozenset[str]:
    """Templates that the Functions host may answer without a key: those whose every route says nothing about data."""
    routes = tuple(routes)
    closed = {route.template for route in routes if route.role is not Role.ANYONE}
    return frozenset(route.template.strip("/") for route in routes if route.template not in closed)


def function_names(routes: Iterable[Route[Any, Any]]) -> dict[str, str]:
    """One Azure function for each template, whatever its methods, by function name: a wrong method is then ours to answer, with 405 and `Allow`."""
    templates = sorted({route.template.strip("/") for route in routes})
    return {"api_" + "_".join(part.strip("{}") for part in template.split("/")): template for template in templates}
