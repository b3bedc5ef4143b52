"""Source code as values: the symbols of one module, and the normal form of a syntax tree.

Trees are read from the files, never from running code, so that the answer depends on what is written and on nothing else: not on the hash
seed, the working directory, the path of the checkout or the version of Python (the normal form leaves out everything that versions differ in).
"""

from __future__ import annotations

import ast
import copy
import linecache
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module


def normal_form(node: ast.AST) -> list[Any]:
    """A syntax tree as nested lists of text: no positions, comments, docstrings or formatting."""
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    form: list[Any] = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        if name in _SKIPPED or value is None or value == []:
            continue
        if name == "body" and isinstance(node, _Documented):
            value = without_docstring(value)
        form.append([name, _normal_value(value)])
    return form


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements after the docstring, if there is one."""
    first = body[0] if body else None
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return body[1:] if documented else body


def _normal_value(value: Any) -> Any:
    if isinstance(value, ast.AST):
        return normal_form(value)
    if isinstance(value, list):
        return [_normal_value(each) for each in value]
    return str(value)


@dataclass(frozen=True)
class Imported:
    """What an import statement binds a name to."""

    module: str
    name: str | None
    """None: the module itself."""


@dataclass(frozen=True, eq=False)
class ModuleSource:
    """One module: which top-level statements make each of its names."""

    name: str
    """Dotted."""
    path: str
    is_package: bool
    tree: ast.Module
    statements: dict[str, list[ast.stmt]] = field(default_factory=dict)
    """Name to the statements that bind or change it, in order; imports are not among them."""
    imports: dict[str, Imported] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    """Modules that everything is imported from."""
    uses: dict[ast.stmt, object] = field(default_factory=dict)
    """What `names.py` found out about statements."""

    def __post_init__(self) -> None:
        for statement in self.tree.body:
            self._index(statement)

    @cached_property
    def functions(self) -> dict[tuple[int, str], ast.FunctionDef | ast.AsyncFunctionDef]:
        """(First line, decorators included; name) to function, at any depth."""
        return {
            (min([node.lineno, *(each.lineno for each in node.decorator_list)]), node.name): node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    def imported(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Imported]]:
        """The names an import statement binds; `*` for all of a module."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    (alias.asname, Imported(alias.name, None))
                    if alias.asname
                    else (alias.name.split(".")[0], Imported(alias.name.split(".")[0], None))
                )
            return
        base = node.module or ""
        if node.level:
            package = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
            package = package[: len(package) - node.level + 1]
            base = ".".join([*package, *([node.module] if node.module else [])])
        for alias in node.names:
            yield alias.asname or alias.name, Imported(base, alias.name)

    def _index(self, statement: ast.stmt) -> None:
        for node in _same_scope(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name, target in self.imported(node):
                    if name == "*":
                        self.stars.append(target.module)
                    else:
                        self.imports[name] = target
        for name in _touched(statement):
            self.statements.setdefault(name, []).append(statement)


def _same_scope(statement: ast.AST) -> Iterator[ast.AST]:
    """The statement and everything in it that runs in the module's own scope."""
    yield statement
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    for child in ast.iter_child_nodes(statement):
        yield from _same_scope(child)


def _touched(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement binds, or whose value it may change in place."""
    names: set[str] = set()
    for node in _same_scope(statement):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Subscript(ctx=ast.Store()) | ast.Attribute(ctx=ast.Store()) | ast.Expr(value=ast.Call(func=ast.Attribute())):
                target = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else node
                while isinstance(target, ast.Attribute | ast.Subscript):
                    target = target.value
                if isinstance(target, ast.Name):
                    names.add(target.id)
            case _ if type(node).__name__ == "TypeAlias":
                names.add(node.name.id)  # type: ignore[attr-defined] # Python 3.12
            case _:
                pass
    return names


class Sources:
    """The modules of one project, read when first asked for. A project is a top-level package, or a single module."""

    def __init__(self, module: str, path: str) -> None:
        """Starts from one module.

        Args:
            module: dotted name of any module of the project.
            path: its file.
        """
        self.top = module.split(".", 1)[0]
        self._known: dict[str, ModuleSource | None] = {}
        file = Path(path)
        depth = module.count(".") + (1 if file.name == "__init__.py" else 0)
        self._root = file.parents[depth] if depth < len(file.parents) else file.parent
        self._known[module] = read_module(module, path, is_package=file.name == "__init__.py")

    def module(self, name: str) -> ModuleSource | None:
        """A module of the project; None if there is no such module, or it cannot be read."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def add(self, name: str, path: str) -> ModuleSource | None:
        """A module whose file is known."""
        if self._known.get(name) is None:
            self._known[name] = read_module(name, path, is_package=Path(path).name == "__init__.py")
        return self._known[name]

    def owns(self, name: str) -> bool:
        """Whether a module name belongs to the project."""
        return name.split(".", 1)[0] == self.top

    def _find(self, name: str) -> ModuleSource | None:
        if not self.owns(name):
            return None
        base = self._root.joinpath(*name.split("."))
        for path, is_package in ((base.with_suffix(".py"), False), (base / "__init__.py", True)):
            if path.is_file():
                return read_module(name, str(path), is_package=is_package)
        return None


def read_module(name: str, path: str, *, is_package: bool) -> ModuleSource | None:
    """Parses a module; None if its source cannot be had or is not Python."""
    linecache.checkcache(path)
    lines = linecache.getlines(path)
    if not lines and not Path(path).is_file():
        return None
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None
    return ModuleSource(name, path, is_package, tree)


def without_decorators(node: ast.stmt, dropped: set[ast.expr]) -> ast.stmt:
    """The statement without some of its decorators; the statement itself if there is nothing to drop."""
    if not dropped or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node
    plain = copy.copy(node)
    plain.decorator_list = [each for each in node.decorator_list if each not in dropped]
    return plain
