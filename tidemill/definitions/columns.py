"""Where columns come from, as the author of an asset declares it: `columns={"total": Derives("orders.amount", use="aggregation")}`.

A source is spelled `<input>.<column>`, the input by its name in the function or by the key of the asset that it reads. The column `*` stands for all
of them: what is said of it decides which rows there are. Declarations are documentation that is checked: a name that cannot be right is refused when
the definitions are loaded, and what was measured is held against them. They are not part of the code version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from tidemill.errors import did_you_mean
from tidemill.model.columns import ColumnUse

ALL = "*"
"""Every column of the asset."""


@dataclass(frozen=True, slots=True, init=False)
class Derives:
    """What a column comes from: some columns of inputs, and how they bear on it. Without any, it comes from no input."""

    sources: tuple[str, ...]
    """Each `<input>.<column>`."""
    use: str
    """`identity`, `transformation` or `aggregation` hand on values; `filter`, `join`, `group_by`, `sort`, `window`, `conditional` or `rows` decide which."""

    def __init__(self, *sources: str, use: str = ColumnUse.TRANSFORMATION) -> None:
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "use", str(use))


class DeclaredSource(NamedTuple):
    """One column of an input that a declared column comes from, fully known."""

    input: str
    """The input's name."""
    column: str
    use: ColumnUse


class ColumnProblem(NamedTuple):
    """Something wrong in a declaration of columns."""

    message: str
    """A clause that follows the name of the asset."""
    hint: str


class KnownInput(NamedTuple):
    """What a declaration may name."""

    key: str
    """The asset that the input reads."""
    schema: pa.Schema | None
    """What that asset declares its rows to be; None if it does not say."""


def declared(value: Any) -> Mapping[str, tuple[Derives, ...]] | None:
    """The option `columns` in one form: for each column what it derives from; None if it is no such thing."""
    if not isinstance(value, Mapping):
        return None
    found: dict[str, tuple[Derives, ...]] = {}
    for column, given in value.items():
        parts = tuple(given) if isinstance(given, list | tuple) else (given,)
        parts = tuple(Derives(each) if isinstance(each, str) else each for each in parts)
        if not isinstance(column, str) or not column or not all(_is_sound(each) for each in parts):
            return None
        found[column] = parts
    return found


def resolve_columns(
    columns: Mapping[str, tuple[Derives, ...]], inputs: Mapping[str, KnownInput], schema: pa.Schema | None
) -> tuple[dict[str, tuple[DeclaredSource, ...]], list[ColumnProblem]]:
    """What every name in a declaration means.

    Args:
        columns: the declaration.
        inputs: the asset's inputs by name.
        schema: what the asset declares its own rows to be; None if it does not say.

    Returns:
        Sources by column, in the order declared, and everything that is wrong.
    """
    problems: list[ColumnProblem] = []
    found: dict[str, tuple[DeclaredSource, ...]] = {}
    for column, parts in columns.items():
        if column != ALL and schema is not None and column not in schema.names:
            problems.append(
                ColumnProblem(f"`columns` declares `{column}`, which its schema does not have.", did_you_mean(column, schema.names))
            )
        sources: list[DeclaredSource] = []
        for part in parts:
            for each in _resolved(column, part, inputs):
                if isinstance(each, ColumnProblem):
                    problems.append(each)
                else:
                    sources.append(each)
        found[column] = tuple(dict.fromkeys(sources))
    return found, problems


def _is_sound(value: object) -> bool:
    return isinstance(value, Derives) and all(isinstance(source, str) for source in value.sources)


def _resolved(column: str, part: Derives, inputs: Mapping[str, KnownInput]) -> Iterator[DeclaredSource | ColumnProblem]:
    uses = {each.value: each for each in ColumnUse}
    use = uses.get(part.use)
    if use is None:
        yield ColumnProblem(
            f"`columns` says that `{column}` is used as `{part.use}`, which is no use of a column.", did_you_mean(part.use, uses)
        )
        return
    if column == ALL and use.is_direct:
        yield ColumnProblem(
            f"`columns` says of `{ALL}`, which is all columns, that it hands on values (`{use.value}`).",
            "Say what decides the rows: filter, join, group_by, sort or rows.",
        )
        return
    for source in part.sources:
        yield _source(column, source, use, inputs)


def _source(column: str, source: str, use: ColumnUse, inputs: Mapping[str, KnownInput]) -> DeclaredSource | ColumnProblem:
    spelled = {name: name for name in inputs} | {
        known.key: name for name, known in reversed(list(inputs.items())) if known.key not in inputs
    }
    # Keys and columns may both hold dots, so the longest name that fits is meant.
    fitting = [name for name in spelled if source.startswith(f"{name}.") and len(source) > len(name) + 1]
    if not fitting:
        hint = did_you_mean(source.rpartition(".")[0] or source, spelled) or "It has no inputs."
        return ColumnProblem(f"`columns` derives `{column}` from `{source}`, which is no column of an input.", hint)
    longest = max(fitting, key=len)
    name = spelled[longest]
    wanted = source[len(longest) + 1 :]
    known = inputs[name]
    if known.schema is not None and wanted not in known.schema.names:
        return ColumnProblem(
            f"`columns` derives `{column}` from column `{wanted}` of `{known.key}`, which that does not have.",
            did_you_mean(wanted, known.schema.names),
        )
    return DeclaredSource(name, wanted, use)
