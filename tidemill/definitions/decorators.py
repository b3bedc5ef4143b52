"""How assets are declared: `@asset`, `@external_asset` and `sql_asset`.

Declaring never fails for what is wrong in the declaration: the mistake is kept with it, to be reported together with all others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, overload

import pyarrow as pa

from tidemill.definitions.assets import AssetKind, AssetSpec, Input, Mistake, Observe, P, R
from tidemill.definitions.partitions import PartitionsDefinition
from tidemill.definitions.policies import NO_RETRY, RetryPolicy
from tidemill.definitions.sql import SqlText
from tidemill.model.facts import JsonScalar

InputRef = str | AssetSpec[..., Any] | Input
"""An input as it may be written: a key, an asset, or an `Input` with a mapping."""

T = TypeVar("T")


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
    partitions: PartitionsDefinition | None = None,
    group: str | None = None,
    description: str | None = None,
    owners: Iterable[str] = (),
    tags: Mapping[str, str] | None = None,
    code_version: str | None = None,
    parameters: Mapping[str, JsonScalar] | None = None,
    schema: pa.Schema | None = None,
    retry: RetryPolicy | None = None,
    timeout: timedelta | None = None,
) -> Callable[[Callable[P, R]], AssetSpec[P, R]]: ...


def asset(
    function: Callable[..., Any] | None = None,
    /,
    *,
    key: str | None = None,
    inputs: Mapping[str, InputRef] | None = None,
    partitions: PartitionsDefinition | None = None,
    group: str | None = None,
    description: str | None = None,
    owners: Iterable[str] = (),
    tags: Mapping[str, str] | None = None,
    code_version: str | None = None,
    parameters: Mapping[str, JsonScalar] | None = None,
    schema: pa.Schema | None = None,
    retry: RetryPolicy | None = None,
    timeout: timedelta | None = None,
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
        partitions: which partitions there are; None: the dataset is made as a whole.
        group: for selection and display; the first word of a dotted key if left out, else `default`.
        description: the function's docstring if left out.
        owners: people or teams.
        tags: for selection, as in `tag:layer=gold`.
        code_version: replaces the version derived from the code; change it whenever results should be made again.
        parameters: names and defaults of values that a run may override; read them from `context.parameters`.
        schema: what every result must look like.
        retry: what to do when the function fails; one attempt if left out.
        timeout: for one attempt at one partition; None: the host's own.
    """
    caller = _caller()

    def declare(decorated: Callable[..., Any]) -> AssetSpec[..., Any]:
        return _spec(
            AssetKind.ASSET,
            decorated,
            caller,
            key=key,
            inputs=inputs,
            partitions=partitions,
            group=group,
            description=description,
            owners=owners,
            tags=tags,
            code_version=code_version,
            parameters=parameters,
            schema=schema,
            retry=retry,
            timeout=timeout,
        )

    return declare if function is None else declare(function)


def external_asset(
    *,
    key: str | None = None,
    partitions: PartitionsDefinition | None = None,
    observe: Observe | None = None,
    group: str | None = None,
    description: str | None = None,
    owners: Iterable[str] = (),
    tags: Mapping[str, str] | None = None,
    parameters: Mapping[str, JsonScalar] | None = None,
    schema: pa.Schema | None = None,
    retry: RetryPolicy | None = None,
    timeout: timedelta | None = None,
) -> Callable[[Callable[P, R]], AssetSpec[P, R]]:
    """Declares a dataset that exists elsewhere. The decorated function loads one partition of it; it takes the context or nothing.

    Args:
        key: see `asset`.
        partitions: see `asset`.
        observe: given the context, says which version the partition has now, without loading it; the hash of the loaded content if left out.
        group: see `asset`.
        description: see `asset`.
        owners: see `asset`.
        tags: see `asset`.
        parameters: see `asset`.
        schema: see `asset`.
        retry: see `asset`.
        timeout: see `asset`.
    """
    caller = _caller()

    def declare(decorated: Callable[P, R]) -> AssetSpec[P, R]:
        spec = _spec(
            AssetKind.EXTERNAL,
            decorated,
            caller,
            key=key,
            inputs=None,
            partitions=partitions,
            group=group,
            description=description,
            owners=owners,
            tags=tags,
            code_version=None,
            parameters=parameters,
            schema=schema,
            retry=retry,
            timeout=timeout,
        )
        return replace(spec, observe=observe)

    return declare


