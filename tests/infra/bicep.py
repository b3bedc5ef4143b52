"""Read Bicep far enough to ask questions about it: declarations, property trees, and which names an expression uses.

No compiler can be had offline, so this and the scanner stand in for it. It reads plain Bicep, which is all that infra/ may contain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))
_DECLARATIONS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}


@dataclass(frozen=True)
class Declaration:
    """One top-level statement."""

    kind: str
    name: str
    type: str
    """Of a resource its type and API version, of a module its path, else empty."""

    body: Any
    """Property tree: objects as dict, arrays as list, plain strings, numbers and booleans as themselves, any other expression as `Expression`."""

    has_default: bool
    line: int


@dataclass(frozen=True)
class Expression:
    """An expression that only a deployment could evaluate."""

    text: str


@dataclass
class File:
    """One Bicep file."""

    path: Path
    declarations: list[Declaration] = field(default_factory=list)
    used: list[tuple[str, int]] = field(default_factory=list)
    """Names that expressions use, with their lines; property names and function names are not among them."""

    called: set[str] = field(default_factory=set)
    """Names of the functions it calls."""

    outputs_read: set[tuple[str, str]] = field(default_factory=set)
    """(module, output) pairs it reads."""

    def of(self, kind: str) -> list[Declaration]:
        """The declarations of one kind, in order."""
        return [each for each in self.declarations if each.kind == kind]

    def one(self, kind: str, name: str) -> Declaration:
        """The declaration of that kind and name."""
        return next(each for each in self.of(kind) if each.name == name)


def syntax_errors(source: bytes) -> list[int]:
    """Lines with something that is not Bicep, ascending; empty when all of it is."""
    found = {node.start_point[0] + 1 for node in _walk(_PARSER.parse(source).root_node) if node.is_error or node.is_missing}
    return sorted(found)


def read(path: Path, source: bytes | None = None) -> File:
    """Read one file, which must have no syntax errors."""
    root = _PARSER.parse(path.read_bytes() if source is None else source).root_node
    assert not root.has_error, path
    file = File(path)
    for node in root.named_children:
        if node.type in _DECLARATIONS:
            file.declarations.append(_declaration(node))
    for node in _walk(root):
        _note_names(node, file)
    return file


def _declaration(node: Node) -> Declaration:
    name, *rest = (child for child in node.named_children if child.type not in {"comment", "decorators"})
    kind = _DECLARATIONS[node.type]
    values = [child for child in rest if child.type not in {"type", "primitive_type"}]
    type_ = ""
    if kind in {"resource", "module"}:
        type_ = str(_value(values.pop(0)))
    body = next((child for child in values if child.type == "object"), values[-1] if values else None)
    if body is not None and body.type == "if_statement":
        body = next(child for child in _walk(body) if child.type == "object")
    return Declaration(kind, _text(name), type_, None if body is None else _value(body), body is not None, node.start_point[0] + 1)


def _value(node: Node) -> Any:
    children = [child for child in node.named_children if child.type != "comment"]
    match node.type:
        case "string" if all(child.type == "string_content" for child in children):
            return "".join(_text(child) for child in children)
        case "number":
            return int(_text(node))
        case "boolean":
            return _text(node) == "true"
        case "array":
            return [_value(child) for child in children]
        case "object":
            return {_key(each): _value(each.named_children[-1]) for each in children if each.type == "object_property"}
        case _:
            return Expression(_text(node))


def _key(property_: Node) -> str:
    key = property_.named_children[0]
    value = _value(key)
    return value if isinstance(value, str) else _text(key).strip("'")


def _note_names(node: Node, file: File) -> None:
    parent = node.parent
    if parent is None or node.type != "identifier":
        return
    line = node.start_point[0] + 1
    if parent.type in _DECLARATIONS or parent.type == "decorator":
        first = next(child for child in parent.named_children if child.type == "identifier")
        if node != first:
            file.used.append((_text(node), line))
    elif parent.type == "object_property":
        if node != parent.named_children[0]:
            file.used.append((_text(node), line))
    elif parent.type == "call_expression" and node == parent.named_children[0]:
        file.called.add(_text(node))
    else:
        file.used.append((_text(node), line))
    if parent.type == "member_expression" and _text(parent).endswith(".outputs"):
        whole = parent.parent
        assert whole is not None
        file.outputs_read.add((_text(node), _text(whole).rpartition(".")[2]))


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()
