"""Code versions: when has the logic of an asset changed?

The automatic version is a hash over the normal form of the function and of everything written in the same project that it reaches: functions,
classes and constants of its module and of modules it imports, decorators and defaults included. What is installed from elsewhere counts by
its name only. Comments, formatting, docstrings and the asset's own declaration do not count, except for what its partitions mean and the
schema its result must have. Names of reached symbols are dotted module names, so no path of a machine gets in.

What this cannot see: code chosen at run time (`getattr`, `importlib`), files, and environment variables and releases of installed packages that
are not declared (`environment`). An explicit `code_version` is for those; it replaces what is derived from the code, and declared environment still counts.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any

import pyarrow as pa

from tidemill.definitions.names import WHOLE, Chain, read_statement
from tidemill.definitions.partitions import PartitionsDefinition
from tidemill.definitions.source import Imported, ModuleSource, Sources
from tidemill.definitions.sql import SqlText
from tidemill.model.versions import canonical, digest

_PLAIN = (type(None), bool, int, float, complex, str, bytes, date, time, timedelta, pa.DataType, pa.Schema, pa.Field)


@dataclass(frozen=True, slots=True, order=True)
class CodePart:
    """One thing that a code version is made of."""

    kind: str
    """`function`, `value`, `import`, `captured`, `sql`, `partitions`, `schema`, `asset`, `environment` or `explicit`."""
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """A version of an asset's logic and what went into it."""

    version: str
    parts: tuple[CodePart, ...]
    """Sorted."""
    content: bytes
    """The canonical bytes whose hash the version is: the parts that count."""

    def explain(self) -> list[str]:
        """One line for each part: kind, name and the start of its hash."""
        width = max((len(part.kind) for part in self.parts), default=0)
        return [f"{part.kind:<{width}}  {part.name}  {part.digest[:12]}" for part in self.parts]


class Unversionable(Exception):
    """The version cannot be derived from the code. The message is a clause that says why; the author can give an explicit one."""


def environment_part(name: str, value: str | None) -> CodePart:
    """One thing of the environment that counts, by a hash of its value, since it may be a secret; None: it is not set."""
    return CodePart("environment", name, "" if value is None else digest(value.encode()))


def explicit_version(key: str, text: str, environment: Sequence[CodePart] = ()) -> CodeVersion:
    """The version an author wrote down. The asset's key is in it: two assets that both say `2` run different code."""
    if environment:
        counted = [CodePart("explicit", text, digest(canonical([key, text]))), *environment]
        return _version(counted, counted)
    content = canonical(["code/1", "explicit", key, text])
    return CodeVersion(digest(content), (CodePart("explicit", text, digest(text.encode())),), content)


def sql_version(
    key: str, sql: SqlText, partitions: PartitionsDefinition | None, schema: pa.Schema | None, environment: Sequence[CodePart] = ()
) -> CodeVersion:
    """The version of a query: its normal form and what its partitions and result mean."""
    part = CodePart("sql", sql.file or key, digest(sql.normal.encode()))
    # A file may be renamed; only the text in it counts.
    declared = [*_declared(partitions if sql.reads_partition else None, schema), *environment]
    return _version([CodePart("sql", "", part.digest), *declared], [part, *declared])


def function_version(
    key: str,
    function: Callable[..., Any],
    *,
    takes_context: bool,
    partitions: PartitionsDefinition | None,
    schema: pa.Schema | None,
    environment: Sequence[CodePart] = (),
    unwrap: Callable[[Any], Any] = lambda value: value,
    sources: dict[str, Sources] | None = None,
) -> CodeVersion:
    """The version of a Python function.

    Args:
        key: the asset; counts only if the function can see it.
        function: a function whose source can be read.
        takes_context: whether it is given the context, and with it the asset's key and what a partition means.
        partitions: the asset's partitions.
        schema: what the result must look like.
        environment: what was declared to count besides the code.
        unwrap: turns a captured declaration into its function, and returns anything else as it is.
        sources: modules already parsed, by project; filled as more are read.

    Raises:
        Unversionable: its source cannot be read, or it captures something that has no version.
    """
    walk = _Walk({} if sources is None else sources, unwrap)
    walk.function(inspect.unwrap(function))
    parts = list(walk.parts())
    if takes_context:
        parts += [CodePart("asset", key, digest(key.encode())), *_declared(partitions, schema)]
    else:
        parts += _declared(None, schema)
    parts += environment
    return _version(parts, parts)


def _declared(partitions: PartitionsDefinition | None, schema: pa.Schema | None) -> list[CodePart]:
    parts = []
    if partitions is not None:
        parts.append(CodePart("partitions", partitions.rule(), digest(partitions.rule().encode())))
    if schema is not None:
        columns = [[column.name, str(column.type), column.nullable] for column in schema]
        parts.append(CodePart("schema", "schema", digest(canonical(columns))))
    return parts


def _version(counted: Iterable[CodePart], shown: Iterable[CodePart]) -> CodeVersion:
    content = canonical(["code/1", *([part.kind, part.name, part.digest] for part in sorted(counted))])
    return CodeVersion(digest(content), tuple(sorted(shown)), content)


