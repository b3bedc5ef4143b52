"""A run as OpenLineage events, built from what is on record about it and from nothing else: the same run gives the same events for ever.

The run is one OpenLineage run, and every unit that it started is another, whose job is the asset and whose parent is the run; an asset is a dataset.
A unit starts when its tranche was opened. It ends when its tranche was recorded if that settled it (it failed, or was published right then), else with
its run; how long it took is in its facet `tidemill_unit`. A unit whose result was not published, because its run failed or was cancelled before, has no
outputs. See https://openlineage.io/spec/2-0-2/OpenLineage.json.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

from tidemill.definitions.assets import AssetDefinition
from tidemill.lineage import openlineage_facets as facets
from tidemill.lineage.openlineage_facets import PRODUCER, SPEC
from tidemill.lineage.values import ColumnLineage
from tidemill.model.facts import Materialization, Record
from tidemill.model.keys import UnitKey
from tidemill.model.outcomes import Failed, Succeeded, UnitOutcome
from tidemill.model.runs import RunRequest, RunResult, RunStatus
from tidemill.settings import DEFAULT_NAMESPACE

_EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:tidemill:runs")
_END = {RunStatus.SUCCEEDED: "COMPLETE", RunStatus.FAILED: "FAIL", RunStatus.CANCELED: "ABORT"}

Event = dict[str, Any]
"""One event as a JSON value."""


class Part(Enum):
    """Which events of some units are wanted: those that are certain once their tranche is recorded, those that wait for the end of the run, or all."""

    RECORDED = "recorded"
    ENDED = "ended"
    ALL = "all"


class Span(NamedTuple):
    """When a unit was at work, and what came of it."""

    started: datetime
    ended: datetime | None
    """None: not yet."""
    with_run: bool
    """It ends with its run, not with its tranche."""
    published: bool
    """A commit of the run holds its result. Means something once it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHistory:
    """Everything on record about a run, and how to look up the rest."""

    request: RunRequest
    result: RunResult | None
    """None: it goes on."""
    started_at: datetime
    """When it was planned; when it was asked for, if it was not."""
    outcomes: Mapping[int, UnitOutcome]
    """By position in the plan."""
    units: Callable[[Sequence[int]], Mapping[int, tuple[UnitKey, str]]]
    """The unit at each of some positions, and its code version."""
    span: Callable[[int, UnitKey, UnitOutcome], Span]
    """When the unit at a position was at work."""
    records: Callable[[Iterable[str]], Mapping[str, Record]]
    """Records by hash."""
    columns: Callable[[Materialization], ColumnLineage | None]
    """Column lineage of a version; None if it is not known for the code that made it."""
    definition: Callable[[str, str], AssetDefinition | None]
    """An asset as deployed, by its key; None unless that is the code of the given version."""
    namespace: str = DEFAULT_NAMESPACE

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
    error = {} if result.error is None else {"errorMessage": facets.error_message(result.error)}
    return _event(_END[result.status], result.finished_at, _run(history, error), _run_job(history))


def unit_events(history: RunHistory, positions: Sequence[int], part: Part = Part.ALL) -> Iterator[Event]:
    """A START and, once it has ended, a COMPLETE or FAIL for each of these started units. All records are fetched at once.

    Raises:
        IntegrityError: a record is missing or damaged.
    """
    units = history.units(positions)
    spans = {position: history.span(position, units[position][0], history.outcomes[position]) for position in positions}
    wanted = [(position, span) for position, span in spans.items() if part is not Part.ENDED or (span.with_run and span.ended is not None)]
    made = history.records({outcome.entry.record for at, _ in wanted if isinstance(outcome := history.outcomes[at], Succeeded)})
    read = history.records({each.record for record in made.values() if isinstance(record, Materialization) for each in record.inputs})
    for position, span in wanted:
        outcome = history.outcomes[position]
        record = made.get(outcome.entry.record) if isinstance(outcome, Succeeded) else None
        yield from _unit(history, *units[position], span, outcome, record if isinstance(record, Materialization) else None, read, part)


def _unit(
    history: RunHistory,
    key: UnitKey,
    code: str,
    span: Span,
    outcome: UnitOutcome,
    record: Materialization | None,
    read: Mapping[str, Record],
    part: Part,
) -> Iterator[Event]:
    run = _run(history)
    about: dict[str, Any] = {
        "parent": facets.parent(run, _run_job(history)),
        "tidemill_unit": facets.unit(outcome, run=history.request.run_id, asset=key.asset, partition=key.partition),
    }
    run_id = str(uuid.uuid5(_IDS, f"{history.request.run_id}/{key}"))
    job = {"namespace": history.namespace, "name": key.asset, "facets": facets.job(code, history.definition(key.asset, code))}
    inputs = _inputs(history, record, read)
    if part is not Part.ENDED:
        yield _event("START", span.started, {"runId": run_id, "facets": about}, job, inputs)
    if span.ended is None or (part is Part.RECORDED and span.with_run):
        return
    if isinstance(outcome, Failed):
        about = {**about, "errorMessage": facets.error_message(outcome.error)}
    outputs = [_output(history, record)] if span.published and record is not None else []
    kind = "FAIL" if isinstance(outcome, Failed) else "COMPLETE"
    yield _event(kind, span.ended, {"runId": run_id, "facets": about}, job, inputs, outputs)


def _inputs(history: RunHistory, record: Materialization | None, read: Mapping[str, Record]) -> list[dict[str, Any]]:
    """One dataset for each asset that was read, with the versions of all its partitions."""
    units: dict[str, dict[str, Record]] = {}
    for each in record.inputs if record else ():
        units.setdefault(each.asset, {})[each.record] = read[each.record]
    return [
        {
            "namespace": history.namespace,
            "name": asset,
            "facets": facets.dataset(list(records.values())),
            "inputFacets": facets.read(list(records.values())),
        }
        for asset, records in sorted(units.items())
    ]


def _output(history: RunHistory, record: Materialization) -> dict[str, Any]:
    about = facets.dataset([record]) | {"dataQualityMetrics": facets.quality(record)}
    columns = history.columns(record)
    if columns is not None and columns.edges:
        about["columnLineage"] = facets.columns(columns, history.namespace)
    return {
        "namespace": history.namespace,
        "name": record.asset,
        "facets": about,
        "outputFacets": {"outputStatistics": facets.written(record)},
    }


def _run(history: RunHistory, about: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"runId": str(uuid.uuid5(_IDS, history.request.run_id)), "facets": dict(about or {})}


def _run_job(history: RunHistory) -> dict[str, Any]:
    return {"namespace": history.namespace, "name": history.request.selection, "facets": {"jobType": facets.job_type("RUN")}}


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
