from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from tidemill import AllPartitions, AssetSpec, DailyPartitions, Definitions, Input, MonthlyPartitions, asset
from tidemill.errors import UnknownAsset
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = MonthlyPartitions("2013-01", "2013-04")
DAYS = DailyPartitions("2013-01-30", "2013-02-03")


def keys(*names: str) -> frozenset[AssetKey]:
    return frozenset(map(AssetKey, names))


def unit(asset_name: str, partition: str = "") -> UnitKey:
    return UnitKey(AssetKey(asset_name), PartitionKey(partition))


def assets() -> Iterable[AssetSpec[..., Any]]:
    @asset(key="raw.days", partitions=DAYS)
    def raw_days() -> None: ...

    @asset(key="lookup")
    def lookup() -> None: ...

    @asset(key="silver.days", partitions=DAYS)
    def silver_days(raw_days: Any, lookup: Any) -> None: ...

    @asset(key="gold.months", partitions=MONTHS, inputs={"everything": Input("silver.days", AllPartitions())})
    def gold_months(silver_days: Any, everything: Any) -> None: ...

    @asset(key="gold.report")
    def gold_report(gold_months: Any, lookup: Any) -> None: ...

    return [gold_report, gold_months, silver_days, lookup, raw_days]


@pytest.fixture
def graph() -> AssetGraph:
    return AssetGraph(Definitions(assets()))


def test_assets_are_sorted_and_ordered_after_what_they_read(graph: AssetGraph) -> None:
    assert list(graph.assets) == ["gold.months", "gold.report", "lookup", "raw.days", "silver.days"]
    assert graph.order == ("lookup", "raw.days", "silver.days", "gold.months", "gold.report")


def test_parents_and_children(graph: AssetGraph) -> None:
    assert graph.parents[AssetKey("gold.report")] == ("gold.months", "lookup")
    assert graph.children[AssetKey("lookup")] == ("gold.report", "silver.days")
    assert graph.children[AssetKey("gold.report")] == ()


def test_closures_reach_as_far_as_they_are_told(graph: AssetGraph) -> None:
    assert graph.upstream(keys("gold.months")) == keys("gold.months", "silver.days", "raw.days", "lookup")
    assert graph.upstream(keys("gold.months"), 1) == keys("gold.months", "silver.days")
    assert graph.upstream(keys("gold.months"), 0) == keys("gold.months")
    assert graph.downstream(keys("silver.days")) == keys("silver.days", "gold.months", "gold.report")
    assert graph.downstream(keys("lookup", "raw.days"), 1) == keys("lookup", "raw.days", "silver.days", "gold.report")


def test_units_read_units_by_input(graph: AssetGraph) -> None:
    days = [unit("silver.days", key) for key in DAYS.keys(NOW)]
    assert graph.upstream_units(unit("gold.months", "2013-02"), NOW) == {"silver_days": days[2:], "everything": days}
    assert graph.upstream_units(unit("gold.months", "2013-03"), NOW) == {"silver_days": [], "everything": days}
    assert graph.upstream_units(unit("silver.days", "2013-02-01"), NOW) == {
        "raw_days": [unit("raw.days", "2013-02-01")],
        "lookup": [unit("lookup")],
    }
    assert graph.upstream_units(unit("lookup"), NOW) == {}


def test_units_are_read_by_units_each_once(graph: AssetGraph) -> None:
    assert graph.downstream_units(unit("silver.days", "2013-01-31"), NOW) == [
        unit("gold.months", "2013-01"),
        unit("gold.months", "2013-02"),
        unit("gold.months", "2013-03"),
    ]
    assert graph.downstream_units(unit("lookup"), NOW) == [unit("gold.report"), *(unit("silver.days", key) for key in DAYS.keys(NOW))]


def test_partitions_open_up_as_time_passes() -> None:
    open_days = DailyPartitions("2026-01-01")

    @asset(partitions=open_days)
    def days() -> None: ...

    @asset
    def report(days: Any) -> None: ...

    graph = AssetGraph(Definitions([days, report]))
    early, late = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    assert graph.upstream_units(unit("report"), early) == {"days": [unit("days", "2026-01-01")]}
    assert graph.upstream_units(unit("report"), late) == {"days": [unit("days", "2026-01-01"), unit("days", "2026-01-02")]}
    assert graph.has_unit(unit("days", "2026-01-02"), late)
    assert not graph.has_unit(unit("days", "2026-01-02"), early)


def test_which_units_there_are(graph: AssetGraph) -> None:
    known = [unit("lookup"), unit("raw.days", "2013-01-30")]
    unknown = [unit("lookup", "2013-01"), unit("raw.days"), unit("raw.days", "2013-01-29"), unit("raw.nothing")]
    assert [graph.has_unit(each, NOW) for each in known + unknown] == [True] * 2 + [False] * 4
    assert graph.partitions(AssetKey("lookup"), NOW) == ("",)


def test_an_unknown_asset_gets_the_nearest_name(graph: AssetGraph) -> None:
    assert graph.asset("lookup").key == "lookup"
    with pytest.raises(UnknownAsset) as caught:
        graph.asset("gold.moths")
    assert str(caught.value) == "Asset `gold.moths` is not defined. Did you mean `gold.months`?"