class _Walk:
    """Follows names from one function through a project."""

    def __init__(self, sources: dict[str, Sources], unwrap: Callable[[Any], Any]) -> None:
        self._sources = sources
        self._unwrap = unwrap
        self._parts: dict[tuple[str, str], str] = {}
        self._seen: set[tuple[str, str]] = set()
        self._reached: set[tuple[str, str, frozenset[Chain]]] = set()
        self._queue: list[tuple[ModuleSource, Sources, str]] = []

    def parts(self) -> Iterator[CodePart]:
        """Everything found."""
        for (kind, name), value in self._parts.items():
            yield CodePart(kind, name, value)

    def function(self, function: Any) -> None:
        """Takes in a function object and everything it reaches."""
        if not isinstance(function, types.FunctionType):
            raise Unversionable(f"it is {type(function).__name__} and not a function written with `def`")
        code = function.__code__
        project = self._project(function.__module__, code.co_filename)
        module = project.add(function.__module__, code.co_filename)
        node = module.functions.get((code.co_firstlineno, code.co_name)) if module else None
        if module is None or node is None:
            raise Unversionable("its source cannot be read")
        name = f"{module.name}.{function.__qualname__.replace('<locals>.', '')}"
        if (module.name, function.__qualname__) in self._seen:
            return
        self._seen.add((module.name, function.__qualname__))
        captured = dict(zip(code.co_freevars, (cell.cell_contents for cell in function.__closure__ or ()), strict=True))
        self._node(module, project, node, ("function", name), hidden=captured)
        for variable in sorted(captured):
            self._captured(f"{name}.{variable}", captured[variable])
        self._drain()

    def _project(self, module: str, path: str) -> Sources:
        top = module.split(".", 1)[0]
        if top not in self._sources:
            self._sources[top] = Sources(module, path)
        return self._sources[top]

    def _captured(self, name: str, value: Any) -> None:
        value = self._unwrap(value)
        if isinstance(value, types.FunctionType):
            self.function(inspect.unwrap(value))
        elif isinstance(value, types.ModuleType):
            self._parts["import", value.__name__] = ""
        else:
            form = _plain_form(value)
            if form is None:
                raise Unversionable(
                    f"it captures `{name.rsplit('.', 1)[-1]}`, a value of type {type(value).__name__}, from the function around it"
                )
            self._parts["captured", name] = digest(form.encode())

    def _drain(self) -> None:
        while self._queue:
            module, project, name = self._queue.pop()
            statements = module.statements.get(name, [])
            for index, statement in enumerate(statements):
                kind = "function" if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else "value"
                self._node(module, project, statement, (kind, f"{module.name}.{name}" + (f"#{index + 1}" if index else "")))

    def _node(
        self, module: ModuleSource, project: Sources, node: ast.stmt, part: tuple[str, str], hidden: Mapping[str, Any] | None = None
    ) -> None:
        uses = read_statement(module, node)
        self._parts[part] = uses.form
        for name in sorted(uses.names - set(hidden or ())):
            self._reach(module, project, name, uses.chains_of(name))
        for name, target in uses.imports:
            self._follow(project, target, uses.chains_of(name))

    def _reach(self, module: ModuleSource, project: Sources, name: str, chains: frozenset[Chain]) -> None:
        if (module.name, name, chains) in self._reached:  # modules may import each other
            return
        self._reached.add((module.name, name, chains))
        if name in module.statements:
            self._enqueue(module, project, name)
        if name in module.imports:
            self._follow(project, module.imports[name], chains)
        elif name not in module.statements:
            for star in module.stars:
                source = project.module(star)
                if source is not None and (name in source.statements or name in source.imports):
                    self._reach(source, project, name, chains)
                elif source is None and not hasattr(builtins, name):
                    self._parts["import", f"{star}.*"] = ""

    def _enqueue(self, module: ModuleSource, project: Sources, name: str) -> None:
        if (module.name, name) not in self._seen:
            self._seen.add((module.name, name))
            self._queue.append((module, project, name))

    def _follow(self, project: Sources, target: Imported, chains: frozenset[Chain]) -> None:
        """Goes through an import: to a symbol, or to the attributes that are used of a module."""
        dotted = target.module if target.name is None else f"{target.module}.{target.name}"
        if not project.owns(target.module):
            self._parts["import", dotted] = ""
            return
        module = project.module(target.module)
        if target.name is not None and target.name != "*":
            if module is not None and (target.name in module.statements or target.name in module.imports or module.stars):
                self._reach(module, project, target.name, chains)
                return
            module = project.module(dotted)
        for chain in sorted(chains):
            self._attribute(project, module, dotted, chain)

    def _attribute(self, project: Sources, module: ModuleSource | None, dotted: str, chain: Chain) -> None:
        """Goes from a module along `.a.b.c`; a module that is used as a whole counts as a whole."""
        if chain:
            submodule = project.module(f"{dotted}.{chain[0]}")
            if submodule is not None and (module is None or chain[0] not in module.statements):
                self._attribute(project, submodule, f"{dotted}.{chain[0]}", chain[1:])
            elif module is not None:
                self._reach(module, project, chain[0], frozenset({chain[1:]}))
            elif submodule is None:
                self._parts["import", f"{dotted}.{chain[0]}"] = ""
        elif module is not None:
            for name in sorted({*module.statements, *module.imports}):
                self._reach(module, project, name, WHOLE)


def _plain_form(value: Any) -> str | None:
    """A captured value as text that is the same in every process; None if it has no such text."""
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__}:{value!r}" if not isinstance(value, pa.Schema) else f"Schema:{value.to_string()}"
    if isinstance(value, PartitionsDefinition):
        return repr(value)
    if isinstance(value, dict):
        items = [(_plain_form(key), _plain_form(each)) for key, each in value.items()]
        return None if any(key is None or each is None for key, each in items) else f"dict:{items!r}"
    if isinstance(value, list | tuple | set | frozenset):
        forms = [_plain_form(each) for each in value]
        if any(form is None for form in forms):
            return None
        return f"{type(value).__name__}:{forms if isinstance(value, list | tuple) else sorted(str(form) for form in forms)!r}"
    return None
