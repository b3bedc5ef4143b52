"""The public names are a promise: taking one away or adding one is a decision, made here."""

from __future__ import annotations

import tidemill


def test_the_public_names_are_these() -> None:
    assert sorted(tidemill.__all__) == tidemill.__all__ == [
        "AllPartitions", "AssetContext", "AssetDefinition", "AssetSpec", "DailyPartitions", "DefinitionError", "Definitions",
        "Derives", "DimensionMapping", "Group", "HourlyPartitions", "IdentityMapping", "Input", "MonthlyPartitions", "MultiPartitions", "Output",
        "PartitionMapping", "PartitionsDefinition", "RetryPolicy", "StaticPartitions", "TidemillError", "TimeRollUp",
        "WeeklyPartitions", "Window", "YearlyPartitions", "asset", "external_asset", "load_definitions", "sql_asset",
    ]  # fmt: skip
    assert all(getattr(tidemill, name).__doc__ for name in tidemill.__all__)
