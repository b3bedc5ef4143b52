"""Materialize one unit: read its inputs, call its function, store what came out. Idempotent: everything is addressed by content.

Order of effects (reliability §4): data files, then the record, then the claim on the fingerprint. The claim is create-only, so of two workers that
computed the same unit the first one's bytes win and both report the same version, also where user code is not deterministic.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import pyarrow as pa

from tidemill.definitions.assets import AssetDefinition
from tidemill.definitions.context import AssetContext, Output, context_for
from tidemill.definitions.groups import Granularity
from tidemill.errors import IntegrityError
from tidemill.execution.boundary import UserCodeFailed, call_user_code
from tidemill.execution.publishing import publish_unit
from tidemill.execution.reusing import claim_name, input_versions, result_for
from tidemill.execution.runtime import Runtime
from tidemill.execution.sources import load_source
from tidemill.execution.sql import run_sql
from tidemill.messages.run import MaterializeUnits, UnitsReply
from tidemill.model.facts import DataFile, Entry, JsonScalar, Materialization
from tidemill.model.keys import AssetKey, PartitionKey, RunId, UnitKey
from tidemill.model.outcomes import ErrorInfo, Failed, Succeeded, UnitOutcome
from tidemill.model.versions import canonical
from tidemill.plan.plan import PinnedInput
from tidemill.plan.tranche import UnitWork
from tidemill.storage.conditional import put_once
from tidemill.storage.formats import parquet
from tidemill.storage.formats.content_hash import UnhashableType, content_hash
from tidemill.storage.formats.statistics import describe_columns

log = logging.getLogger("tidemill.materialize")


class Rejected(Exception):
    """The unit cannot be materialized, and trying again cannot help."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.error = ErrorInfo(code=code, message=message, hint=hint, retryable=False)


def materialize_units(runtime: Runtime, command: MaterializeUnits) -> UnitsReply:
    """Materializes each unit of the command on its own; a failure of one is its outcome and does not stop the next. Where units are published one by one, each is
    as soon as it is there.

    Raises:
        StoreUnavailable: the store could not be reached; nothing is known to have failed, the command may be sent again.
        DefinitionError: the deployed definitions are broken.
    """
    asset = runtime.graph.assets.get(AssetKey(command.asset))
    return UnitsReply(
        outcomes=tuple(_and_publish(runtime, command, work, _materialize(runtime, command, asset, work)) for work in command.units)
    )


def _and_publish(runtime: Runtime, command: MaterializeUnits, work: UnitWork, outcome: UnitOutcome) -> UnitOutcome:
    # A rerun makes another version each time it is tried; only what is on record with its tranche is the one that counts.
    if command.commit == Granularity.UNIT and isinstance(outcome, Succeeded) and not command.rerun:
        publish_unit(runtime, RunId(command.run_id), work, outcome)
    return outcome


def _materialize(runtime: Runtime, command: MaterializeUnits, asset: AssetDefinition | None, work: UnitWork) -> UnitOutcome:
    unit = UnitKey(AssetKey(command.asset), PartitionKey(work.partition))
    started = time.perf_counter()
    try:
        if asset is None or asset.code_version != command.code_version:
            raise Rejected(
                "code-changed",
                f"The code of `{unit.asset}` is not the code that was planned: it changed while the run was under way.",
                "Start the run again; units that are already done are reused.",
            )
        found = None if command.rerun else _find(runtime, work, unit)
        entry, record = found or _compute(runtime, command, asset, work, unit)
    except UserCodeFailed as failure:
        return Failed(unit=work.position, error=failure.error)
    except Rejected as rejection:
        return Failed(unit=work.position, error=rejection.error)
    except (IntegrityError, UnhashableType) as error:
        return Failed(unit=work.position, error=ErrorInfo(code=error.code, message=error.message, hint=error.hint, retryable=False))
    return Succeeded(
        unit=work.position,
        entry=entry,
        row_count=record.row_count,
        size_bytes=record.size_bytes,
        seconds=round(time.perf_counter() - started, 4),
        found=found is not None,
    )


def _find(runtime: Runtime, work: UnitWork, unit: UnitKey) -> tuple[Entry, Materialization] | None:
    """An earlier result of the same making, as a version of this unit; None if there is none."""
    return result_for(runtime.catalog, unit, work.fingerprint, work.inputs)


def _compute(
    runtime: Runtime, command: MaterializeUnits, asset: AssetDefinition, work: UnitWork, unit: UnitKey
) -> tuple[Entry, Materialization]:
    tables = _read_inputs(runtime, asset, work)
    context = context_for(unit.asset, unit.partition, asset.partitions, command.parameters)
    table, metadata = checked_result(asset, unit, run_code(runtime, asset, unit, context, tables))
    version = content_hash(table)
    files = _store(runtime, unit, table)
    record = Materialization(
        asset=unit.asset,
        partition=unit.partition,
        data_version=version,
        fingerprint=work.fingerprint,
        code_version=command.code_version,
        parameters=command.parameters,
        inputs=input_versions(work.inputs),
        files=files,
        columns=describe_columns(table),
        row_count=table.num_rows,
        size_bytes=sum(file.size_bytes for file in files),
        run_id=command.run_id,
        metadata=dict(metadata),
    )
    address = runtime.objects.put(canonical(record))
    entry = Entry(record=address, data_version=record.data_version, fingerprint=work.fingerprint)
    if not command.rerun and not put_once(runtime.store, claim_name(work.fingerprint), canonical(entry)):
        winner = _find(runtime, work, unit)
        if winner is not None:
            if winner[0].data_version != entry.data_version:
                log.warning("`%s` is not deterministic: the same code and inputs gave two results; the first one is kept.", unit)
            return winner
    runtime.tables.keep(address, table)
    return entry, record