def sql_asset(
    *,
    key: str,
    sql: str | Path,
    inputs: Mapping[str, InputRef] | Iterable[str | AssetSpec[..., Any]],
    partitions: PartitionsDefinition | None = None,
    group: str | None = None,
    description: str | None = None,
    owners: Iterable[str] = (),
    tags: Mapping[str, str] | None = None,
    code_version: str | None = None,
    parameters: Mapping[str, JsonScalar] | None = None,
    schema: pa.Schema | None = None,
    retry: RetryPolicy | None = None,
    timeout: timedelta | None = None,
) -> AssetSpec[..., Any]:
    """Declares a dataset that a DuckDB query makes from its inputs, one partition at a time.

    The query sees nothing but its inputs, each as a table, and the parameters `$partition`, `$window_start`, `$window_end` (UTC), one for
    each dimension of its partitions and one for each declared parameter.

    Args:
        key: see `asset`.
        sql: the query, or the path of a file beside the declaring module: a `Path`, or text that ends in `.sql`.
        inputs: table name to asset; or the assets alone, whose tables are then called after their keys with `_` for `.`.
        partitions: see `asset`.
        group: see `asset`.
        description: see `asset`.
        owners: see `asset`.
        tags: see `asset`.
        code_version: see `asset`; derived from the query, without its white space and comments, if left out.
        parameters: see `asset`.
        schema: see `asset`.
        retry: see `asset`.
        timeout: see `asset`.
    """
    caller = _caller()
    text, mistakes = _read_sql(sql, caller)
    named = inputs if isinstance(inputs, Mapping) else {_alias(each): each for each in ([inputs] if isinstance(inputs, str) else inputs)}
    spec = _spec(
        AssetKind.SQL,
        None,
        caller,
        key=key,
        inputs=named,
        partitions=partitions,
        group=group,
        description=description,
        owners=owners,
        tags=tags,
        code_version=code_version,
        parameters=parameters,
        schema=schema,
        retry=retry,
        timeout=timeout,
    )
    return replace(spec, sql=text, mistakes=(*spec.mistakes, *mistakes))


def alias(key: str) -> str:
    """How a parameter or a table is called that reads an asset: its key with `_` for `.`."""
    return key.replace(".", "_")


def _alias(reference: str | AssetSpec[..., Any]) -> str:
    return alias(reference.key if isinstance(reference, AssetSpec) else str(reference))


