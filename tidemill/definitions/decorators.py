"""How assets are declared: `@asset`, `@external_asset` and `sql_asset`.

Declaring never fails for what is wrong in the declaration: the mistake is kept with it, to be reported together with all others.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack, cast, overload

import pyarrow as pa

from tidemill.definitions.assets import AssetKind, AssetSpec, Input, Mistake, Observe, P, R
from tidemill.definitions.code_version import CodePart, environment_part
from tidemill.definitions.columns import Derives, declared
from tidemill.definitions.groups import Granularity, Group
from tidemill.definitions.partitions import PartitionsDefinition
from tidemill.definitions.policies import NO_RETRY, RetryPolicy
from tidemill.definitions.sql import SqlText
from tidemill.errors import did_you_mean
from tidemill.model.facts import JsonScalar

InputRef = str | AssetSpec[..., Any] | Input
"""An input as it may be written: a key, an asset, or an `Input` with a mapping."""

ColumnOrigin = str | Derives | Sequence[str | Derives]
"""What a column comes from, as it may be written: `<input>.<column>`, a `Derives`, or several of them."""


class AssetOptions(TypedDict, total=False):
    """What every kind of asset may declare."""

    partitions: PartitionsDefinition | None
    """Which partitions there are; None or left out: the dataset is made as a whole."""
    group: str | Group | None
    """For selection and display; the first word of a dotted key if left out, else `default`. A `Group` also says how often it is published."""
    description: str | None
    """The function's docstring if left out."""
    owners: Iterable[str]
    """People or teams."""
    tags: Mapping[str, str] | None
    """For selection, as in `tag:layer=gold`."""
    parameters: Mapping[str, JsonScalar] | None
    """Names and defaults of values that a run may override; functions read them from `context.parameters`."""
    environment: Iterable[str]
    """What else the result depends on: names of environment variables, and installed packages as `package:NAME`. Values and releases count as code does."""
    schema: pa.Schema | None
    """What every result must look like."""
    columns: Mapping[str, ColumnOrigin] | None
    """What columns come from, `"*"` standing for all of them, as in `{"total": Derives("orders.amount", use="aggregation")}`."""
    retry: RetryPolicy | None
    """What to do when it fails; one attempt if left out."""


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Caller(NamedTuple):
    module: str
    file: str
    line: int


@overload
def asset(function: Callable[P, R], /) -> AssetSpec[P, R]: ...


@overload
def asset(
    *,
    key: str | None = None,
    inputs: Mapping[str, InputRef] | None = None,
    code_version: str | None = None,
    **options: Unpack[AssetOptions],
) -> Callable[[Callable[P, R]], AssetSpec[P, R]]: ...


def asset(
    function: Callable[..., Any] | None = None,
    /,
    *,
    key: str | None = None,
    inputs: Mapping[str, InputRef] | None = None,
    code_version: str | None = None,
    **options: Unpack[AssetOptions],
) -> Any:
    """Declares a dataset that the decorated function makes, one partition at a time.

    The function's parameters are its inputs. A parameter names the asset it reads, with `_` for every `.` of the key (`silver_flights`
    reads `silver.flights`); one that is called `context`, or annotated `AssetContext`, receives the context. An input arrives as one
    `pa.Table`, its partitions in order one after another, or, if it is annotated `Mapping[str, pa.Table]`, as a mapping by partition key.
    The function returns a `pa.Table`, a `pa.RecordBatchReader`, or an `Output` around either.

    Args:
        function: the function, if the decorator is used without arguments.
        key: dotted name, unique in the project; the function's name if left out.
        inputs: parameter name to asset, for parameters that are not called after theirs or need a partition mapping.
        code_version: replaces the version derived from the code; change it whenever results should be made again.
        options: see `AssetOptions`.
    """
    caller = _caller()

    def declare(decorated: Callable[..., Any]) -> AssetSpec[..., Any]:
        return _spec(AssetKind.ASSET, caller, options, function=decorated, key=key, inputs=inputs, code_version=code_version)

    return declare if function is None else declare(function)


def external_asset(
    *, key: str | None = None, observe: Observe | None = None, **options: Unpack[AssetOptions]
) -> Callable[[Callable[P, R]], AssetSpec[P, R]]:
    """Declares a dataset that exists elsewhere. The decorated function loads one partition of it; it takes the context or nothing.

    Args:
        key: dotted name, unique in the project; the function's name if left out.
        observe: given the context, says which version the partition has now, without loading it; the hash of the loaded content if left out.
        options: see `AssetOptions`.
    """
    caller = _caller()

    def declare(decorated: Callable[P, R]) -> AssetSpec[P, R]:
        return cast("AssetSpec[P, R]", _spec(AssetKind.EXTERNAL, caller, options, function=decorated, key=key, observe=observe))

    return declare


