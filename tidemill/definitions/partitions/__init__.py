"""Partitions: which slices an asset has, in order, and what each one covers. One kind of definition per module."""

from __future__ import annotations

from tidemill.definitions.partitions.base import PartitionsDefinition, Window, partition_keys
from tidemill.definitions.partitions.multi import MultiPartitions
from tidemill.definitions.partitions.static import StaticPartitions
from tidemill.definitions.partitions.time import (
    DailyPartitions,
    HourlyPartitions,
    MonthlyPartitions,
    TimePartitions,
    WeeklyPartitions,
    YearlyPartitions,
)

__all__ = [
    "DailyPartitions",
    "HourlyPartitions",
    "MonthlyPartitions",
    "MultiPartitions",
    "PartitionsDefinition",
    "StaticPartitions",
    "TimePartitions",
    "WeeklyPartitions",
    "Window",
    "YearlyPartitions",
    "partition_keys",
]
