"""What the host itself refuses: names, bindings and routes that put one function in error while the others load."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from devhost.functions import FunctionMetadata
from devhost.http.router import route_text
from devhost.settings import HostSettings

_FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_\-]{0,127}", re.IGNORECASE)
_BINDING_NAME = re.compile(r"(?!.*__)[a-zA-Z_][a-zA-Z0-9_]{0,127}|\$return")

_RETRYABLE = {"timerTrigger", "eventHubTrigger", "kafkaTrigger", "cosmosDBTrigger"}

UNSERVED = (
    "the app uses HTTP streaming (azurefunctions-extensions-http-fastapi), but PYTHON_ENABLE_INIT_INDEXING is not 1, without which its HTTP "
    "functions wait for their requests until functionTimeout; set it in local.settings.json and in Azure's app settings"
)
"""Said of an app that loads, and whose HTTP functions never answer."""

SUPPORTED = {
    "httpTrigger", "http", "timerTrigger", "queueTrigger", "queue", "blobTrigger", "blob",
    "orchestrationTrigger", "activityTrigger", "entityTrigger", "durableClient",
}  # fmt: skip


def examine(functions: Iterable[FunctionMetadata], settings: HostSettings) -> tuple[FunctionMetadata, ...]:
    """The functions to load, each with what is wrong with it in `errors`, in order of their names."""
    chosen = [f for f in functions if settings.functions is None or f.name.lower() in settings.functions]
    examined: list[FunctionMetadata] = []
    routes: list[FunctionMetadata] = []
    names: dict[str, str] = {}
    for function in sorted(chosen, key=lambda f: f.name.upper()):
        errors = [*_name_errors(function), *_binding_errors(function)]
        if other := names.get(function.name.lower()):
            errors.append(f"The function name '{function.name}' differs from '{other}' only in case; function names have to be unique.")
        names.setdefault(function.name.lower(), function.name)
        if function.kind == "httpTrigger":
            errors += _route_errors(function, routes)
            if not errors:
                routes.append(function)
        warnings = (*function.warnings, *_retry_warnings(function))
        examined.append(replace(function, errors=tuple(errors), warnings=warnings, disabled=settings.is_disabled(function.name)))
    return tuple(examined)


def _retry_warnings(function: FunctionMetadata) -> list[str]:
    if not function.retry or function.kind in _RETRYABLE:
        return []
    return [f"retry policies are not supported for a {function.kind}; the real host warns and may ignore it"]


def _name_errors(function: FunctionMetadata) -> list[str]:
    name = function.name
    if not _FUNCTION_NAME.fullmatch(name) or name.lower() == "host":
        return [f"'{name}' is not a valid function name."]
    return []


def _binding_errors(function: FunctionMetadata) -> list[str]:
    errors = []
    for binding in function.bindings:
        name, kind = str(binding.get("name", "")), str(binding["type"])
        if not _BINDING_NAME.fullmatch(name):
            errors.append(f"The binding name {name} is invalid. Please assign a valid name to the binding.")
        if kind not in SUPPORTED:
            errors.append(f"The binding type(s) '{kind}' are not supported by this host; it supports {', '.join(sorted(SUPPORTED))}.")
    return errors


def _route_errors(function: FunctionMetadata, taken: list[FunctionMetadata]) -> list[str]:
    route = route_text(function)
    if route.lower().startswith(("admin", "runtime")):
        return ["The specified route conflicts with one or more built in routes."]
    methods = _methods(function)
    for other in taken:
        same = route_text(other).lower() == route.lower()
        if same and (methods is None or (others := _methods(other)) is None or methods & others):
            return [f"The route specified conflicts with the route defined by function '{other.name}'."]
    return []


def _methods(function: FunctionMetadata) -> frozenset[str] | None:
    methods = function.trigger.get("methods")
    return frozenset(str(method).upper() for method in methods) if methods else None