def sql_asset(
    *,
    key: str,
    sql: str | Path,
    inputs: Mapping[str, InputRef] | Iterable[str | AssetSpec[..., Any]],
    code_version: str | None = None,
    **options: Unpack[AssetOptions],
) -> AssetSpec[..., Any]:
    """Declares a dataset that a DuckDB query makes from its inputs, one partition at a time.

    The query sees nothing but its inputs, each as a table, and the parameters `$partition`, `$window_start`, `$window_end` (UTC), one for
    each dimension of its partitions and one for each declared parameter.

    Args:
        key: dotted name, unique in the project.
        sql: the query, or the path of a file beside the declaring module: a `Path`, or text that ends in `.sql`.
        inputs: table name to asset; or the assets alone, whose tables are then called after their keys with `_` for `.`.
        code_version: replaces the version derived from the query without its white space and comments.
        options: see `AssetOptions`.
    """
    caller = _caller()
    text, mistakes = _read_sql(sql, caller)
    named = inputs if isinstance(inputs, Mapping) else {_alias(each): each for each in ([inputs] if isinstance(inputs, str) else inputs)}
    return _spec(AssetKind.SQL, caller, options, key=key, sql=text, inputs=named, code_version=code_version, mistakes=mistakes)


def alias(key: str) -> str:
    """How a parameter or a table is called that reads an asset: its key with `_` for `.`."""
    return key.replace(".", "_")


def _alias(reference: str | AssetSpec[..., Any]) -> str:
    return alias(reference.key if isinstance(reference, AssetSpec) else str(reference))


def _spec(
    kind: AssetKind,
    caller: _Caller,
    options: Mapping[str, Any],
    *,
    function: Callable[..., Any] | None = None,
    sql: SqlText | None = None,
    key: str | None = None,
    inputs: Mapping[str, InputRef] | None = None,
    observe: Observe | None = None,
    code_version: str | None = None,
    mistakes: Iterable[Mistake] = (),
) -> AssetSpec[..., Any]:
    check = _Check(mistakes)
    for name in sorted(options.keys() - AssetOptions.__annotations__.keys()):
        check.mistakes.append(Mistake(f"There is no option `{name}`.", did_you_mean(name, AssetOptions.__annotations__)))
    definition = check.of(
        options.get("partitions"), PartitionsDefinition, "partitions", "a partitions definition such as `MonthlyPartitions('2013-01')`"
    )
    group = check.of(options.get("group"), str | Group, "group", "a text, or a `Group(...)`")
    document = getattr(function, "__doc__", None) or ""
    description = check.of(options.get("description"), str, "description", "a text")
    return AssetSpec(
        key=check.of(key, str, "key", "a text such as `gold.daily_orders`") or str(getattr(function, "__name__", "")),
        kind=kind,
        function=function,
        sql=sql,
        inputs=check.inputs(inputs),
        observe=check.of(observe, Callable, "observe", "a function that takes the context and returns a text"),
        partitions=definition,
        group=group.name if isinstance(group, Group) else group,
        commit=Granularity(group.commit) if isinstance(group, Group) else None,
        description=inspect.cleandoc(document if description is None else description),
        owners=check.texts(options.get("owners", ()), "owners"),
        tags=check.mapping(options.get("tags"), _is_text, "tags", "texts by name, such as `{'layer': 'gold'}`"),
        code_version=check.of(code_version, str, "code_version", "a text such as `'2'`"),
        environment=check.environment(options.get("environment", ())),
        parameters=check.mapping(options.get("parameters"), _is_scalar, "parameters", "texts, finite numbers, booleans or None by name"),
        schema=check.of(options.get("schema"), pa.Schema, "schema", "a `pa.schema([...])`"),
        columns=check.columns(options.get("columns")),
        retry=check.of(options.get("retry"), RetryPolicy, "retry", "a `RetryPolicy(...)`") or NO_RETRY,
        module=caller.module,
        file=caller.file,
        line=caller.line,
        mistakes=tuple(check.mistakes),
    )


