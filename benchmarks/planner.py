"""How long planning takes for large catalogs: `python -m benchmarks.planner [units ...]`. Beside it, a plain loop that only makes the unit keys."""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import UTC, datetime

import pyarrow as pa

from tidemill import AssetContext, DailyPartitions, Definitions, MultiPartitions, StaticPartitions, asset, external_asset
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.model.runs import RunRequest
from tidemill.plan.build import build_plan, required_observations, select_units
from tidemill.plan.plan import PinnedInput, unit_fingerprint

NOW = datetime(2030, 1, 1, tzinfo=UTC)
STAGES = 5


def graph_of(units: int) -> AssetGraph:
    """Five assets in a row over days and sites, together about that many units, above one source."""
    days = 1_000
    sites = StaticPartitions([f"site{number:04d}" for number in range(max(1, units // STAGES // days))])
    partitions = MultiPartitions({"day": DailyPartitions(start="2020-01-01", end="2022-09-27"), "site": sites})

    @external_asset(key="raw.a")
    def raw_a(context: AssetContext) -> pa.Table:
        raise NotImplementedError

    specs = [raw_a]
    before = "raw.a"
    for stage in range(STAGES):
        specs.append(_stage(f"s{stage}.a", before, partitions))
        before = f"s{stage}.a"
    return AssetGraph(Definitions(specs))


def _stage(key: str, before: str, partitions: MultiPartitions) -> object:
    @asset(key=key, partitions=partitions, inputs={"table": before}, code_version="1")
    def stage(table: pa.Table) -> pa.Table:
        return table

    return stage


class View:
    """A catalog in memory in which everything is up to date."""

    number = 1
    snapshot = "0" * 64

    def __init__(self, entries: dict[AssetKey, dict[PartitionKey, Entry]]) -> None:
        self._entries = entries

    def entries(self, key: AssetKey) -> dict[PartitionKey, Entry]:
        """As `CatalogView.entries`."""
        return self._entries.get(key, {})


def measure(units: int) -> dict[str, float]:
    """Seconds for an empty and for an up-to-date catalog of that size."""
    graph = graph_of(units)
    request = RunRequest(run_id="r-1", selection="*", requested_at=NOW)
    started = time.perf_counter()
    keys = select_units(graph, "*", "*", NOW)
    selected = time.perf_counter() - started
    floor = time.perf_counter()
    plain = [(key.asset, key.partition) for key in keys]
    floor = time.perf_counter() - floor
    source = UnitKey(AssetKey("raw.a"), PartitionKey(""))
    started = time.perf_counter()
    assert required_observations(graph, keys, NOW) == [source]
    required = time.perf_counter() - started
    observed = {source: PinnedInput("", "raw.a", "", "v1", "0" * 64)}
    started = time.perf_counter()
    first = build_plan(graph, View({}), keys, observed, request)
    empty = time.perf_counter() - started
    # Pretend the plan was executed: every unit's version is its fingerprint.
    entries: dict[AssetKey, dict[PartitionKey, Entry]] = {}
    versions: list[str] = []
    for position, unit in enumerate(first.units):
        made = [PinnedInput(each.name, "", "", versions[each.unit], "") for each in unit.inputs]
        mark = unit_fingerprint(first.assets[unit.asset], unit.partition, [*unit.pinned, *made])
        versions.append(mark)
        key = first.key(position)
        entries.setdefault(key.asset, {})[key.partition] = Entry(record=mark, data_version=mark, fingerprint=mark)
    started = time.perf_counter()
    again = build_plan(graph, View(entries), keys, observed, request)
    fresh = time.perf_counter() - started
    assert again.counts()["reuse"] == len(keys), again.counts()
    started = time.perf_counter()
    size = len(again.to_bytes())
    encoded = time.perf_counter() - started
    return {
        "units": len(plain),
        "floor_seconds": round(floor, 3),
        "select_seconds": round(selected, 3),
        "observe_seconds": round(required, 3),
        "plan_empty_seconds": round(empty, 3),
        "plan_up_to_date_seconds": round(fresh, 3),
        "encode_seconds": round(encoded, 3),
        "plan_megabytes": round(size / 1e6, 1),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def main() -> None:
    """Prints one JSON line for each size."""
    for units in [int(word.replace("_", "")) for word in sys.argv[1:]] or [100_000]:
        print(json.dumps(measure(units)))


if __name__ == "__main__":
    main()
