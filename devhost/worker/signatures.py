"""The rules a function's signature has to keep to be loaded: the same as the Python worker's, so that nothing loads here only.

A function that breaks one of them fails the whole app on the real host, which reports the first problem; here all are collected.
"""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Union

from devhost.worker.bindings import GENERIC, converter, has_implicit_output
from devhost.worker.streaming import WebTypes, is_turned_off

RETURN = "$return"


@dataclass(frozen=True, slots=True)
class Signature:
    """How a function is called."""

    inputs: Mapping[str, str]
    """Converter name of each in-binding, by parameter."""
    outputs: Mapping[str, str]
    """Converter name of each out-binding, by parameter."""
    return_type: str | None
    """Converter name for the return value; None when only None may be returned."""
    requires_context: bool


@dataclass
class _Check:
    bindings: Mapping[str, Mapping[str, Any]]
    hints: Mapping[str, Any]
    web: WebTypes | None
    problems: list[str] = field(default_factory=list)


def check_signature(
    user_function: Callable[..., Any], bindings: list[Mapping[str, Any]], web: WebTypes | None = None
) -> tuple[Signature, list[str]]:
    """Reads a function's parameters against its bindings (dictionaries as in function.json).

    Args:
        user_function: the function.
        bindings: its bindings.
        web: what HTTP functions take and return if the app uses HTTP streaming, which is then for all of them.

    Returns:
        the signature, and what the Python worker would refuse, one text for each problem; with problems the signature is of no use.
    """
    bound = {str(binding["name"]): binding for binding in bindings}
    parameters = dict(inspect.signature(user_function).parameters)
    try:
        hints = typing.get_type_hints(user_function)
    except Exception as error:  # noqa: BLE001 - annotations may run any code
        return Signature({}, {}, None, False), [f"its type hints cannot be resolved: {type(error).__name__}: {error}"]
    check = _Check(bound, hints, web)

    requires_context = "context" in parameters and "context" not in bound
    if requires_context:
        del parameters["context"]
        _check_context(check)
    _check_directions(check)
    declared = {name for name in bound if name != RETURN}
    if extra := set(parameters) - declared:
        check.problems.append(
            "the following parameters are declared in Python but not in the function definition "
            f"(function.json or function decorators): {_names(extra)}"
        )
    if missing := declared - set(parameters):
        check.problems.append(
            "the following parameters are declared in the function definition (function.json or function decorators) "
            f"but not in Python: {_names(missing)}"
        )

    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    for name in parameters:
        if name in declared:
            kind = _check_parameter(check, name)
            (outputs if _is_out(bound[name]) else inputs)[name] = kind
    return Signature(inputs, outputs, _return_type(check), requires_context), check.problems


def _names(names: set[str]) -> str:
    return "{" + ", ".join(repr(name) for name in sorted(names)) + "}"


def _is_out(binding: Mapping[str, Any]) -> bool:
    return str(binding.get("direction", "IN")).lower() == "out"


def _check_context(check: _Check) -> None:
    annotation = check.hints.get("context")
    if "context" in check.hints and (not isinstance(annotation, type) or annotation.__name__ != "Context"):
        check.problems.append(f'the "context" parameter is expected to be of type azure.functions.Context, got {annotation!r}')


def _check_directions(check: _Check) -> None:
    for name, binding in check.bindings.items():
        if str(binding.get("direction", "IN")).lower() == "inout":
            check.problems.append(f'"inout" bindings are not supported (binding {name})')
        elif name == RETURN and not _is_out(binding):
            check.problems.append('"$return" binding must have direction set to "out"')


def _check_parameter(check: _Check, name: str) -> str:
    """Reports what is wrong with one bound parameter and returns the converter it goes through."""
    binding = check.bindings[name]
    binding_type = str(binding["type"])
    if name not in check.hints:
        return binding_type
    annotation = check.hints[name]
    is_out_annotation = _is_out_annotation(annotation)
    expected = annotation
    if is_out_annotation:
        arguments = typing.get_args(annotation)
        if len(arguments) != 1:
            check.problems.append(f"binding {name} has invalid Out annotation {annotation!r}")
            return binding_type
        expected = arguments[0]
    if not isinstance(expected, type) and not _is_typing_generic(expected):
        check.problems.append(
            f"binding {name} has invalid non-type annotation {annotation!r}; a class or a generic of `typing` is needed "
            "(no Optional, no `X | None`, no builtin generic such as list[str])"
        )
        return binding_type
    if _is_out(binding) and not is_out_annotation:
        check.problems.append(
            f'binding {name} is declared to have the "out" direction, but its annotation in Python is not a subclass of azure.functions.Out'
        )
    elif is_out_annotation and not _is_out(binding):
        check.problems.append(f'binding {name} is declared to have the "in" direction, but its annotation is azure.functions.Out in Python')
    else:
        return _check_type(check, name, expected, is_out=is_out_annotation)
    return binding_type


