"""What every test shares: the app's own settings that change how the Durable SDK behaves, a terminal of one width, quick collections, and how much
Hypothesis tries."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tools.stack.azurite import Azurite

os.environ.setdefault("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")  # as in local.settings.json: plain JSON only
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"  # durabletask's engine has threads here; else they may abort a child that a test starts
os.environ["COLUMNS"] = "200"  # pictures of the command line break at the width of the terminal

DEPTH = 20 if os.environ.get("TIDEMILL_TEST_FULL") else 1

# How long an example takes says more about what else the machine does than about us.
settings.register_profile("tidemill", max_examples=50 * DEPTH, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidemill")


def pytest_collection_finish() -> None:
    """Every run of Tidemill ends with a whole garbage collection, which need not look at thousands of tests and their modules."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The connection string of an Azurite that keeps everything in memory. It is everybody's: whatever a test makes there has a name of its own."""
    with Azurite.start(log=tmp_path_factory.mktemp("azurite") / "log.txt") as azurite:
        yield azurite.connection_string