def _spec(
    kind: AssetKind,
    function: Callable[..., Any] | None,
    caller: _Caller,
    *,
    key: str | None,
    inputs: Mapping[str, InputRef] | None,
    partitions: PartitionsDefinition | None,
    group: str | None,
    description: str | None,
    owners: Iterable[str],
    tags: Mapping[str, str] | None,
    code_version: str | None,
    parameters: Mapping[str, JsonScalar] | None,
    schema: pa.Schema | None,
    retry: RetryPolicy | None,
    timeout: timedelta | None,
) -> AssetSpec[..., Any]:
    check = _Check()
    name = getattr(function, "__name__", "")
    document = getattr(function, "__doc__", None) or ""
    return AssetSpec(
        key=check.of(key, str, "key", "a text such as `gold.daily_orders`", default=name),
        kind=kind,
        function=function,
        sql=None,
        inputs=check.inputs(inputs),
        observe=None,
        partitions=check.of(
            partitions,
            PartitionsDefinition,
            "partitions",
            "a partitions definition such as `MonthlyPartitions(start='2013-01')`",
            default=None,
        ),
        group=check.of(group, str, "group", "a text", default=None),
        description=_unindented(check.of(description, str, "description", "a text", default=document)),
        owners=check.texts(owners, "owners"),
        tags=check.mapping(tags, str, "tags", "texts by name, such as `{'layer': 'gold'}`"),
        code_version=check.of(code_version, str, "code_version", "a text such as `'2'`", default=None),
        parameters=check.mapping(parameters, (str, int, float, bool, type(None)), "parameters", "texts, numbers, booleans or None by name"),
        schema=check.of(schema, pa.Schema, "schema", "a `pa.schema([...])`", default=None),
        retry=check.of(retry, RetryPolicy, "retry", "a `RetryPolicy(...)`", default=NO_RETRY),
        timeout=check.timeout(timeout),
        module=caller.module,
        file=caller.file,
        line=caller.line,
        mistakes=tuple(check.mistakes),
    )


class _Check:
    """Lets values of the right type through; of others it keeps a mistake and lets a harmless value through instead."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def of(self, value: Any, kind: type[Any], name: str, wanted: str, *, default: T) -> Any | T:
        if value is None or isinstance(value, kind):
            return default if value is None else value
        self._wrong(name, value, wanted)
        return default

    def timeout(self, value: Any) -> timedelta | None:
        if value is not None and (not isinstance(value, timedelta) or value <= timedelta()):
            self._wrong("timeout", value, "a positive `timedelta(...)`")
            return None
        return value

    def texts(self, values: Any, name: str) -> tuple[str, ...]:
        values = values if isinstance(values, str) or not isinstance(values, Iterable) else tuple(values)
        if isinstance(values, tuple) and all(isinstance(each, str) and each.isprintable() and each for each in values):
            return values
        self._wrong(name, values, "a list of texts, such as `['data-team']`")
        return ()

    def mapping(self, values: Any, kinds: Any, name: str, wanted: str) -> dict[str, Any]:
        values = {} if values is None else values
        if isinstance(values, Mapping) and all(
            isinstance(key, str) and key.isprintable() and key and isinstance(each, kinds) for key, each in values.items()
        ):
            return dict(values)
        self._wrong(name, values, wanted)
        return {}

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


def _read_sql(sql: Any, caller: _Caller) -> tuple[SqlText | None, list[Mistake]]:
    if isinstance(sql, str) and not sql.strip().lower().endswith(".sql"):
        return (
            (SqlText(sql), []) if sql.strip() else (None, [Mistake("The query is empty.", "Write a SELECT, or the path of a `.sql` file.")])
        )
    if not isinstance(sql, str | Path):
        return None, [Mistake(f"`sql` is {sql!r}.", "It must be the text of a query, or the path of a `.sql` file beside this module.")]
    shown = Path(sql).as_posix().strip()
    try:
        return SqlText((Path(caller.file).parent / shown).read_text(encoding="utf-8"), Path(shown).name), []
    except FileNotFoundError:
        near = sorted(path.name for path in Path(caller.file).parent.glob("*.sql"))
        return None, [
            Mistake(
                f"There is no file `{shown}`.",
                f"Files beside this module: {', '.join(f'`{name}`' for name in near)}." if near else "The path is relative to this module.",
            )
        ]
    except (OSError, UnicodeDecodeError) as error:
        return None, [Mistake(f"The file `{shown}` cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}.")]


def _unindented(text: str) -> str:
    lines = text.strip().splitlines()
    return "\n".join(line.strip() for line in lines)


def _caller() -> _Caller:
    """Where the declaration stands in the user's code."""
    frame = sys._getframe(2)  # noqa: SLF001 - the documented way to a caller's line without building a whole stack
    return _Caller(str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename, frame.f_lineno)
