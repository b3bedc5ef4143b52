"""From declarations to definitions: what every name means, and everything that is wrong.

Only here are all declarations known at once. A mistake takes its own asset out and no other: what reads a broken asset is still checked, and
not blamed for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidemill.definitions.assets import AssetDefinition, AssetKind, AssetSpec, Input, InputDefinition
from tidemill.definitions.code_version import CodeVersion, Unversionable, explicit_version, function_version, sql_version
from tidemill.definitions.columns import DeclaredSource, KnownInput, resolve_columns
from tidemill.definitions.cycles import find_cycles
from tidemill.definitions.decorators import alias
from tidemill.definitions.groups import Granularity, Member, granularities, published_too_soon
from tidemill.definitions.mappings import PartitionMapping, default_mapping, describe
from tidemill.definitions.partitions import MultiPartitions
from tidemill.definitions.signatures import Signature, read_signature
from tidemill.definitions.source import Sources
from tidemill.definitions.sql import UNIT_PARAMETERS, known_parameters
from tidemill.errors import DefinitionProblem, InvalidKey, did_you_mean
from tidemill.model.keys import AssetKey, asset_key

_TABLE = re.compile(r"[A-Za-z_]\w{0,127}")


@dataclass(frozen=True, slots=True)
class Declared:
    """A declaration and where it was found."""

    spec: AssetSpec[..., Any]
    pipeline: str
    place: str


@dataclass
class _Names:
    """What a name may stand for."""

    by_key: dict[str, Declared] = field(default_factory=dict)
    by_alias: dict[str, list[str]] = field(default_factory=dict)
    """A key with `_` for `.`, to the keys that give it; more than one makes it ambiguous."""
    is_excused: Callable[[str], bool] = lambda _name: False
    """Whether a missing name may belong to something that could not be loaded, which has been reported already."""


def resolve(
    found: Sequence[Declared], is_excused: Callable[[str], bool] = lambda _name: False
) -> tuple[dict[AssetKey, AssetDefinition], list[DefinitionProblem]]:
    """Resolves and checks declarations together.

    Args:
        found: the declarations, each object once.
        is_excused: whether a missing name may belong to something that could not be loaded.

    Returns:
        The definitions by key, sorted, and all problems; the definitions are complete only if there are none.
    """
    problems: list[DefinitionProblem] = []
    names = _collect_names(found, is_excused, problems)
    members = {key: _member(each) for key, each in sorted(names.by_key.items())}
    commits, disagreements = granularities(members.values())
    problems += disagreements
    sources: dict[str, Sources] = {}
    definitions: dict[AssetKey, AssetDefinition] = {}
    edges: dict[str, dict[str, None]] = {}
    for key, declared in sorted(names.by_key.items()):
        resolver = _Resolver(declared, names, sources)
        definition = resolver.definition(AssetKey(key), commits.get(members[key].group, Granularity.RUN))
        problems += resolver.problems
        edges[key] = dict.fromkeys(resolver.reads)
        if definition is not None:
            definitions[AssetKey(key)] = definition
    for cycle in find_cycles(edges):
        problems.append(
            DefinitionProblem(
                f"Assets read each other in a circle: {' → '.join(f'`{key}`' for key in cycle)}.",
                place=names.by_key[cycle[0]].place,
                hint="Take one of these inputs out.",
            )
        )
    stored = {key: each for key, each in members.items() if names.by_key[key].spec.kind is not AssetKind.EXTERNAL}
    problems += published_too_soon(stored, commits, edges)
    return definitions, problems


def _member(declared: Declared) -> Member:
    spec = declared.spec
    return Member(spec.key, _group_of(spec), spec.commit, declared.place)


def _group_of(spec: AssetSpec[..., Any]) -> str:
    return spec.group or (spec.key.split(".", 1)[0] if "." in spec.key else "default")


def _collect_names(found: Sequence[Declared], is_excused: Callable[[str], bool], problems: list[DefinitionProblem]) -> _Names:
    misspelled: set[str] = set()
    names = _Names(is_excused=lambda name: name in misspelled or is_excused(name))
    for declared in found:
        key = declared.spec.key
        first = names.by_key.get(key)
        try:
            asset_key(key)
        except InvalidKey as error:
            misspelled |= {key, alias(key)}
            problems.append(DefinitionProblem(error.message, place=declared.place, hint=error.hint))
        else:
            if first is None:
                names.by_key[key] = declared
                names.by_alias.setdefault(alias(key), []).append(key)
            else:
                problems.append(
                    DefinitionProblem(
                        f"Asset `{key}` is declared here and in {first.place}.",
                        place=declared.place,
                        hint="Keys are unique in the whole project.",
                    )
                )
    return names


class _Resolver:
    """Resolves one declaration."""

    def __init__(self, declared: Declared, names: _Names, sources: dict[str, Sources]) -> None:
        self.spec = declared.spec
        self.problems: list[DefinitionProblem] = []
        self.reads: list[str] = []
        """Keys of the assets it reads, as far as they are known."""
        self._declared = declared
        self._names = names
        self._sources = sources

    def definition(self, key: AssetKey, commit: Granularity) -> AssetDefinition | None:
        """The definition, or None with its problems noted (or excused)."""
        spec = self.spec
        for mistake in spec.mistakes:
            self._problem(f"Asset `{key}`: {mistake.message}", mistake.hint)
        if spec.schema is not None and len(set(spec.schema.names)) != len(spec.schema):
            twice = sorted({name for name in spec.schema.names if spec.schema.names.count(name) > 1})
            self._problem(f"Asset `{key}`: its schema names column `{twice[0]}` more than once.", "Column names are unique.")
        signature = Signature(None, {}, ()) if spec.function is None else read_signature(spec.function)
        for mistake in signature.mistakes:
            self._problem(f"Asset `{key}`: {mistake.message}", mistake.hint)
        inputs = self._inputs(key, signature)
        if spec.kind is AssetKind.SQL:
            self._check_sql(key)
        columns = {} if inputs is None else self._columns(key, inputs)
        code = None if self.problems or inputs is None else self._code(key, signature)
        if code is None or inputs is None or self.problems:
            return None
        return AssetDefinition(
            key=key,
            pipeline=self._declared.pipeline,
            kind=spec.kind,
            function=spec.function,
            takes_context=signature.context,
            sql=spec.sql,
            inputs=inputs,
            observe=spec.observe,
            partitions=spec.partitions,
            group=_group_of(spec),
            commit=commit,
            description=spec.description,
            owners=spec.owners,
            tags=dict(sorted(spec.tags.items())),
            code=code,
            parameters=dict(sorted(spec.parameters.items())),
            schema=spec.schema,
            columns=columns,
            retry=spec.retry,
            place=self._declared.place,
        )

    def _inputs(self, key: AssetKey, signature: Signature) -> dict[str, InputDefinition] | None:
        spec = self.spec
        if spec.kind is AssetKind.EXTERNAL:
            for name in signature.inputs:
                self._problem(
                    f"External asset `{key}` takes `{name}`, but it exists elsewhere and reads no other asset.",
                    "Let it take the context alone, or declare it with `@asset`.",
                )
            return {}
        if spec.kind is AssetKind.ASSET and not signature.mistakes:
            for name in spec.inputs:
                if name not in signature.inputs:
                    self._problem(
                        f"Asset `{key}`: `inputs` names `{name}`, which is not a parameter of its function.",
                        did_you_mean(name, signature.inputs),
                    )
        wanted = dict.fromkeys(spec.inputs, False) if spec.kind is AssetKind.SQL else signature.inputs
        resolved: dict[str, InputDefinition] = {}
        complete = True
        for name, as_mapping in wanted.items():
            definition = self._input(key, name, as_mapping=as_mapping)
            if definition is None:
                complete = False
            else:
                resolved[name] = definition
        return resolved if complete else None

    def _input(self, key: AssetKey, name: str, *, as_mapping: bool) -> InputDefinition | None:
        explicit = self.spec.inputs.get(name)
        upstream = self._explicit(key, name, explicit) if explicit else self._implicit(key, name)
        if upstream is None:
            return None
        self.reads.append(upstream.spec.key)
        mapping = self._mapping(key, name, upstream.spec, explicit.mapping if explicit else None)
        return None if mapping is None else InputDefinition(name, AssetKey(upstream.spec.key), mapping, as_mapping)

    def _explicit(self, key: AssetKey, name: str, given: Input) -> Declared | None:
        if isinstance(given.asset, AssetSpec):
            upstream = self._names.by_key.get(given.asset.key)
            if upstream is None and not self._names.is_excused(given.asset.key):
                self._problem(
                    f"Asset `{key}` reads `{given.asset.key}` (input `{name}`), which is not part of the project.",
                    "Declare it in a module below `pipelines/`.",
                )
            return upstream
        upstream = self._names.by_key.get(str(given.asset))
        if upstream is None and not self._names.is_excused(str(given.asset)):
            self._problem(
                f"Asset `{key}` reads `{given.asset}` (input `{name}`), which is not defined.",
                did_you_mean(str(given.asset), self._names.by_key),
            )
        return upstream

    def _implicit(self, key: AssetKey, name: str) -> Declared | None:
        keys = [name] if name in self._names.by_key else self._names.by_alias.get(name, [])
        if len(keys) == 1:
            return self._names.by_key[keys[0]]
        if keys:
            choices = " and ".join(f"`{each}`" for each in sorted(keys))
            self._problem(f"Asset `{key}`: parameter `{name}` could mean {choices}.", f"Say which: `inputs={{'{name}': '{min(keys)}'}}`.")
        elif name in self.spec.parameters:
            self._problem(
                f"Asset `{key}`: `{name}` is a declared parameter, but function parameters are inputs.",
                f"Read it from `context.parameters['{name}']`.",
            )
        elif not self._names.is_excused(name):
            self._problem(f"Asset `{key}` takes `{name}`, but no asset is called that.", did_you_mean(name, self._names.by_alias))
        return None

    def _mapping(self, key: AssetKey, name: str, upstream: AssetSpec[..., Any], given: object) -> PartitionMapping | None:
        there, here = upstream.partitions, self.spec.partitions
        sides = f"{describe(there)} of `{upstream.key}`" if there else f"the unpartitioned `{upstream.key}`"
        sides += f" to {describe(here)} of `{key}`" if here else f" to the unpartitioned `{key}`"
        if given is None:
            mapping = default_mapping(there, here)
            if mapping is None:
                hint = f"Give one of AllPartitions(), IdentityMapping(), TimeRollUp() or DimensionMapping(...), as in `inputs={{'{name}': Input('{upstream.key}', mapping=AllPartitions())}}`."
                self._problem(f"There is no obvious mapping from {sides} (input `{name}`).", hint)
            return mapping
        if not isinstance(given, PartitionMapping):
            self._problem(
                f"Asset `{key}`: the mapping of input `{name}` is {given!r}.", "It must be a partition mapping, such as `AllPartitions()`."
            )
            return None
        objection = given.objection(there, here)
        if objection:
            fit = default_mapping(there, here)
            hint = f"Leave the mapping out: {type(fit).__name__} fits." if fit else "AllPartitions() always fits."
            self._problem(f"{type(given).__name__} cannot map {sides} (input `{name}`), because {objection}.", hint)
            return None
        return given

    def _check_sql(self, key: AssetKey) -> None:
        spec, sql = self.spec, self.spec.sql
        if sql is None:
            return
        names = tuple(name for name, _ in spec.partitions.parts) if isinstance(spec.partitions, MultiPartitions) else ()
        for name in sorted({*spec.parameters} & {*UNIT_PARAMETERS, *names}):
            self._problem(f"Asset `{key}`: its parameter `{name}` hides `${name}`, the unit's own.", "Give the parameter another name.")
        known = known_parameters(spec.parameters, names)
        for name in sql.parameters:
            if name not in known:
                self._problem(
                    f"Asset `{key}`: its query binds `${name}`, which it does not have.",
                    did_you_mean(name, known) or f"Declare it: `parameters={{'{name}': ...}}`.",
                )
        for name in spec.inputs:
            if not _TABLE.fullmatch(name):
                self._problem(f"Asset `{key}`: input `{name}` is not a table name.", "Use letters, digits and `_`.")
            elif name.lower() not in sql.words:
                self._problem(f"Asset `{key}`: its query never mentions its input `{name}`.", "Take it out of `inputs`, or read it.")
        declared = {name.lower() for name in spec.inputs}
        for table in sql.tables:
            meant = self._names.by_alias.get(table, [])
            if table not in declared and meant:
                self._problem(
                    f"Asset `{key}`: its query reads `{table}`, which is not among its inputs.", f"Add `{min(meant)}` to `inputs`."
                )

    def _columns(self, key: AssetKey, inputs: Mapping[str, InputDefinition]) -> dict[str, tuple[DeclaredSource, ...]]:
        known = {name: KnownInput(each.asset, self._names.by_key[each.asset].spec.schema) for name, each in inputs.items()}
        found, problems = resolve_columns(self.spec.columns, known, self.spec.schema)
        for problem in problems:
            self._problem(f"Asset `{key}`: {problem.message}", problem.hint)
        return found

    def _code(self, key: AssetKey, signature: Signature) -> CodeVersion | None:
        spec = self.spec
        if spec.kind is AssetKind.EXTERNAL:
            if spec.environment:
                self._problem(
                    f"External asset `{key}` declares `environment`, but it is not made here: what it holds is its version.",
                    "Declare it on the assets that read it.",
                )
            return explicit_version(key, "external")  # what it holds is its version, however it is loaded
        if spec.code_version is not None:
            return explicit_version(key, spec.code_version, spec.environment)
        if spec.sql is not None:
            return sql_version(key, spec.sql, spec.partitions, spec.schema, spec.environment)
        assert spec.function is not None
        try:
            return function_version(
                key,
                spec.function,
                takes_context=signature.context is not None,
                partitions=spec.partitions,
                schema=spec.schema,
                environment=spec.environment,
                unwrap=lambda value: value.function if isinstance(value, AssetSpec) else value,
                sources=self._sources,
            )
        except Unversionable as error:
            self._problem(
                f"Asset `{key}`: its code version cannot be derived, because {error}.",
                "Give `code_version='1'` and change it whenever the result should be made again.",
            )
            return None

    def _problem(self, message: str, hint: str = "") -> None:
        self.problems.append(DefinitionProblem(message, place=self._declared.place, hint=hint))
