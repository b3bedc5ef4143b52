"""What an asset is: as its author declares it (`AssetSpec`), and as the rest of Tidemill knows it (`AssetDefinition`).

A declaration is only remembered: names stay as they were written, and whatever is wrong with it is kept as a list. `definitions.py` turns all
declarations into definitions together, because only then is it known what a name means, and so that everything wrong is told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, ParamSpec, TypeVar

import pyarrow as pa

from tidemill.definitions.code_version import CodePart, CodeVersion
from tidemill.definitions.columns import DeclaredSource, Derives
from tidemill.definitions.context import AssetContext
from tidemill.definitions.groups import Granularity
from tidemill.definitions.mappings import PartitionMapping
from tidemill.definitions.partitions import PartitionsDefinition
from tidemill.definitions.policies import RetryPolicy
from tidemill.definitions.sql import SqlText
from tidemill.model.facts import JsonScalar
from tidemill.model.keys import AssetKey

P = ParamSpec("P")
R = TypeVar("R")

Observe = Callable[[AssetContext], str]
"""Says which version of a partition an external source holds now, without loading it."""


class AssetKind(StrEnum):
    """How an asset comes about."""

    ASSET = "asset"  # a Python function makes it
    EXTERNAL = "external"  # it exists elsewhere; a function loads it
    SQL = "sql"  # a query makes it


@dataclass(frozen=True, slots=True)
class Input:
    """An input that is more than a name: another asset, and how its partitions map."""

    asset: str | AssetSpec[..., Any]
    """The asset's key, or the asset itself."""
    mapping: PartitionMapping | None = None
    """None: the default for the two partitions definitions."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong in a declaration, kept until all of them are reported together."""

    message: str
    hint: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class AssetSpec(Generic[P, R]):
    """An asset as declared. Calling it calls the plain function."""

    key: str
    kind: AssetKind
    function: Callable[P, R] | None
    """None for a SQL asset."""
    sql: SqlText | None
    """None unless it is a SQL asset."""
    inputs: Mapping[str, Input]
    """Explicit inputs by name; parameters that are not here name their asset themselves."""
    observe: Observe | None
    partitions: PartitionsDefinition | None
    group: str | None
    """None: the first word of a dotted key, else `default`."""
    commit: Granularity | None
    """How often its group is published, if the declaration says so."""
    description: str
    owners: tuple[str, ...]
    tags: Mapping[str, str]
    code_version: str | None
    """None: derived from the code."""
    environment: tuple[CodePart, ...]
    """What of the environment counts as code does, with what it was when the module was imported."""
    parameters: Mapping[str, JsonScalar]
    schema: pa.Schema | None
    columns: Mapping[str, tuple[Derives, ...]]
    """What columns are declared to come from; empty: nothing is declared."""
    retry: RetryPolicy
    module: str
    """Name of the module that declares it."""
    file: str
    """Path of that module's file, as Python knows it."""
    line: int
    mistakes: tuple[Mistake, ...] = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function as if it had never been decorated."""
        if self.function is None:
            raise TypeError(f"`{self.key}` is a SQL asset; run it with `tidemill.execution.sql.run_sql`.")
        return self.function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        # `__name__`, `__doc__` and `__module__` of the function, for tools that look at callables.
        if name in {"__name__", "__qualname__", "__wrapped__", "__annotations__"} and self.function is not None:
            return self.function if name == "__wrapped__" else getattr(self.function, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<asset {self.key}>"


@dataclass(frozen=True, slots=True)
class InputDefinition:
    """One input of an asset, fully known."""

    name: str
    """Parameter of the function, or table in the query."""
    asset: AssetKey
    mapping: PartitionMapping
    as_mapping: bool
    """True: it arrives as a mapping from partition key to table; False: as one table, the partitions one after another."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AssetDefinition:
    """An asset, fully known and checked. Compares by identity; its key is its name everywhere else."""

    key: AssetKey
    pipeline: str
    """Folder below `pipelines/`; empty if it was not collected from one."""
    kind: AssetKind
    function: Callable[..., Any] | None
    """None for a SQL asset."""
    takes_context: str | None
    """The parameter that receives the context; None: the function has none, so its result cannot depend on the partition it makes."""
    sql: SqlText | None
    """None unless it is a SQL asset."""
    inputs: Mapping[str, InputDefinition]
    """By name, in the order of the function's parameters (of the declaration for SQL)."""
    observe: Observe | None
    """For an external asset: a cheaper version than the hash of its content; None: that hash."""
    partitions: PartitionsDefinition | None
    """None: not partitioned; its one unit has the partition key `""`."""
    group: str
    commit: Granularity
    """How often its group is published."""
    description: str
    owners: tuple[str, ...]
    tags: Mapping[str, str]
    code: CodeVersion
    parameters: Mapping[str, JsonScalar]
    """Declared parameters with their defaults."""
    schema: pa.Schema | None
    """What the result must look like; None: anything."""
    columns: Mapping[str, tuple[DeclaredSource, ...]]
    """What columns are declared to come from, `*` standing for all of them; empty: nothing is declared."""
    retry: RetryPolicy
    place: str
    """`file:line`, relative to the project."""

    @property
    def code_version(self) -> str:
        """Version of the logic: see `code_version.py`."""
        return self.code.version

    @property
    def reads_partition(self) -> bool:
        """Whether the result may depend on the unit's own partition, beyond what its inputs hold."""
        return self.sql.reads_partition if self.sql else self.takes_context is not None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function.

        Raises:
            TypeError: it is a SQL asset.
        """
        if self.function is None:
            raise TypeError(f"`{self.key}` is a SQL asset and cannot be called.")
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<asset {self.key}>"
