"""External assets: seeing which version they are in, and loading exactly the version that was planned."""

from __future__ import annotations

import pyarrow as pa

from tidemill.definitions.assets import AssetDefinition
from tidemill.definitions.context import AssetContext, Output, context_for
from tidemill.errors import SourceUnavailable, TidemillError
from tidemill.execution.boundary import UserCodeFailed
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Observation
from tidemill.model.keys import PartitionKey, UnitKey
from tidemill.model.outcomes import ErrorInfo
from tidemill.model.versions import canonical
from tidemill.plan.plan import PinnedInput
from tidemill.storage.formats.content_hash import content_hash


def observe_source(runtime: Runtime, asset: AssetDefinition, partition: PartitionKey) -> PinnedInput:
    """Sees which version one partition is in, and stores the observation.

    Without an `observe` function of its own the version of an external asset is the logical hash of what its function loads; with one, it is the
    unit's name and what the function says.

    Raises:
        SourceUnavailable: the user's code could not load or observe it.
    """
    unit = UnitKey(asset.key, partition)
    version = content_hash(_load(asset, unit)) if asset.observe is None else _observe(asset, unit)
    record = runtime.objects.put(canonical(Observation(asset=asset.key, partition=partition, data_version=version)))
    return PinnedInput("", asset.key, partition, version, record)


def load_source(runtime: Runtime, asset: AssetDefinition, pinned: PinnedInput) -> pa.Table:
    """Loads the planned version of an external unit.

    Raises:
        UserCodeFailed: it cannot be loaded, or it is in another version than was planned.
    """
    unit = UnitKey(asset.key, PartitionKey(pinned.partition))
    cached = runtime.tables.find(pinned.record)
    if cached is not None:
        return cached
    try:
        table = _load(asset, unit)
        version = content_hash(table) if asset.observe is None else _observe(asset, unit)
    except SourceUnavailable as error:
        raise UserCodeFailed(ErrorInfo(code=error.code, message=error.message, hint=error.hint)) from error
    if version != pinned.data_version:
        raise UserCodeFailed(
            ErrorInfo(
                code="source-changed",
                message=f"External asset `{unit}` changed while the run was under way: planned {pinned.data_version[:12]}, found {version[:12]}.",
                hint="Start the run again; it will plan with the new version.",
                retryable=False,
            )
        )
    runtime.tables.keep(pinned.record, table)
    return table


def _load(asset: AssetDefinition, unit: UnitKey) -> pa.Table:
    try:
        result = asset(**{asset.takes_context: _context(asset, unit)}) if asset.takes_context else asset()
    except TidemillError:
        raise
    except Exception as error:
        raise SourceUnavailable(f"External asset `{unit}` could not be loaded: {_sentence(error)}") from error
    table = result.value if isinstance(result, Output) else result
    if not isinstance(table, pa.Table):
        raise SourceUnavailable(f"External asset `{unit}` loaded {type(table).__name__}, but it has to be a pyarrow.Table.")
    return table.replace_schema_metadata(None)


def _observe(asset: AssetDefinition, unit: UnitKey) -> str:
    assert asset.observe is not None
    try:
        version: object = asset.observe(_context(asset, unit))
    except Exception as error:
        raise SourceUnavailable(f"External asset `{unit}` could not be observed: {_sentence(error)}") from error
    if not isinstance(version, str) or not version or len(version) > 200:
        raise SourceUnavailable(f"External asset `{unit}` was observed as {version!r}, but a version is a text of 1 to 200 characters.")
    # A version of the author's own says nothing about other units: "v1" of one partition must never stand for "v1" of another.
    return f"{unit}:{version}"


def _context(asset: AssetDefinition, unit: UnitKey) -> AssetContext:
    return context_for(unit.asset, unit.partition, asset.partitions, asset.parameters)


def _sentence(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
