"""A real Azurite and a real host for the end-to-end tests; nothing in the way is replaced.

`TIDEMILL_E2E_HOST=func` runs the same tests on Microsoft's host, where it is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.app import App
from tools.stack import Azurite, Host, HostKind

KIND = HostKind(os.environ.get("TIDEMILL_E2E_HOST", "devhost"))


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Azurite in memory, for all tests that do not harm it."""
    with Azurite.start(log=tmp_path_factory.mktemp("azurite") / "azurite.log") as running:
        yield running


@pytest.fixture(scope="session")
def app(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app of this checkout."""
    log = tmp_path_factory.mktemp("host") / "host.log"
    with Host.start(connection_string=azurite.connection_string, log=log, kind=KIND) as host, App(host.url) as running:
        yield running


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder for the logs of what a test starts itself."""
    return tmp_path
