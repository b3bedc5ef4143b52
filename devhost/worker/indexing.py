"""Loads the app module, once, and finds its functions; collects every reason why the real host would load none of them."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure.functions as func

from devhost.worker.places import describe_places, relative_to_app
from devhost.worker.signatures import Signature, check_signature
from devhost.worker.streaming import WebTypes, web_types

_SCRIPT_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_\-]*\.py")
_DURABLE_BODY = {"orchestrationTrigger": "orchestrator_function", "entityTrigger": "entity_function"}


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedFunction:
    """A function ready to be called."""

    name: str
    call: Callable[..., Any]
    is_async: bool
    signature: Signature
    bindings: list[Mapping[str, Any]]
    retry: Mapping[str, Any] | None
    script_file: str
    directory: str
    streamed_parameter: str | None = None
    """The parameter that takes the request of the HTTP streaming extension; None for a function that is not streamed."""

    def as_metadata(self) -> dict[str, Any]:
        """The fields of `devhost.functions.FunctionMetadata`, as JSON."""
        return {
            "name": self.name,
            "bindings": self.bindings,
            "is_async": self.is_async,
            "script_file": self.script_file,
            "entry_point": getattr(self.call, "__name__", self.name),
            "retry": self.retry,
            "is_streamed": self.streamed_parameter is not None,
            "warnings": list(_warnings(self)),
        }


@dataclass(slots=True)
class Index:
    """All functions of the app; with `problems` the app does not load."""

    functions: dict[str, IndexedFunction] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    web: WebTypes | None = None
    """Set if HTTP functions are streamed."""


def index_app(app_dir: Path, script: str) -> Index:
    """Imports `script` from `app_dir` and indexes the one app object in it. Never raises on account of user code."""
    index = Index()
    if not _SCRIPT_NAME.fullmatch(script):
        index.problems.append(f"PYTHON_SCRIPT_FILE_NAME={script!r} is not the name of a Python file such as function_app.py")
        return index
    if not (app_dir / script).is_file():
        index.problems.append(f"no {script} in {app_dir}: a Functions app of the v2 (decorator) model is needed")
        return index
    try:
        module = importlib.import_module(Path(script).stem)
    except Exception as error:  # noqa: BLE001 - user code
        index.problems.append(f"{script} cannot be imported: {describe_import_error(error, app_dir)}")
        return index
    apps = [(name, value) for name, value in vars(module).items() if isinstance(value, func.FunctionRegister)]
    if len(apps) != 1:
        found = f"more than one app object: {', '.join(name for name, _ in apps)}" if apps else "no app object"
        index.problems.append(f"{script} has {found}; exactly one top-level FunctionApp or DFApp is needed")
        return index
    index.web = web_types()
    for function in _functions_of(apps[0][1], index.problems):
        _add(index, function, app_dir, script)
    return index


def _functions_of(app: Any, problems: list[str]) -> list[Any]:
    """What `get_functions` returns; when it raises, each builder is asked alone, so that every problem is seen."""
    try:
        return list(app.get_functions())
    except Exception as error:  # noqa: BLE001 - it raises ValueError and others
        seen = len(problems)
        for builder in getattr(app, "_function_builders", ()):
            try:
                builder.build(app.auth_level)
            except Exception as builder_error:  # noqa: BLE001
                problems.append(str(builder_error))
        if len(problems) == seen:
            problems.append(str(error))
        return []


def _add(index: Index, function: Any, app_dir: Path, script: str) -> None:
    name = str(function.get_function_name())
    bindings: list[Mapping[str, Any]] = [json.loads(text) for text in function.get_raw_bindings()]
    user_function = function.get_user_function()
    signature, problems = check_signature(user_function, bindings, index.web)
    if problems and _has_other_context_name(function):
        problems = ['its context_name has to be "context": the durable library calls the parameter so, whatever the function does']
    index.problems += [f"cannot load the {name} function: {problem}" for problem in problems]
    retry = function.get_settings_dict("retry_policy")
    index.functions[name] = IndexedFunction(
        name=name,
        call=user_function,
        is_async=inspect.iscoroutinefunction(user_function),
        signature=signature,
        bindings=bindings,
        retry=retry and {key: str(value) for key, value in retry.items() if value is not None},
        script_file=script,
        directory=str(app_dir),
        streamed_parameter=next((n for n, kind in signature.inputs.items() if kind == "httpTrigger"), None) if index.web else None,
    )


def _has_other_context_name(function: Any) -> bool:
    trigger = function.get_trigger()
    return trigger.type in _DURABLE_BODY and trigger.name != "context"


def _warnings(function: IndexedFunction) -> list[str]:
    """What loads on the real host and cannot work there."""
    kind = next((str(b["type"]) for b in function.bindings if str(b["type"]).endswith("Trigger")), "")
    body = getattr(function.call, _DURABLE_BODY.get(kind, ""), None)
    warnings = []
    if kind == "orchestrationTrigger" and body is not None and not inspect.isgeneratorfunction(inspect.unwrap(body)):
        if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
            warnings.append("an orchestrator must be a generator function (def with yield), not async: it will fail when it runs")
        else:
            warnings.append("the orchestrator is not a generator function (it has no yield), so it can schedule nothing")
    if kind == "entityTrigger" and body is not None and inspect.iscoroutinefunction(body):
        warnings.append("an entity must not be async: its coroutine is never awaited, and every operation will return null")
    if any(binding["type"] == "durableClient" for binding in function.bindings):
        client_function = getattr(function.call, "client_function", None)
        if client_function is not None and not inspect.iscoroutinefunction(client_function):
            warnings.append("a function with a durable client must be async def: it will fail when it is called")
    return warnings


def describe_import_error(error: BaseException, app_dir: Path) -> str:
    """The error and the places in the app's own files that led to it, on one line each, without a traceback."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({relative_to_app(error.filename or '', app_dir)}, line {error.lineno})"
    places = describe_places(traceback.extract_tb(error.__traceback__), app_dir)
    missing = isinstance(error, ModuleNotFoundError) and error.name
    hint = f" (is it installed in {sys.prefix}?)" if missing else ""
    return f"{type(error).__name__}: {error}{hint}" + (f" [{places}]" if places else "")