def _check_type(check: _Check, name: str, expected: Any, *, is_out: bool) -> str:
    binding_type = str(check.bindings[name]["type"])
    kind = GENERIC if expected in (str, bytes) and not has_implicit_output(binding_type) else binding_type
    found = converter(kind)
    test = found.check_output_type_annotation if is_out else found.check_input_type_annotation
    if kind == "httpTrigger" and check.web is not None and not is_out:
        test = check.web.takes
    elif kind == "http" and check.web is not None and is_out:
        test = check.web.returns
    # Orchestration and entity parameters accept any class, whatever their converter says of others
    accepts_all = kind in {"orchestrationTrigger", "entityTrigger"}
    if not accepts_all and not _fits(test, expected):
        check.problems.append(
            f'type of {name} binding in the function definition "{binding_type}" does not match its Python annotation "{_name(expected)}"'
            + _streaming_hint(check, binding_type, expected)
        )
    return kind


def _streaming_hint(check: _Check, binding_type: str, expected: Any) -> str:
    """Why a request or response type does not fit that would without, or with, the HTTP streaming extension."""
    package = str(getattr(expected, "__module__", "")).partition(".")[0]
    if binding_type not in {"httpTrigger", "http"}:
        return ""
    if check.web is not None:
        return (
            "; the app imports azurefunctions-extensions-http-fastapi, and from then on all its HTTP functions take and return the types of that "
            "package (Request, StreamingResponse, …) and none of azure.functions"
        )
    if package not in {"azurefunctions", "fastapi", "starlette"}:
        return ""
    if is_turned_off():
        return "; PYTHON_ENABLE_INIT_INDEXING turns HTTP streaming off: set it to 1"
    return "; such types are those of HTTP streaming: import them from azurefunctions.extensions.http.fastapi"


def _return_type(check: _Check) -> str | None:
    binding = check.bindings.get(RETURN)
    if binding is None:
        trigger = next((str(b["type"]) for b in check.bindings.values() if str(b["type"]).endswith("Trigger")), "")
        return trigger if trigger and has_implicit_output(trigger) else None
    binding_type = str(binding["type"])
    if "return" not in check.hints:
        return binding_type
    annotation = check.hints["return"]
    if _is_out_annotation(annotation):
        check.problems.append("return annotation should not be azure.functions.Out")
    elif not isinstance(annotation, type):
        check.problems.append(f"has invalid non-type return annotation {annotation!r}")
    elif not _fits(_return_test(check, binding_type), annotation):
        check.problems.append(
            f'Python return annotation "{annotation.__name__}" does not match binding type "{binding_type}"'
            + _streaming_hint(check, binding_type, annotation)
        )
    return binding_type


def _return_test(check: _Check, binding_type: str) -> Callable[[Any], bool]:
    if binding_type == "http" and check.web is not None:
        return check.web.returns
    test: Callable[[Any], bool] = converter(binding_type).check_output_type_annotation
    return test


def _fits(test: Callable[[Any], bool], annotation: Any) -> bool:
    try:
        return bool(test(annotation))
    except TypeError:
        return False


def _name(annotation: Any) -> str:
    return str(getattr(annotation, "__name__", annotation))


def _is_out_annotation(annotation: Any) -> bool:
    origin = typing.get_origin(annotation) or annotation
    return isinstance(origin, type) and origin.__name__ == "Out"


def _is_typing_generic(annotation: Any) -> bool:
    """Whether the worker takes it for a generic type: subscripted generics of `typing` and of user classes, but no builtin ones."""
    if isinstance(annotation, type):
        return issubclass(annotation, Generic)
    from_typing = type(annotation).__module__ == "typing"
    return from_typing and typing.get_origin(annotation) not in (None, Union, tuple, ClassVar, collections.abc.Callable)
