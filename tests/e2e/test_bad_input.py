"""Bad input gets one clear sentence, and nothing is lost: every case of a user's or an operator's mistake, against the running app."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.app import FINAL, App
from tests.e2e.conftest import KIND
from tools.stack import Azurite, Host, HostKind, StackError

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PROJECT = """
import os
import time

import pyarrow as pa

from tidemill import AssetContext, MonthlyPartitions, asset, external_asset

MONTHS = MonthlyPartitions(start="2025-01", end="2025-04")


@external_asset(key="raw.file")
def raw_file() -> pa.Table:
    with open(os.environ["BAD_INPUT_FILE"]) as file:
        return pa.table({"n": [int(line) for line in file]})


@asset(key="copy.file")
def copy_file(raw_file: pa.Table) -> pa.Table:
    return raw_file


@asset(key="bad.raises", partitions=MONTHS)
def raises(context: AssetContext) -> pa.Table:
    if context.partition_key == "2025-02":
        raise ValueError("February is not for sale")
    return pa.table({"n": [1]})


@asset(key="bad.after")
def after(bad_raises: pa.Table) -> pa.Table:
    return bad_raises


@asset(key="bad.type")
def wrong_type() -> pa.Table:
    return {"n": [1]}


@asset(key="bad.schema", schema=pa.schema({"n": pa.int64()}))
def wrong_schema() -> pa.Table:
    return pa.table({"n": ["one"]})


@asset(key="slow.units", partitions=MONTHS)
def slow(context: AssetContext) -> pa.Table:
    while not os.path.exists(os.environ["BAD_INPUT_FILE"] + ".open"):
        time.sleep(0.05)
    return pa.table({"n": [1]})


@asset(key="slow.after")
def slow_after(slow_units: pa.Table) -> pa.Table:
    return slow_units
"""


def problem(reply: Any, status: int, code: str) -> str:
    """The one sentence of a problem document; checks that it is one, and that no stack trace is in it."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"].startswith("application/problem+json")
    body = reply.json()
    assert body["code"] == code
    assert body["status"] == status
    assert body["hint"], body
    assert "Traceback" not in reply.text
    assert ".py" not in body["detail"]
    return str(body["detail"])


def test_an_unknown_asset_is_named_with_the_nearest_one(app: App) -> None:
    reply = app.http.post("/runs", json={"selection": "gold.carier_month"})
    assert problem(reply, 422, "asset-not-found") == "Asset `gold.carier_month` is not defined."
    assert reply.json()["hint"] == "Did you mean `gold.carrier_month`?"
    problem(app.http.get("/assets/gold.carier_month"), 404, "asset-not-found")


def test_a_partition_that_does_not_exist(app: App) -> None:
    problem(app.http.post("/runs", json={"selection": "bronze.flights", "partitions": "2014-01"}), 422, "partition-not-found")
    problem(app.http.get("/assets/bronze.flights/data", params={"partition": "2014-01"}), 404, "partition-not-found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid-json"),
        (b"\xff\xfe", 400, "invalid-json"),
        (b"[]", 422, "invalid-body"),
        (b'{"selection": 5}', 422, "invalid-body"),
        (b'{"selection": "flights/*", "partitionz": "x"}', 422, "invalid-body"),
        (b"{}", 422, "invalid-body"),
        (b'{"selection": "flights/* and ("}', 422, "invalid-selection"),
    ],
)
def test_a_body_that_cannot_be_used(app: App, body: bytes, status: int, code: str) -> None:
    problem(app.http.post("/runs", content=body, headers={"Content-Type": "application/json"}), status, code)


def test_a_body_that_is_too_large(app: App) -> None:
    problem(app.http.post("/runs", content=b'{"selection": "' + b"x" * 1_200_000 + b'"}'), 413, "body-too-large")


