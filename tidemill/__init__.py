"""Tidemill: pipelines of datasets, planned like infrastructure, run durably, remembered like source code.

These are the public names. What a project's `pipelines/` need is here and nowhere else.
"""

from __future__ import annotations

from tidemill.definitions.assets import AssetDefinition, AssetSpec, Input
from tidemill.definitions.collect import load_definitions
from tidemill.definitions.context import AssetContext, Output
from tidemill.definitions.decorators import asset, external_asset, sql_asset
from tidemill.definitions.definitions import Definitions
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
    "DimensionMapping",
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
