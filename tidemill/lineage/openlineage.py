"""A run as OpenLineage events, built from what is on record about it and from nothing else: the same run gives the same events for ever.

The run is one OpenLineage run, and every unit that it started is another, whose job is the asset and whose parent is the run; an asset is a dataset.
Records hold no instant for single units, so a unit starts and ends with its run; how long it took is in its facet `tidemill_unit`. Since a run is
published whole or not at all, units of a run that was not published have no outputs. See https://openlineage.io/spec/2-0-2/OpenLineage.json.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tidemill.lineage.values import ColumnLineage, ColumnUse
from tidemill.model.facts import Materialization, Record
from tidemill.model.outcomes import ErrorInfo, Failed, Succeeded, UnitOutcome
from tidemill.model.runs import RunRequest, RunResult, RunStatus
from tidemill.plan.plan import Plan
from tidemill.version import VERSION

NAMESPACE = "tidemill"
PRODUCER = f"urn:tidemill:{VERSION}"

_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_OWN_RUN_FACET = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunFacet"
_OWN_DATASET_FACET = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/DatasetFacet"
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:tidemill:runs")
_END = {RunStatus.SUCCEEDED: "COMPLETE", RunStatus.FAILED: "FAIL", RunStatus.CANCELED: "ABORT"}

Event = dict[str, Any]
"""One event as a JSON value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHistory:
    """Everything on record about a run, and how to look up the rest."""

    request: RunRequest
    result: RunResult | None
    """None: it goes on."""
    plan: Plan | None
    """None: it was not planned, or planning was refused."""
    started_at: datetime
    """When it was planned; when it was asked for, if it was not."""
    outcomes: Mapping[int, UnitOutcome]
    """By position in the plan."""
    records: Callable[[Iterable[str]], Mapping[str, Record]]
    """Records by hash."""
    columns: Callable[[Materialization], ColumnLineage | None]
    """Column lineage of a version; None if it is not known for the code that made it."""
    namespace: str = NAMESPACE

    @property
    def started(self) -> Sequence[int]:
        """Positions of the units that were started, in order: the others have no events."""
        return [position for position, outcome in sorted(self.outcomes.items()) if isinstance(outcome, Succeeded | Failed)]


def start_event(history: RunHistory) -> Event:
    """The beginning of the run."""
    return _event("START", history.started_at, _run(history), _run_job(history))


def end_event(history: RunHistory) -> Event | None:
    """The end of the run; None while it goes on."""
    result = history.result
    if result is None:
        return None
    facets = {} if result.error is None else {"errorMessage": _error_facet(result.error)}
    return _event(_END[result.status], result.finished_at, _run(history, facets), _run_job(history))


def unit_events(history: RunHistory, positions: Sequence[int]) -> Iterator[Event]:
    """A START and, once the run has ended, a COMPLETE or FAIL for each of these started units. All records are fetched at once.

    Raises:
        IntegrityError: a record is missing or damaged.
    """
    assert history.plan is not None or not positions, "units have outcomes only where there is a plan"
    made = history.records({outcome.entry.record for at in positions if isinstance(outcome := history.outcomes[at], Succeeded)})
    read = history.records({each.record for record in made.values() if isinstance(record, Materialization) for each in record.inputs})
    for position in positions:
        outcome = history.outcomes[position]
        record = made.get(outcome.entry.record) if isinstance(outcome, Succeeded) else None
        yield from _unit(history, position, outcome, record if isinstance(record, Materialization) else None, read)


def _unit(
    history: RunHistory, position: int, outcome: UnitOutcome, record: Materialization | None, read: Mapping[str, Record]
) -> Iterator[Event]:
    assert history.plan is not None
    key = history.plan.key(position)
    facets = {"parent": _facet("ParentRunFacet", "1-2-0", run=_run(history), job=_run_job(history)), "tidemill_unit": _unit_facet(outcome)}
    facets["tidemill_unit"] |= {"run": history.request.run_id, "asset": key.asset, "partition": key.partition}
    run_id = str(uuid.uuid5(_IDS, f"{history.request.run_id}/{key}"))
    job = {"namespace": history.namespace, "name": key.asset}
    inputs = _inputs(history, record, read)
    yield _event("START", history.started_at, {"runId": run_id, "facets": facets}, job, inputs)
    if history.result is None:
        return
    if isinstance(outcome, Failed):
        facets = {**facets, "errorMessage": _error_facet(outcome.error)}
    published = record is not None and history.result.status is RunStatus.SUCCEEDED
    outputs = [_output(history, record)] if published and record is not None else []
    kind = "FAIL" if isinstance(outcome, Failed) else "COMPLETE"
    yield _event(kind, history.result.finished_at, {"runId": run_id, "facets": facets}, job, inputs, outputs)


