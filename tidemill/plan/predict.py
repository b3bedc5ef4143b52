"""What executing a plan will take: activities, storage calls, time and money. Pure.

Every figure is a pair. Units that wait may be cut off, so the lower one counts only what certainly runs, and the upper one everything. Where nothing is on
record about an asset, no time is guessed: it is unknown, and says for which assets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import NamedTuple

import msgspec

from tidemill.definitions.groups import Granularity
from tidemill.model.facts import Entry
from tidemill.model.outcomes import Succeeded
from tidemill.plan.plan import Action, Plan, UnitInput
from tidemill.plan.prices import Bill, Prices
from tidemill.plan.progress import BATCH_SECONDS, TrancheProgress
from tidemill.plan.stored import IDLE_SLICE_UNITS, SLICE_TRANCHES, TRANCHE_UNITS
from tidemill.plan.tranche import Tranche, TrancheAsset, TrancheUnit

WINDOW = 40
"""Activities that the orchestrator has open at most."""

LOOKUPS = 2_000
"""Earlier results that a plan looks for at most. What it did not look for is found by the activity that would make it."""

RUN_WRITES, RUN_READS = 6, 17
"""Storage calls of a run whatever it does: its records, and finding where the catalog is."""

TRANCHE_WRITES, TRANCHE_READS = 1, 4
ASSET_WRITES = 1
"""Of each of its tranches (their records), and of each asset it executes (the record of its code)."""

UNIT_WRITES, UNIT_READS = 3, 1
"""Of a computed unit: its data file, its record and its claim; the look for an earlier one."""

OBSERVATION_WRITES, OBSERVATION_READS = 1, 2
"""Of an observed source: putting its record, and, if that is there already, asking whether it may be relied on."""

COMMIT_WRITES, COMMIT_READS = 6, 6
UNITS_PER_NODE = 64
"""Of a commit: an entry, a snapshot, a hint, a path of tree nodes; beyond that, one node for about so many neighbouring units, written and read."""

PUBLISH_WRITES, PUBLISH_READS = 5, 10
"""Of a unit that is published on its own: its commit, and finding out beforehand whether what it was made from can be read."""


class Seen(NamedTuple):
    """What recent runs say about time."""

    seconds: Mapping[str, float]
    """By asset: what an activity spent on one unit. Assets that never ran are missing."""
    parallelism: float | None
    """Activity seconds in a second of a run, overheads included; None if no run is on record."""
    runs: int
    """How many runs this is taken from."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """At least, if every unit that waits is cut off, and at most, if none is."""

    at_least: float
    at_most: float


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What executing a plan will take."""

    units: Span
    """Units to execute."""
    activities: Span
    """Activities, with the units batched as the orchestrator does: exact if units take as long as they did."""
    storage_writes: Span
    storage_reads: Span
    """Calls to the store, the engine's own not included. Reads are fewer where a worker has inputs at hand."""
    activity_seconds: Span | None
    """Null if it is unknown for some asset: see `unknown`."""
    seconds: Span | None
    """From start to end, with as much at the same time as in recent runs; null if unknown."""
    gb_seconds: Span | None
    """As if every activity had an instance to itself; those that share one share its memory."""
    cost: Span | None
    currency: str
    prices_as_of: str
    unknown: tuple[str, ...]
    """Assets to execute of which no run is on record, so that their time is not known."""
    runs: int
    """How many recorded runs this is taken from."""


def predict(plan: Plan, seen: Seen, prices: Prices) -> Prediction:
    """What executing a plan will take."""
    executed = {unit.asset for unit in plan.units if unit.action.executes}
    unknown = tuple(plan.assets[index].key for index in sorted(executed) if plan.assets[index].key not in seen.seconds)
    least, most = (_Sum(plan, seen, certain=certain) for certain in (True, False))
    seconds = None if unknown else Span(at_least=round(least.seconds, 2), at_most=round(most.seconds, 2))
    gigabytes = None if seconds is None else _scaled(seconds, prices.memory_gb)
    return Prediction(
        units=Span(at_least=least.units, at_most=most.units),
        activities=Span(at_least=least.activities, at_most=most.activities),
        storage_writes=Span(at_least=least.writes, at_most=most.writes),
        storage_reads=Span(at_least=least.reads, at_most=most.reads),
        activity_seconds=seconds,
        seconds=_scaled(seconds, 1 / seen.parallelism) if seconds and seen.parallelism else None,
        gb_seconds=gigabytes,
        cost=None
        if gigabytes is None
        else Span(
            at_least=round(least.bill(gigabytes.at_least).cost(prices), 6), at_most=round(most.bill(gigabytes.at_most).cost(prices), 6)
        ),
        currency=prices.currency,
        prices_as_of=prices.as_of,
        unknown=unknown,
        runs=seen.runs,
    )


class _Sum:
    """One end of the span."""

    def __init__(self, plan: Plan, seen: Seen, *, certain: bool) -> None:
        actions = (Action.RUN,) if certain else (Action.RUN, Action.WAIT)
        chosen = [position for position, unit in enumerate(plan.units) if unit.action in actions]
        tranches = [tranche for tranche in _tranches(plan) if not certain or any(plan.units[each].action is Action.RUN for each in tranche)]
        taken_over = sum(unit.action is Action.REUSE for unit in plan.units)
        assets = {plan.units[position].asset for position in chosen}
        self.units = len(chosen)
        self.seconds = sum(seen.seconds.get(plan.assets[plan.units[position].asset].key, 0.0) for position in chosen)
        batches = _batches(plan, tranches, seen, actions)
        self.activities = batches + len(tranches) + 2  # and those that plan, record a tranche, and commit
        nodes = ceil((self.units + taken_over) / UNITS_PER_NODE)
        commits = bool(self.units + taken_over)
        slices = ceil(len(tranches) / SLICE_TRANCHES) + ceil((len(plan.units) - self.units) / IDLE_SLICE_UNITS)
        self.writes = RUN_WRITES + slices + len(assets) * ASSET_WRITES + len(tranches) * TRANCHE_WRITES
        self.writes += self.units * UNIT_WRITES + len(plan.observations) * OBSERVATION_WRITES + commits * (COMMIT_WRITES + nodes)
        looked = 0 if plan.rerun else sum(plan.units[each].action is Action.RUN and not plan.units[each].inputs for each in chosen)
        self.reads = RUN_READS + len(tranches) * TRANCHE_READS + self.units * UNIT_READS + min(LOOKUPS, looked + 2 * taken_over)
        self.reads += commits * (COMMIT_READS + nodes)
        alone = sum(_commit(plan, position) == Granularity.UNIT for position in chosen)
        windows = sum(any(_commit(plan, position) == Granularity.WINDOW for position in tranche) for tranche in tranches)
        self.writes += alone * PUBLISH_WRITES + windows * (COMMIT_WRITES + 1)  # and what was published is put on record
        self.reads += alone * PUBLISH_READS + windows * COMMIT_READS
        # Of an input that a unit made, its record is always read; its data, and what is known of a source, only if they are not at hand.
        sources = {(each.asset, each.partition) for each in plan.observations}
        made = sum(len(plan.units[each].inputs) for each in chosen)
        made += sum((pin.asset, pin.partition) not in sources for each in chosen for pin in plan.units[each].pinned)
        self.reads += made if certain else 2 * made + len(plan.observations) * OBSERVATION_READS

    def bill(self, gb_seconds: float) -> Bill:
        """What is charged for: an activity, and the episode of the orchestrator that takes in its reply, are an execution each."""
        return Bill(gb_seconds=gb_seconds, executions=2 * self.activities, writes=self.writes, reads=self.reads)


def _commit(plan: Plan, position: int) -> str:
    """How often the unit at a position is published."""
    return plan.assets[plan.units[position].asset].commit


def _tranches(plan: Plan) -> list[list[int]]:
    positions = [position for position, unit in enumerate(plan.units) if unit.action.executes]
    return [positions[at : at + TRANCHE_UNITS] for at in range(0, len(positions), TRANCHE_UNITS)]


def _batches(plan: Plan, tranches: Sequence[Sequence[int]], seen: Seen, actions: Sequence[Action]) -> int:
    """How many activities the units take. Tranches of one shape are walked once."""
    known: dict[tuple[tuple[int, tuple[int, ...]], ...], int] = {}
    total = 0
    for tranche in tranches:
        shape = tuple(_shape(plan, tranche, actions))
        if shape not in known:
            known[shape] = _walk(plan, shape, seen)
        total += known[shape]
    return total


def _shape(plan: Plan, tranche: Sequence[int], actions: Sequence[Action]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The asset of each unit of a tranche, and the places in the tranche of what it reads there."""
    first = tranche[0]
    places: dict[int, int] = {}
    for position in tranche:
        unit = plan.units[position]
        if unit.action in actions:
            yield unit.asset, tuple(places[each.unit] for each in unit.inputs if each.unit >= first and each.unit in places)
            places[position] = len(places)


def _walk(plan: Plan, shape: Sequence[tuple[int, tuple[int, ...]]], seen: Seen) -> int:
    """Walks a tranche of this shape as the orchestrator would, every unit taking as long as recorded; the number of activities.

    A unit of unknown duration is taken to be so slow that it travels alone.
    """
    keys = {asset: plan.assets[asset].key for asset, _ in shape}
    assets = {
        key: TrancheAsset(key=key, code_version="", parameters={}, reads_partition=True, mapping_inputs=(), retry=None, total=len(shape))
        for key in keys.values()
    }
    units = tuple(
        TrancheUnit(place, keys[asset], str(place), tuple(UnitInput("", each, order) for order, each in enumerate(reads)), (), None, -1)
        for place, (asset, reads) in enumerate(shape)
    )
    progress = TrancheProgress(Tranche(number=0, rerun=False, assets=assets, units=units, first_position=0, next_position=len(units)))
    flying = progress.take(WINDOW)
    count = len(flying)
    while flying:
        batch = flying.pop(0)
        cost = seen.seconds.get(batch.asset, BATCH_SECONDS)
        progress.fold(
            batch,
            [
                Succeeded(unit=work.position, entry=Entry("", str(work.position)), row_count=0, size_bytes=0, seconds=cost)
                for work in batch.units
            ],
        )
        fresh = progress.take(WINDOW - len(flying))
        count += len(fresh)
        flying += fresh
    return count


def _scaled(span: Span, factor: float) -> Span:
    return Span(at_least=round(span.at_least * factor, 2), at_most=round(span.at_most * factor, 2))