def test_a_wrong_method_and_a_wrong_path(app: App) -> None:
    reply = app.http.delete("/runs")
    problem(reply, 405, "method-not-allowed")
    assert "POST" in reply.headers["allow"]
    problem(app.http.get("/rums"), 404, "route-not-found")


@pytest.mark.parametrize("run", ["20990101t000000-00000000", "..%2F..%2Fetc", "x%3Fy=1", "%00", "UPPER", "x" * 300])
def test_an_unknown_run_whatever_its_spelling(app: App, run: str) -> None:
    for reply in (app.http.get(f"/runs/{run}"), app.http.post(f"/runs/{run}/cancel")):
        assert reply.status_code in (400, 404, 422)
        assert "Traceback" not in reply.text


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of bad pipelines beside the app."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "pipelines" / "bad").mkdir(parents=True)
    (folder / "pipelines" / "bad" / "assets.py").write_text(PROJECT)
    (folder / "numbers.txt").write_text("1\n2\n")
    return folder


@pytest.fixture(scope="module")
def bad(azurite: Azurite, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The same app over the bad project, in a hub and a container of its own."""
    settings = {
        "TIDEMILL_PROJECT": str(project),
        "TIDEMILL_CONTAINER": "bad-input",
        "AzureFunctionsJobHost__extensions__durableTask__hubName": "BadInput",
        "BAD_INPUT_FILE": str(project / "numbers.txt"),
    }
    log = tmp_path_factory.mktemp("bad") / "host.log"
    with Host.start(connection_string=azurite.connection_string, log=log, kind=KIND, settings=settings) as host, App(host.url) as running:
        yield running


def test_a_transform_that_raises_is_told_with_its_place_and_its_readers_are_skipped(bad: App) -> None:
    view = bad.run("bad.raises or bad.after")
    assert view["status"] == "failed"
    (failure,) = view["failures"]
    assert (failure["asset"], failure["partition"]) == ("bad.raises", "2025-02")
    assert failure["error"]["code"] == "user-code-failed"
    expected = "`bad.raises@2025-02` raised ValueError at pipelines/bad/assets.py:26 in `raises`: February is not for sale"
    assert failure["error"]["message"] == expected
    assert view["units"]["skipped"] == 1
    assert view["commit"] == 0
    assert view["error"]["message"] == "1 unit failed, so nothing was published: a run is published whole or not at all."


def test_a_wrong_type_and_a_wrong_schema(bad: App) -> None:
    view = bad.run("bad.type or bad.schema")
    messages = {failure["asset"]: failure["error"]["message"] for failure in view["failures"]}
    assert messages == {
        "bad.type": "`bad.type` returned dict, but an asset returns a pyarrow.Table.",
        "bad.schema": "`bad.schema` returned another schema than `bad.schema` declares: `n` is string instead of int64.",
    }


def test_a_source_that_is_missing_or_not_what_it_says(bad: App, project: Path) -> None:
    source = project / "numbers.txt"
    good = source.read_text()
    source.rename(project / "away.txt")
    view = bad.run("copy.file")
    assert (view["status"], view["error"]["code"]) == ("failed", "source-unavailable")
    assert view["error"]["message"].startswith("External asset `raw.file` could not be loaded: [Errno 2] No such file or directory")
    source.write_text("not a number\n")
    view = bad.run("copy.file")
    assert "invalid literal for int()" in view["error"]["message"]
    source.write_text(good)
    assert bad.run("copy.file")["status"] == "succeeded"


def test_cancelling_a_run_publishes_nothing_and_what_is_done_is_kept(bad: App, project: Path) -> None:
    run = bad.start("slow.units or slow.after")
    bad.wait(run, until=frozenset({"running"}))
    reply = bad.http.post(f"/runs/{run}/cancel", json={"author": "ada", "reason": "wrong month"})
    assert reply.status_code == 202, reply.text
    (project / "numbers.txt.open").touch()  # until now none of its units could end
    view = bad.wait(run)
    assert view["status"] == "canceled"
    assert "wrong month" in view["error"]["message"]
    assert view["commit"] == 0
    assert bad.http.post(f"/runs/{run}/cancel").status_code in (202, 409)
    again = bad.run("slow.units or slow.after")
    assert again["status"] == "succeeded"


def test_broken_definitions_are_told_all_at_once_and_the_app_stays_up(azurite: Azurite, logs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken" / "pipelines" / "p"
    folder.mkdir(parents=True)
    (folder / "one.py").write_text("from tidemill import asset\n\n\n@asset(key='a.b')\ndef f(no_such):\n    return no_such\n")
    (folder / "two.py").write_text("import nowhere_to_be_found\n")
    settings = {"TIDEMILL_PROJECT": str(tmp_path / "broken"), "TIDEMILL_CONTAINER": "broken"}
    settings["AzureFunctionsJobHost__extensions__durableTask__hubName"] = "Broken"
    log = logs / "host.log"
    with (
        Host.start(connection_string=azurite.connection_string, log=log, kind=KIND, settings=settings, health=None) as host,
        App(host.url) as app,
    ):
        deadline = time.monotonic() + 30
        while (health := app.http.get("/health")).status_code == 404 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert health.status_code == 503
        reply = app.http.post("/runs", json={"selection": "*"})
        assert reply.json()["code"] == "invalid-definitions"
        problems = reply.json()["problems"]
        assert [each["place"] for each in problems] == ["pipelines/p/one.py:4", "pipelines/p/two.py:1"]


@pytest.mark.skipif(KIND is not HostKind.DEVHOST, reason="how a host reports its own start is the host's business")
class TestOperations:
    """What an operator can get wrong with the local host."""

    def test_a_port_that_is_taken(self, app: App, azurite: Azurite, logs: Path) -> None:
        port = int(app.url.rsplit(":", 1)[1])
        with pytest.raises(StackError, match=f"Port {port} is taken"):
            Host.start(connection_string=azurite.connection_string, log=logs / "host.log", port=port)

    def test_storage_that_is_down_at_the_start(self, logs: Path) -> None:
        nowhere = (
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/"
            "K1SZFPTOtr/KBHBeksoGMGw==;BlobEndpoint=http://127.0.0.1:9/devstoreaccount1;QueueEndpoint=http://127.0.0.1:9/devstoreaccount1;"
            "TableEndpoint=http://127.0.0.1:9/devstoreaccount1;"
        )
        with pytest.raises(StackError) as refused:
            Host.start(connection_string=nowhere, log=logs / "host.log")
        assert "Traceback" not in str(refused.value)
        assert "127.0.0.1:9" in str(refused.value)

    def test_a_second_host_on_the_same_hub(self, app: App, azurite: Azurite, logs: Path) -> None:
        with pytest.raises(StackError) as refused:
            Host.start(connection_string=azurite.connection_string, log=logs / "host.log")
        assert "Traceback" not in str(refused.value)
        assert "hub" in str(refused.value)
        assert app.http.get("/health").status_code == 200

    def test_azurite_that_dies_in_the_middle_is_told_and_the_run_goes_on_when_it_is_back(self, logs: Path, tmp_path: Path) -> None:
        data = tmp_path / "data"
        with Azurite.start(log=logs / "azurite-1.log", location=data) as azurite:
            ports = (azurite.endpoints.blob, azurite.endpoints.queue, azurite.endpoints.table)
            with Host.start(connection_string=azurite.connection_string, log=logs / "host.log") as host, App(host.url) as app:
                run = app.start("flights/*")
                assert app.wait(run, until=FINAL | {"running"})["status"] == "running"
                azurite.stop()
                down = app.http.get("/health")
                assert down.status_code == 503
                problem(app.http.post("/runs", json={"selection": "flights/*"}), 503, "store-unavailable")
                with Azurite.start(log=logs / "azurite-2.log", location=data, ports=ports):
                    view = app.wait(run, seconds=120)
                    assert view["status"] == "succeeded", view