def _unit_facet(outcome: UnitOutcome) -> dict[str, Any]:
    own: dict[str, Any] = {"_producer": PRODUCER, "_schemaURL": _OWN_RUN_FACET}
    match outcome:
        case Succeeded():
            return own | {
                "attempts": outcome.attempts,
                "found": outcome.found,
                "seconds": outcome.seconds,
                "fingerprint": outcome.entry.fingerprint,
            }
        case Failed():
            return own | {"attempts": outcome.attempts, "found": False}
        case _:
            return own


def _inputs(history: RunHistory, record: Materialization | None, read: Mapping[str, Record]) -> list[dict[str, Any]]:
    """One dataset for each asset that was read, with the versions of all its partitions."""
    units: dict[str, dict[str, Record]] = {}
    for each in record.inputs if record else ():
        units.setdefault(each.asset, {})[each.record] = read[each.record]
    return [
        {"namespace": history.namespace, "name": asset, "facets": _dataset_facets(records), "inputFacets": {}}
        for asset, records in sorted(units.items())
    ]


def _output(history: RunHistory, record: Materialization) -> dict[str, Any]:
    facets = _dataset_facets({"": record})
    columns = history.columns(record)
    if columns is not None and columns.edges:
        facets["columnLineage"] = _column_facet(columns, history.namespace)
    written = {"rowCount": record.row_count, "size": record.size_bytes, "fileCount": len(record.files)}
    statistics = _facet("OutputStatisticsOutputDatasetFacet", "1-0-2", **written)
    return {
        "namespace": history.namespace,
        "name": record.asset,
        "facets": facets,
        "outputFacets": {"outputStatistics": statistics},
    }


def _dataset_facets(records: Mapping[str, Record]) -> dict[str, Any]:
    versions = [{"partition": each.partition, "dataVersion": each.data_version} for each in records.values()]
    facets: dict[str, Any] = {
        "tidemill_versions": {"_producer": PRODUCER, "_schemaURL": _OWN_DATASET_FACET, "versions": versions},
    }
    if len(versions) == 1:
        facets["version"] = _facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=versions[0]["dataVersion"])
    last = list(records.values())[-1]
    if isinstance(last, Materialization):
        fields = [{"name": each.name, "type": each.type, "fields": []} for each in last.columns]
        facets["schema"] = _facet("SchemaDatasetFacet", "1-2-0", fields=fields)
    return facets


def _column_facet(lineage: ColumnLineage, namespace: str) -> dict[str, Any]:
    def sources(column: str) -> list[dict[str, Any]]:
        uses: dict[tuple[str, str], list[ColumnUse]] = {}
        for edge in lineage.edges:
            if edge.column == column:
                uses.setdefault((edge.source_asset, edge.source_column), []).append(edge.use)
        return [
            {"namespace": namespace, "name": asset, "field": name, "transformations": [_transformation(use) for use in each]}
            for (asset, name), each in uses.items()
        ]

    fields = {column: {"inputFields": found} for column in lineage.columns if (found := sources(column))}
    return _facet("ColumnLineageDatasetFacet", "1-2-0", fields=fields, dataset=sources(""))


def _transformation(use: ColumnUse) -> dict[str, Any]:
    kind = "DIRECT" if use.is_direct else "INDIRECT"
    return {"type": kind, "subtype": use.value.upper(), "description": "", "masking": False}


def _error_facet(error: ErrorInfo) -> dict[str, Any]:
    stack = {"stackTrace": error.stack} if error.stack else {}
    return _facet("ErrorMessageRunFacet", "1-0-1", message=error.message, programmingLanguage="python", **stack)


def _run(history: RunHistory, facets: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"runId": str(uuid.uuid5(_IDS, history.request.run_id)), "facets": dict(facets or {})}


def _run_job(history: RunHistory) -> dict[str, Any]:
    return {"namespace": history.namespace, "name": history.request.selection, "facets": {}}


def _facet(name: str, version: str, **fields: Any) -> dict[str, Any]:
    """A facet of the specification."""
    return {"_producer": PRODUCER, "_schemaURL": f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}", **fields}


def _event(
    kind: str,
    at: datetime,
    run: Mapping[str, Any],
    job: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]] = (),
    outputs: Sequence[Mapping[str, Any]] = (),
) -> Event:
    return {
        "eventType": kind,
        "eventTime": at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "producer": PRODUCER,
        "schemaURL": _EVENT,
        "run": dict(run),
        "job": {"facets": {}, **job},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }
