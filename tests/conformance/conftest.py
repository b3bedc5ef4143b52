"""The hosts that conformance tests speak to: one given by its address, or one of our own with an Azurite beside it.

`make conformance HOST_URL=http://…` (or the environment variable TIDEMILL_HOST_URL) names a host that serves `tests/conformance/app`; then
nothing is started here, and what needs control of the host's process or storage is skipped. HOST_KEY is the master or system key of a host
that asks for keys.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.target import Target
from tests.devhost.durable.rig import fresh_hub
from tests.devhost.shell.support import RunningHost, running

APP = Path(__file__).parent / "app"
GOLDEN = Path(__file__).parent / "golden"


def given_url() -> str | None:
    """The address of the host to test, when somebody else runs it."""
    url = os.environ.get("TIDEMILL_HOST_URL") or os.environ.get("HOST_URL")
    return url.rstrip("/") if url else None


def copy_of_app(folder: Path) -> Path:
    """The conformance app with the recorded one beside it, as they lie here."""
    (folder / "golden").mkdir()
    shutil.copy(GOLDEN / "function_app.py", folder / "golden")
    return Path(shutil.copytree(APP, folder / "app", ignore=shutil.ignore_patterns("counts", "__pycache__", ".*")))


def app_settings(storage: str) -> dict[str, str]:
    return {"AzureWebJobsStorage": storage, "CONFORMANCE_HUB": fresh_hub(), "SCENARIO_COUNTS": "counts"}


@pytest.fixture(scope="session")
def _own() -> None:
    if given_url():
        pytest.skip("needs control of the host process and its storage")


@pytest.fixture(scope="session")
def storage(_own: None, storage: str) -> str:
    """Storage for hosts of our own."""
    return storage


@pytest.fixture(scope="session")
def own_host(tmp_path_factory: pytest.TempPathFactory, storage: str) -> Iterator[RunningHost]:
    """Our own host with the conformance app; for what shows in its log or its process."""
    with running(copy_of_app(tmp_path_factory.mktemp("conformance")), settings=app_settings(storage)) as host:
        yield host


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """The host under test."""
    url = given_url()
    if url is None:
        return Target(f"http://127.0.0.1:{request.getfixturevalue('own_host').port}")
    target = Target(url, os.environ.get("HOST_KEY", "KEY"))
    reply = target.get("/api/conformance")
    if reply.status != 200 or reply.body != b'"tests/conformance/app"':
        pytest.skip(f"{url} does not serve tests/conformance/app (GET /api/conformance answers {reply.status})")
    return target
