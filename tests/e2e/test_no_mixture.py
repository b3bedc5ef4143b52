"""Durable runs while the host and its workers are killed at random: whoever reads the store meanwhile never sees two runs at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.contract import stamper
from tests.e2e.app import FINAL, App
from tests.e2e.conftest import KIND
from tests.e2e.test_crashes import workers_of
from tidemill.catalog.verify import verify
from tidemill.storage import open_store
from tools.bootstrap import ROOT
from tools.stack import Azurite, Host, HostKind
from tools.stack.ports import choose

pytestmark = [pytest.mark.e2e, pytest.mark.proof, pytest.mark.timeout(1200)]

RUNS, KILLS = (int(os.environ.get(name, usual)) for name, usual in (("TIDEMILL_TEST_RUNS", "30"), ("TIDEMILL_TEST_KILLS", "15")))
ASSETS = """
import pyarrow as pa

from tidemill import AssetContext, StaticPartitions, asset

PARTS = StaticPartitions(["a", "b", "c", "d"])


@asset(key="stamps.first", partitions=PARTS, parameters={"stamp": 0})
def first(context: AssetContext) -> pa.Table:
    return pa.table({"stamp": [context.parameters["stamp"]]})


@asset(key="stamps.second", partitions=PARTS)
def second(stamps_first: pa.Table) -> pa.Table:
    return stamps_first


@asset(key="stamps.last")
def last(stamps_second: pa.Table) -> pa.Table:
    return stamps_second
"""


def start(app: App, stamp: int) -> str | None:
    """Asks for a run; None if the host died over it, though the run may be on record."""
    try:
        return app.start("stamps/*", key=f"stamp-{stamp}", parameters={"stamp": stamp})
    except (httpx.HTTPError, AssertionError):
        return None


def has_ended(app: App, run: str) -> bool:
    try:
        return app.http.get(f"/runs/{run}").json()["status"] in FINAL
    except (httpx.HTTPError, ValueError, KeyError):
        return False


@pytest.mark.skipif(KIND is not HostKind.DEVHOST, reason="finds the worker as a child process of the local host")
def test_a_reader_sees_one_durable_run_or_another_whatever_is_killed(azurite: Azurite, tmp_path: Path) -> None:
    pipeline = tmp_path / "pipelines" / "stamps"
    pipeline.mkdir(parents=True)
    (pipeline / "assets.py").write_text(ASSETS)
    container = "mixture"
    settings = {
        "TIDEMILL_PROJECT": str(tmp_path),
        "TIDEMILL_CONTAINER": container,
        "AzureFunctionsJobHost__extensions__durableTask__hubName": "Mixture",
    }
    stop = tmp_path / "stop"
    chance = random.Random(int(os.environ.get("TIDEMILL_TEST_SEED", "7")))
    command = [sys.executable, stamper.__file__, "read", azurite.connection_string, container, "1000", str(stop)]
    kills: Counter[str] = Counter()
    started = time.monotonic()
    hosts = 0
    runs: list[str] = []
    stamp = 0
    readers = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        while len(runs) < RUNS or kills.total() < KILLS:
            hosts += 1
            log = tmp_path / f"host-{hosts}.log"
            with (
                Host.start(connection_string=azurite.connection_string, log=log, kind=KIND, settings=settings, port=choose(0)) as host,
                App(host.url) as app,
            ):
                for _ in range(5):
                    stamp += 1
                    run = start(app, stamp)
                    if run is None:
                        continue
                    runs.append(run)
                    moment = time.monotonic() + chance.uniform(0.0, 1.5)
                    while time.monotonic() < moment and not has_ended(app, run):
                        time.sleep(0.02)
                    if chance.random() < 0.4:
                        for victim in workers_of(host.child.pid):
                            os.kill(victim, signal.SIGKILL)
                        kills["worker"] += 1
                kills["host"] += 1
                host.child.kill()
        with (
            Host.start(
                connection_string=azurite.connection_string, log=tmp_path / "last.log", kind=KIND, settings=settings, port=choose(0)
            ) as host,
            App(host.url) as app,
        ):
            views = [app.wait(run, seconds=120) for run in runs]
    finally:
        stop.touch()
        outputs = [reader.communicate(timeout=120)[0] for reader in readers]
    ended = Counter(view["error"]["code"] if view["error"] else view["status"] for view in views)
    assert set(ended) <= {"succeeded", "catalog-conflict"}, ended  # runs overlap: whoever comes second to a unit is refused
    assert [reader.returncode for reader in readers] == [0, 0], "a reader saw a mixture (above)"
    reports = [json.loads(output) for output in outputs]
    assert sum(each["stamps"] for each in reports) > 1
    assert verify(open_store(azurite.connection_string, container=container), rows=True).problem is None
    sys.stderr.write(
        f"\n{len(runs)} durable runs ({dict(ended)}), kills {dict(kills)}, {sum(each['views'] for each in reports):,} views by 2 readers, "
        f"{sum(each['stamps'] for each in reports)} stamps seen, no mixture, {time.monotonic() - started:.0f} s\n"
    )
