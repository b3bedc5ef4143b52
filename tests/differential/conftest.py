"""Both engines, each started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.on_devhost import DevhostEngine, devhost_engine
from tests.differential.on_durabletask import DurableTaskEngine, durabletask_engine


@pytest.fixture(scope="package")
def ours(storage: str) -> Iterator[DevhostEngine]:
    """The SDK on our engine."""
    with devhost_engine(storage) as engine:
        yield engine


@pytest.fixture(scope="package")
def theirs() -> Iterator[DurableTaskEngine]:
    """durabletask on its engine in memory."""
    with durabletask_engine() as engine:
        yield engine
