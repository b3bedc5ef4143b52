"""What a statement uses: its normal form, the names it takes from its module, and what it imports on its own.

Read once for each statement and kept with the module, since many assets reach the same helpers.
"""

from __future__ import annotations

import ast
import symtable
from dataclasses import dataclass

from tidemill.definitions.source import Imported, ModuleSource, normal_form, without_decorators
from tidemill.model.versions import canonical, digest

Chain = tuple[str, ...]
"""Attributes one after another: `a.b.c` uses `a` with the chain `("b", "c")`."""

WHOLE: frozenset[Chain] = frozenset({()})
"""A name that is used by itself, without an attribute."""

_DECORATORS = frozenset({"asset", "external_asset"})


@dataclass(frozen=True, slots=True)
class Uses:
    """What one statement uses."""

    form: str
    """Hash of its normal form, without Tidemill's own decorators."""
    names: frozenset[str]
    """Names that it takes from its module."""
    chains: dict[str, frozenset[Chain]]
    """Name to the attributes it is used with."""
    imports: tuple[tuple[str, Imported], ...]
    """What imports inside it bind."""

    def chains_of(self, name: str) -> frozenset[Chain]:
        """The attributes a name is used with."""
        return self.chains.get(name, WHOLE)


def read_statement(module: ModuleSource, node: ast.stmt) -> Uses:
    """What a statement of a module uses; remembered in the module."""
    uses = module.uses.get(node)
    if isinstance(uses, Uses):
        return uses
    plain = without_decorators(node, {each for each in getattr(node, "decorator_list", ()) if _is_ours(each, module)})
    inner = [each for each in ast.walk(plain) if isinstance(each, ast.Import | ast.ImportFrom)]
    uses = Uses(
        form=digest(canonical(normal_form(plain))),
        names=frozenset(_free_names(plain)),
        chains={name: frozenset(chains) for name, chains in _attributes(plain).items()},
        imports=tuple(pair for each in inner for pair in module.imported(each)),
    )
    module.uses[node] = uses
    return uses


def _free_names(node: ast.stmt) -> set[str]:
    """Names that a statement takes from its module: by the rules of the compiler for code, all of them for annotations."""
    names: set[str] = set()
    tables = [symtable.symtable(ast.unparse(node), "<source>", "exec")]
    top = tables[0]
    while tables:
        table = tables.pop()
        names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced() and (table is top or symbol.is_global())}
        tables += table.get_children()
    for each in ast.walk(node):
        if isinstance(each, ast.arg | ast.AnnAssign) and each.annotation is not None:
            names |= _names(each.annotation)
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.returns is not None:
            names |= _names(each.returns)
    return names


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _attributes(node: ast.AST) -> dict[str, set[tuple[str, ...]]]:
    """Name to the longest attribute chains it is used with: `a.b.c` gives `a` → `("b", "c")`, `a` alone gives `()`."""
    chains: dict[str, set[tuple[str, ...]]] = {}
    inner: set[int] = set()
    for each in ast.walk(node):  # breadth first: an outer attribute comes before the name inside it
        if isinstance(each, ast.Attribute | ast.Name) and id(each) not in inner:
            chain: list[str] = []
            value: ast.expr = each
            while isinstance(value, ast.Attribute):
                chain.append(value.attr)
                value = value.value
                inner.add(id(value))
            if isinstance(value, ast.Name):
                chains.setdefault(value.id, set()).add(tuple(reversed(chain)))
    return chains


def _is_ours(decorator: ast.expr, module: ModuleSource) -> bool:
    """Whether a decorator is one of Tidemill's own, under whatever name it was imported."""
    target: ast.expr = decorator.func if isinstance(decorator, ast.Call) else decorator
    while isinstance(target, ast.Attribute):
        target = target.value
    if not isinstance(target, ast.Name):
        return False
    imported = module.imports.get(target.id)
    if imported is None:
        return target.id in _DECORATORS and target.id not in module.statements and "tidemill" in module.stars
    return imported.module.split(".", 1)[0] == "tidemill"