class _Check:
    """Lets values of the right type through; of others it keeps a mistake and lets a harmless value through instead."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = list(mistakes)

    def of(self, value: Any, kind: Any, name: str, wanted: str) -> Any:
        if value is None or isinstance(value, kind):
            return value
        self._wrong(name, value, wanted)
        return None

    def texts(self, values: Any, name: str) -> tuple[str, ...]:
        values = values if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
        if isinstance(values, tuple) and all(_is_text(each) and each for each in values):
            return values
        self._wrong(name, values, "a list of texts, such as `['data-team']`")
        return ()

    def environment(self, values: Any) -> tuple[CodePart, ...]:
        """Reads what is declared, as it is now."""
        found: list[CodePart] = []
        for name in self.texts(values, "environment"):
            kind, _, package = name.partition(":")
            if _VARIABLE.fullmatch(name):
                found.append(environment_part(name, os.environ.get(name)))
            elif kind == "package" and package:
                try:
                    found.append(environment_part(name, importlib.metadata.version(package)))
                except importlib.metadata.PackageNotFoundError:
                    self.mistakes.append(
                        Mistake(f"`environment` names the package `{package}`, which is not installed.", "Install it, or leave it out.")
                    )
            else:
                self._wrong("environment", name, "the name of an environment variable, such as `RATES_URL`, or `package:NAME`")
        return tuple(sorted(set(found)))

    def mapping(self, values: Any, fits: Callable[[Any], bool], name: str, wanted: str) -> dict[str, Any]:
        values = {} if values is None else values
        if isinstance(values, Mapping) and all(_is_text(key) and key and fits(each) for key, each in values.items()):
            return dict(values)
        self._wrong(name, values, wanted)
        return {}

    def columns(self, values: Any) -> Mapping[str, tuple[Derives, ...]]:
        found = declared({} if values is None else values)
        if found is None:
            self._wrong("columns", values, "what columns come from, such as `{'total': Derives('orders.amount')}`")
            return {}
        return found

    def inputs(self, values: Any) -> dict[str, Input]:
        values = {} if values is None else values
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            self._wrong("inputs", values, "assets by name, such as `{'flights': 'silver.flights'}`")
            return {}
        found: dict[str, Input] = {}
        for name, value in values.items():
            if isinstance(value, Input):
                found[name] = value
            elif isinstance(value, str | AssetSpec):
                found[name] = Input(value)
            else:
                self._wrong(f"inputs[{name!r}]", value, "an asset's key, an asset, or an `Input(...)`")
        return found

    def _wrong(self, name: str, value: Any, wanted: str) -> None:
        shown = repr(value)
        self.mistakes.append(Mistake(f"`{name}` is {shown if len(shown) <= 60 else shown[:57] + '...'}.", f"It must be {wanted}."))


def _is_text(value: Any) -> bool:
    # Double quotes are how selections quote: `owner:"Jane Doe"`.
    return isinstance(value, str) and value.isprintable() and '"' not in value


def _is_scalar(value: Any) -> bool:
    """Whether a value has one JSON spelling, the same everywhere."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63)


def _read_sql(sql: Any, caller: _Caller) -> tuple[SqlText | None, list[Mistake]]:
    if not isinstance(sql, str | Path):
        return None, [Mistake(f"`sql` is {sql!r}.", "It must be the text of a query, or the path of a `.sql` file beside this module.")]
    shown = Path(sql).as_posix().strip()
    if isinstance(sql, str) and not shown.lower().endswith(".sql"):
        return (SqlText(sql), []) if sql.strip() else (None, [Mistake("The query is empty.", "Write a SELECT.")])
    path = Path(caller.file).parent / shown
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = sorted(each.name for each in path.parent.glob("*.sql"))
        hint = f"In that folder: {', '.join(f'`{name}`' for name in near)}." if near else "The path is relative to this module."
        return None, [Mistake(f"There is no file `{shown}`.", hint)]
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or "unknown reason") if isinstance(error, OSError) else "not UTF-8 text"
        return None, [Mistake(f"The file `{shown}` cannot be read: {why}.")]
    return (SqlText(text, shown), []) if text.strip() else (None, [Mistake(f"The file `{shown}` is empty.", "Write a SELECT.")])


def _caller() -> _Caller:
    """Where the declaration stands in the user's code."""
    frame = sys._getframe(2)  # noqa: SLF001 - the documented way to a caller's line without building a whole stack
    return _Caller(str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename, frame.f_lineno)
