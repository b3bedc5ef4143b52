"""Every store there is, behind one fixture: memory, a folder, and Azurite."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from tidemill.storage import BlobStore, open_store
from tidemill.storage.local import LocalStore
from tidemill.storage.memory import MemoryStore
from tools.stack import StackError


@pytest.fixture(scope="session")
def azurite(request: pytest.FixtureRequest) -> str:
    """A connection string. TIDEMILL_TEST_AZURITE names one that runs already."""
    given = os.environ.get("TIDEMILL_TEST_AZURITE")
    try:
        return given or str(request.getfixturevalue("storage"))
    except StackError as error:
        pytest.skip(f"Azurite did not start: {error} (`make setup` installs it)")


@pytest.fixture(params=["memory", "folder", "azurite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        return LocalStore(tmp_path / "store")
    return open_store(request.getfixturevalue("azurite"), container=f"test-{uuid.uuid4().hex}")


@pytest.fixture(params=["folder", "azurite"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Address and container of an empty store that other processes can open too."""
    if request.param == "folder":
        return str(tmp_path / "store"), "unused"
    return request.getfixturevalue("azurite"), f"test-{uuid.uuid4().hex}"