def _store(runtime: Runtime, unit: UnitKey, table: pa.Table) -> tuple[DataFile, ...]:
    """Writes a table as Parquet objects."""
    try:
        written = parquet.write(table)
    except pa.ArrowException as error:
        raise Rejected(
            "unsupported-type", f"`{unit}` returned a column that Parquet cannot hold: {error}.", "Cast it to a type that can be stored."
        ) from error
    for each in written:
        runtime.objects.put(each.data)
    return tuple(each.file for each in written)


def _read_inputs(runtime: Runtime, asset: AssetDefinition, work: UnitWork) -> dict[str, list[tuple[str, pa.Table]]]:
    """Tables by input name, in partition order, each with its partition key."""
    tables: dict[str, list[tuple[str, pa.Table]]] = {name: [] for name in asset.inputs}
    for pinned in work.inputs:
        tables[pinned.name].append((pinned.partition, read_pinned(runtime, pinned)))
    return tables


def read_pinned(runtime: Runtime, pinned: PinnedInput) -> pa.Table:
    """The rows of one exact version: of an asset from the store, of an external one from where it is.

    Raises:
        UserCodeFailed: an external asset cannot be loaded, or is in another version.
        Rejected: there are no rows of it.
        IntegrityError: a stored file is missing or damaged.
    """
    upstream = runtime.graph.assets.get(AssetKey(pinned.asset))
    if upstream is not None and upstream.kind == "external":
        return load_source(runtime, upstream, pinned)
    record = runtime.catalog.record(pinned.record)
    if not isinstance(record, Materialization):
        raise Rejected(
            "not-materialized",
            f"`{pinned.asset}@{pinned.partition}` is on record as an observation, so there are no rows to read.",
            "It was an external asset when it was planned; run it as an asset first.",
        )
    return runtime.tables.read(pinned.record, record)


def run_code(
    runtime: Runtime, asset: AssetDefinition, unit: UnitKey, context: AssetContext, tables: Mapping[str, list[tuple[str, pa.Table]]]
) -> object:
    """What the function or query makes of one table for each input, or of a mapping by partition where it asks for one."""
    arguments = {
        name: dict(parts) if asset.inputs[name].as_mapping else pa.concat_tables([table for _, table in parts])
        for name, parts in tables.items()
    }
    if asset.sql is not None:
        return run_sql(asset.sql, arguments, context)
    if asset.takes_context is not None:
        return call_user_code(unit, lambda: asset(**{str(asset.takes_context): context}, **arguments), project=runtime.project)
    return call_user_code(unit, lambda: asset(**arguments), project=runtime.project)


def checked_result(asset: AssetDefinition, unit: UnitKey, result: object) -> tuple[pa.Table, Mapping[str, JsonScalar]]:
    """The table an asset function returned, and its metadata, if both are what was declared."""
    metadata: Mapping[str, JsonScalar] = {}
    if isinstance(result, Output):
        result, metadata = result.value, result.metadata
    if isinstance(result, pa.RecordBatchReader):
        result = result.read_all()
    elif isinstance(result, pa.RecordBatch):
        result = pa.Table.from_batches([result])
    if not isinstance(result, pa.Table):
        raise Rejected(
            "wrong-type",
            f"`{unit}` returned {type(result).__name__}, but an asset returns a pyarrow.Table.",
            "Return a Table, a RecordBatchReader, or Output(table, metadata={...}).",
        )
    if len(set(result.column_names)) != result.num_columns:
        raise Rejected("wrong-schema", f"`{unit}` returned two columns of one name.", "Give every column a name of its own.")
    if asset.schema is not None and not result.schema.equals(asset.schema, check_metadata=False):
        raise Rejected(
            "wrong-schema",
            f"`{unit}` returned another schema than `{unit.asset}` declares: {_difference(asset.schema, result.schema)}.",
            "Mend the function, or the schema it declares.",
        )
    return result.replace_schema_metadata(None), metadata


def _difference(declared: pa.Schema, returned: pa.Schema) -> str:
    """The first few differences between two schemas, in words."""
    differences = [f"`{name}` is missing" for name in declared.names if name not in returned.names]
    differences += [f"`{name}` is not declared" for name in returned.names if name not in declared.names]
    differences += [
        f"`{field.name}` is {returned.field(field.name).type} instead of {field.type}"
        for field in declared
        if field.name in returned.names and returned.field(field.name).type != field.type
    ]
    if not differences:
        differences = ["the columns are in another order, or differ in whether they may be null"]
    return ", ".join(differences[:5]) + (f" and {len(differences) - 5} more" if len(differences) > 5 else "")
