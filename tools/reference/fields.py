"""What a struct's fields mean: the docstrings below them, which Python itself forgets."""

from __future__ import annotations

import ast
import inspect
import textwrap

import msgspec


def field_docs(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Field name to its docstring, on one line; fields without one are absent."""
    docs: dict[str, str] = {}
    for kind in reversed(struct.__mro__):
        if not issubclass(kind, msgspec.Struct) or kind is msgspec.Struct:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        assert isinstance(definition, ast.ClassDef)
        for field, doc in zip(definition.body, definition.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(doc, ast.Expr)
                and isinstance(doc.value, ast.Constant)
                and isinstance(doc.value.value, str)
            ):
                docs[field.target.id] = " ".join(doc.value.value.split())
    return docs


def summary(subject: object) -> str:
    """The docstring's first paragraph, on one line."""
    return " ".join(inspect.cleandoc(inspect.getdoc(subject) or "").split("\n\n")[0].split())


def cell(text: str) -> str:
    """Text that fits into a cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
