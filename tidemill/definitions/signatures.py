"""Reading a function's signature: which parameter gets the context, which are inputs, and in which form each input is wanted."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_origin

import pyarrow as pa

from tidemill.definitions.assets import Mistake
from tidemill.definitions.context import AssetContext

_CONTEXT = "context"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function asks for."""

    context: str | None
    """The parameter that receives the context."""
    inputs: Mapping[str, bool]
    """Every other parameter, in order; True if it wants a mapping by partition key."""
    mistakes: tuple[Mistake, ...]


def read_signature(function: Callable[..., Any]) -> Signature:
    """Reads the signature of an asset function; what cannot be an asset function gives mistakes, never an exception."""
    plain = inspect.unwrap(function)
    if isinstance(plain, types.FunctionType) and plain.__name__ == "<lambda>":
        return Signature(None, {}, (Mistake("It is made by a lambda, which has no name and no lines of its own.", "Write a `def`."),))
    if not isinstance(plain, types.FunctionType):
        return Signature(None, {}, (Mistake("It does not decorate a function.", "Put it above a `def`."),))
    if inspect.iscoroutinefunction(plain) or inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        kind = "a generator" if inspect.isgeneratorfunction(plain) else "async"
        return Signature(
            None,
            {},
            (
                Mistake(
                    f"The function `{plain.__name__}` is {kind}.",
                    "Write a plain `def` that returns a `pa.Table`; to stream, return a `pa.RecordBatchReader`.",
                ),
            ),
        )
    context: str | None = None
    inputs: dict[str, bool] = {}
    mistakes: list[Mistake] = []
    for parameter in inspect.signature(plain).parameters.values():
        annotation = _evaluated(parameter.annotation, plain)
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            written = str(parameter.replace(annotation=parameter.empty))
            mistakes.append(Mistake(f"The function `{plain.__name__}` takes `{written}`.", "Name every input as an ordinary parameter."))
        elif parameter.name == _CONTEXT or _is_context(annotation):
            if context is not None:
                mistakes.append(Mistake(f"Both `{context}` and `{parameter.name}` ask for the context.", "One is enough."))
            context = parameter.name
        elif parameter.default is not parameter.empty:
            hint = f"Declare `parameters={{'{parameter.name}': {parameter.default!r}}}` and read `context.parameters['{parameter.name}']`."
            mistakes.append(Mistake(f"Parameter `{parameter.name}` has a default value, but parameters are inputs.", hint))
        else:
            form = _wants_mapping(annotation)
            if form is None:
                shown = parameter.annotation if isinstance(parameter.annotation, str) else inspect.formatannotation(parameter.annotation)
                mistakes.append(
                    Mistake(
                        f"Input `{parameter.name}` is annotated `{shown}`.",
                        "An input arrives as `pa.Table` or as `Mapping[str, pa.Table]`.",
                    )
                )
            inputs[parameter.name] = bool(form)
    return Signature(context, inputs, tuple(mistakes))


def _evaluated(annotation: Any, function: types.FunctionType) -> Any:
    """The annotation as an object if its names can be found, else as it was written."""
    if isinstance(annotation, str):
        try:
            return eval(annotation, function.__globals__)  # noqa: S307 - what typing.get_type_hints does, for one annotation at a time
        except Exception:  # noqa: BLE001 - a name under TYPE_CHECKING, or anything else an annotation may raise
            return annotation
    return annotation


def _is_context(annotation: Any) -> bool:
    return annotation is AssetContext or (isinstance(annotation, str) and annotation.rsplit(".", 1)[-1] == AssetContext.__name__)


def _wants_mapping(annotation: Any) -> bool | None:
    """True for a mapping, False for a table, None for what cannot be delivered."""
    if isinstance(annotation, str):
        return _spelled_mapping(annotation)
    kind = get_origin(annotation) or annotation
    if kind in {inspect.Parameter.empty, Any, object, pa.Table}:
        return False
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return True
    # Anything else that is a class or a generic is a promise that would not be kept.
    return None


def _spelled_mapping(annotation: str) -> bool:
    try:
        tree = ast.parse(annotation, mode="eval").body
    except SyntaxError:
        return False
    node = tree.value if isinstance(tree, ast.Subscript) else tree
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in {"Mapping", "dict", "Dict"}
