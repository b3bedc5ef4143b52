"""One request in, one reply out: find the route, read the request, call the handler, turn errors into problems. Never raises."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

from tidemill.api.app import ApiApp
from tidemill.api.errors import CrossOrigin, UnknownRoute, WrongMethod
from tidemill.api.http import ApiRequest, ApiResponse
from tidemill.api.problems import internal_problem, problem_response
from tidemill.api.reading import read_body, read_query
from tidemill.api.route import Call, find
from tidemill.api.routes import ROUTES
from tidemill.errors import TidemillError

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


async def dispatch(app: ApiApp, request: ApiRequest) -> ApiResponse:
    """Answers a request. Every failure is a reply."""
    try:
        return await _answer(app, request)
    except TidemillError as error:
        return problem_response(error, in_body=request.method not in _SAFE)
    except Exception as error:  # noqa: BLE001 - the last door before the network: a defect of ours becomes a plain 500, its trace goes to the log
        return internal_problem(error, where=f"{request.method} {request.path}")


async def _answer(app: ApiApp, request: ApiRequest) -> ApiResponse:
    routes = find(ROUTES, request.path)
    if not routes:
        raise UnknownRoute(request.path[:200], (route.template for route in ROUTES))
    allowed = sorted({*routes, "OPTIONS"} | ({"HEAD"} if "GET" in routes else set()))
    if request.method == "OPTIONS":
        return ApiResponse(status=204, headers={"Allow": ", ".join(allowed)})
    method = "GET" if request.method == "HEAD" else request.method
    if method not in routes:
        raise WrongMethod(request.method, request.path[:200], allowed)
    if method not in _SAFE:
        _refuse_other_sites(request)
    route, params = routes[method]
    call = Call(
        request=request,
        params=params,
        query=read_query(request, route.query),
        body=read_body(request, route.body) if method not in _SAFE else route.body(),
    )
    if inspect.iscoroutinefunction(route.handler):
        return cast("ApiResponse", await route.handler(app, call))
    return await asyncio.to_thread(cast("Callable[[ApiApp, Call[Any, Any]], ApiResponse]", route.handler), app, call)


def _refuse_other_sites(request: ApiRequest) -> None:
    """A browser says from whose page a request comes; programs say nothing. Scheme is left out, since a proxy in front may change it."""
    origin = request.headers.get("origin", "")
    if origin and urlsplit(origin).netloc.lower() != urlsplit(request.origin).netloc.lower():
        raise CrossOrigin(origin[:200])
