"""How long planning takes for large catalogs, and how much memory: `python -m benchmarks.planner [units ...]`.

Each case is measured in a process of its own; seconds are CPU seconds, which other work on the machine does not change. Beside it, a plain loop that only makes the unit keys.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tidemill import AssetContext, DailyPartitions, Definitions, MultiPartitions, StaticPartitions, asset, external_asset
from tidemill.definitions.assets import AssetSpec
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.model.runs import RunRequest
from tidemill.model.versions import canonical, digest
from tidemill.plan.build import build_plan, required_observations, select_units
from tidemill.plan.plan import PinnedInput, PlannedAsset, unit_fingerprint
from tidemill.plan.predict import Seen, predict
from tidemill.plan.prices import Prices
from tidemill.plan.stored import to_head

NOW = datetime(2030, 1, 1, tzinfo=UTC)
STAGES = 5
CASES = ("empty", "up_to_date", "changed")


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


def _stage(key: str, before: str, partitions: MultiPartitions) -> AssetSpec[..., Any]:
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


def up_to_date(graph: AssetGraph, keys: list[UnitKey], source: PinnedInput) -> dict[AssetKey, dict[PartitionKey, Entry]]:
    """The catalog after all of it was run: every unit's version is its fingerprint."""
    entries: dict[AssetKey, dict[PartitionKey, Entry]] = {}
    for key in keys:
        definition = graph.assets[key.asset]
        ((name, read),) = definition.inputs.items()
        before = entries[read.asset][key.partition].data_version if read.asset in entries else source.data_version
        planned = PlannedAsset(
            key=key.asset, code_version=definition.code_version, parameters={}, reads_partition=definition.reads_partition
        )
        mark = unit_fingerprint(planned, key.partition, [PinnedInput(name, read.asset, "", before, "")])
        entries.setdefault(key.asset, {})[key.partition] = Entry(record=mark, data_version=mark, fingerprint=mark)
    return entries


def measure(units: int, case: str) -> dict[str, float | str]:
    """CPU seconds and peak memory for one plan of that size, over an empty catalog, or with everything `up_to_date`, or with the first asset `changed`."""
    graph = graph_of(units)
    request = RunRequest(run_id="r-1", selection="*", requested_at=NOW)
    started = time.process_time()
    keys = select_units(graph, "*", "*", NOW)
    selected = time.process_time() - started
    started = time.process_time()
    plain = [(key.asset, key.partition) for key in keys]
    floor = time.process_time() - started
    del plain
    source = UnitKey(AssetKey("raw.a"), PartitionKey(""))
    seen = PinnedInput("", "raw.a", "", "v1", "0" * 64)
    catalog = {} if case == "empty" else up_to_date(graph, keys, seen)
    if case == "changed":
        seen = PinnedInput("", "raw.a", "", "v2", "0" * 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    started = time.process_time()
    assert required_observations(graph, keys, NOW) == [source]
    plan = build_plan(graph, View(catalog), keys, {source: seen}, request)
    planned = time.process_time() - started
    counts = plan.counts()
    assert (
        counts
        == {"run": 0, "reuse": 0, "skip": 0, "wait": 0, "blocked": 0}
        | {
            "empty": {"run": len(keys)},
            "up_to_date": {"skip": len(keys)},
            "changed": {"run": len(keys) // STAGES, "wait": len(keys) - len(keys) // STAGES},
        }[case]
    ), counts
    written = 0

    def put(data: bytes) -> str:
        nonlocal written
        written += len(data)
        return digest(data)

    started = time.process_time()
    head = to_head(plan, put)
    sliced = time.process_time() - started
    started = time.process_time()
    predict(plan, Seen({}, None, 0), Prices())
    predicted = time.process_time() - started
    return {
        "case": case,
        "units": len(keys),
        "floor_seconds": round(floor, 3),
        "select_seconds": round(selected, 3),
        "plan_seconds": round(planned, 3),
        "slice_seconds": round(sliced, 3),
        "predict_seconds": round(predicted, 3),
        "total_seconds": round(selected + planned + sliced + predicted, 3),
        "slices": len(head.work) + len(head.idle),
        "slices_megabytes": round(written / 1e6, 1),
        "head_kilobytes": round(len(canonical(head)) / 1e3, 1),
        "before_megabytes": round(before),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }


def main() -> None:
    """Prints one JSON line for each size and case, each measured in a process of its own."""
    words = sys.argv[1:]
    if len(words) == 2 and words[1] in CASES:
        print(json.dumps(measure(int(words[0]), words[1])), flush=True)
        return
    for units in [int(word.replace("_", "")) for word in words] or [100_000]:
        for case in CASES:
            subprocess.run([sys.executable, "-m", "benchmarks.planner", str(units), case], check=True)


if __name__ == "__main__":
    main()
