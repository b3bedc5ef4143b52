"""Azurite for the hosts that conformance tests start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.stack.azurite import Azurite


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of an Azurite that keeps everything in memory."""
    with Azurite.start(log=tmp_path_factory.mktemp("azurite") / "log.txt") as azurite:
        yield azurite.connection_string
