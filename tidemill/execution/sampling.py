"""Running an asset's code beside the record: on a sample of what a version was made from, in this process, publishing nothing.

The sample is the same every time: of each partition the first rows and, evenly spread, some of the rest. First rows of several inputs tend to belong
together, spread ones to differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tidemill.definitions.assets import AssetDefinition
from tidemill.definitions.context import context_for
from tidemill.execution.boundary import UserCodeFailed
from tidemill.execution.materialize import Rejected, checked_result, read_pinned, run_code
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import InputVersion, Materialization
from tidemill.plan.plan import PinnedInput

MAX_PARTITIONS = 24
"""Partitions of one input that a sample is taken from; more are passed over, evenly."""

LEAST_ROWS = 20
"""Rows of each partition at least, however many partitions share the sample."""


class CodeRefused(Exception):
    """The code did not take the tables, or what it made of them is not what it should be; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Some rows of one input."""

    input: str
    asset: str
    tables: tuple[tuple[str, pa.Table], ...]
    """By partition, in order."""
    of_rows: int
    """Rows that these partitions have."""


def recorded_sample(runtime: Runtime, asset: AssetDefinition, record: Materialization, rows: int) -> tuple[Sample, ...]:
    """Rows of the exact versions that a version was made from, for each input of the asset.

    Args:
        runtime: where they are.
        asset: the asset, whose inputs may be fewer or more than the record's if it was changed since.
        record: one version of it.
        rows: rows of each input, about.

    Raises:
        CodeRefused: an external asset is not in that version any more, or cannot be loaded; or the record knows nothing of an input.
        IntegrityError: a stored file is missing or damaged.
    """
    samples = []
    for name in asset.inputs:
        pinned = _spread([each for each in record.inputs if each.name == name], MAX_PARTITIONS)
        if not pinned:
            raise CodeRefused(f"the last version of `{asset.key}` was made without the input `{name}`.")
        share = max(rows // len(pinned), LEAST_ROWS)
        tables = [(each.partition, _read(runtime, each)) for each in pinned]
        samples.append(
            Sample(
                name,
                pinned[0].asset,
                tuple((key, sample(table, share)) for key, table in tables),
                sum(table.num_rows for _, table in tables),
            )
        )
    return tuple(samples)


def run_beside(
    runtime: Runtime, asset: AssetDefinition, record: Materialization, tables: Mapping[str, Sequence[tuple[str, pa.Table]]]
) -> pa.Table:
    """What the asset's code makes of some tables, in place of what the version was made from. Nothing is stored.

    Raises:
        CodeRefused: it raised, or gave something else than a table of the declared schema.
    """
    unit = record.unit
    context = context_for(unit.asset, unit.partition, asset.partitions, record.parameters)
    try:
        result = run_code(runtime, asset, unit, context, {name: list(parts) for name, parts in tables.items()})
        return checked_result(asset, unit, result)[0]
    except UserCodeFailed as failure:
        raise CodeRefused(failure.error.message) from None
    except Rejected as rejection:
        raise CodeRefused(rejection.error.message) from None
    except pa.ArrowException as error:  # a stream is read after the call, and its code may fail then
        raise CodeRefused(str(error)) from None


def sample(table: pa.Table, rows: int) -> pa.Table:
    """The first half of as many rows, and the other half evenly spread over the rest; all of them if there are no more."""
    if table.num_rows <= rows:
        return table
    head = rows // 2
    rest, wanted = table.num_rows - head, rows - head
    picked = [*range(head), *(head + at * rest // wanted for at in range(wanted))]
    return table.take(pa.array(picked, pa.int64()))


def _spread(versions: Sequence[InputVersion], most: int) -> Sequence[InputVersion]:
    if len(versions) <= most:
        return versions
    return [versions[at * len(versions) // most] for at in range(most)]


def _read(runtime: Runtime, version: InputVersion) -> pa.Table:
    pinned = PinnedInput(version.name, version.asset, version.partition, version.data_version, version.record)
    try:
        return read_pinned(runtime, pinned)
    except UserCodeFailed as failure:
        raise CodeRefused(failure.error.message) from None
    except Rejected as rejection:
        raise CodeRefused(rejection.error.message) from None
