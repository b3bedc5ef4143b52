"""Tidemill: pipelines of datasets, planned like infrastructure, run durably, remembered like source code.

These are the public names. What a project's `pipelines/` need is here and nowhere else. Each is imported when it is first used: the command line
lives in this package too, and need not wait for Arrow and DuckDB to say how it is called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.definitions.assets import AssetDefinition, AssetSpec, Input
    from tidemill.definitions.collect import load_definitions
    from tidemill.definitions.columns import Derives
    from tidemill.definitions.context import AssetContext, Output
    from tidemill.definitions.decorators import asset, external_asset, sql_asset
    from tidemill.definitions.definitions import Definitions
    from tidemill.definitions.groups import Group
    from tidemill.definitions.mappings import AllPartitions, DimensionMapping, IdentityMapping, PartitionMapping, TimeRollUp
    from tidemill.definitions.partitions import (
        DailyPartitions,
        HourlyPartitions,
        MonthlyPartitions,
        MultiPartitions,
        PartitionsDefinition,
        StaticPartitions,
        WeeklyPartitions,
        Window,
        YearlyPartitions,
    )
    from tidemill.definitions.policies import RetryPolicy
    from tidemill.errors import DefinitionError, TidemillError

__all__ = [
    "AllPartitions",
    "AssetContext",
    "AssetDefinition",
    "AssetSpec",
    "DailyPartitions",
    "DefinitionError",
    "Definitions",
    "Derives",
    "DimensionMapping",
    "Group",
    "HourlyPartitions",
    "IdentityMapping",
    "Input",
    "MonthlyPartitions",
    "MultiPartitions",
    "Output",
    "PartitionMapping",
    "PartitionsDefinition",
    "RetryPolicy",
    "StaticPartitions",
    "TidemillError",
    "TimeRollUp",
    "WeeklyPartitions",
    "Window",
    "YearlyPartitions",
    "asset",
    "external_asset",
    "load_definitions",
    "sql_asset",
]

_HOMES = {
    "AllPartitions": "tidemill.definitions.mappings",
    "AssetContext": "tidemill.definitions.context",
    "AssetDefinition": "tidemill.definitions.assets",
    "AssetSpec": "tidemill.definitions.assets",
    "DailyPartitions": "tidemill.definitions.partitions",
    "DefinitionError": "tidemill.errors",
    "Definitions": "tidemill.definitions.definitions",
    "Derives": "tidemill.definitions.columns",
    "DimensionMapping": "tidemill.definitions.mappings",
    "Group": "tidemill.definitions.groups",
    "HourlyPartitions": "tidemill.definitions.partitions",
    "IdentityMapping": "tidemill.definitions.mappings",
    "Input": "tidemill.definitions.assets",
    "MonthlyPartitions": "tidemill.definitions.partitions",
    "MultiPartitions": "tidemill.definitions.partitions",
    "Output": "tidemill.definitions.context",
    "PartitionMapping": "tidemill.definitions.mappings",
    "PartitionsDefinition": "tidemill.definitions.partitions",
    "RetryPolicy": "tidemill.definitions.policies",
    "StaticPartitions": "tidemill.definitions.partitions",
    "TidemillError": "tidemill.errors",
    "TimeRollUp": "tidemill.definitions.mappings",
    "WeeklyPartitions": "tidemill.definitions.partitions",
    "Window": "tidemill.definitions.partitions",
    "YearlyPartitions": "tidemill.definitions.partitions",
    "asset": "tidemill.definitions.decorators",
    "external_asset": "tidemill.definitions.decorators",
    "load_definitions": "tidemill.definitions.collect",
    "sql_asset": "tidemill.definitions.decorators",
}


def __getattr__(name: str) -> Any:
    """A public name, from the module it lives in."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
