"""The main job on the durable path: the facts of the year by asking the running API, by reading the stored Parquet, and the same versions in process."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import ContainerClient

from tests.e2e.app import App
from tests.e2e.conftest import KIND
from tests.unit.lineage.backend import backend
from tests.unit.lineage.openlineage_schemas import faults
from tools.stack import Azurite, Host

ROOT = Path(__file__).resolve().parents[2]
MADE = ("bronze.flights", "silver.flights", "gold.carrier_month", "gold.route_day", "gold.airport_delay", "gold.delay_report")
OBSERVED = ("raw.flights", "raw.weather", "raw.planes", "raw.airports", "raw.airlines")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def lineage() -> Iterator[tuple[str, list[Any]]]:
    """A lineage backend, and the events that it has taken."""
    with backend(key="lineage-key") as running:
        yield running


@pytest.fixture(scope="module")
def app(azurite: Azurite, lineage: tuple[str, list[Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app on a catalog and a hub of its own, which nobody has used before; its runs are told to the lineage backend."""
    settings = {
        "TIDEMILL_CONTAINER": "main-job",
        "AzureFunctionsJobHost__extensions__durableTask__hubName": "MainJob",
        "OPENLINEAGE_URL": lineage[0].removesuffix("/api/v1/lineage"),
        "OPENLINEAGE_API_KEY": "lineage-key",
    }
    log = tmp_path_factory.mktemp("main-job") / "host.log"
    with Host.start(connection_string=azurite.connection_string, log=log, kind=KIND, settings=settings) as host, App(host.url) as running:
        yield running


@pytest.fixture(scope="module")
def run(app: App) -> dict[str, Any]:
    """The year through all assets, once for this module."""
    return app.run("flights/*", author="ada", reason="the year")


@pytest.fixture(scope="module")
def silver(app: App, run: dict[str, Any]) -> pa.Table:
    """Silver, as the API hands it out in Parquet."""
    assert run["status"] == "succeeded", run
    months = []
    for month in range(1, 13):
        reply = app.http.get(
            "/assets/silver.flights/data", params={"partition": f"2013-{month:02d}"}, headers={"Accept": "application/vnd.apache.parquet"}
        )
        assert reply.status_code == 200, reply.text
        months.append(pq.read_table(io.BytesIO(reply.content)))
    return pa.concat_tables(months)


def test_every_unit_is_made_and_published_in_one_commit(run: dict[str, Any]) -> None:
    assert run["status"] == "succeeded"
    assert run["commit"] == 1
    assert run["failures"] == []
    assert (run["units"]["total"], run["units"]["succeeded"]) == (61, 61)
    assert run["changed"] == 61 + 16  # and twelve months and four whole sources observed


def test_bronze_and_silver_hold_every_flight(run: dict[str, Any]) -> None:
    rows = {each["asset"]: each["row_count"] for each in run["assets"]}
    assert (rows["bronze.flights"], rows["silver.flights"]) == (336_776, 336_776)


def test_the_facts_of_the_year_hold(silver: pa.Table) -> None:
    assert silver.num_rows == 336_776
    assert silver["departed_at"].null_count == 8_255
    assert pc.sum(silver["cancelled"]).as_py() == 8_255
    assert silver["arr_delay"].null_count == 9_430
    assert pc.sum(silver["distance"]).as_py() == 350_217_607
    assert round(pc.mean(silver["dep_delay"]).as_py(), 4) == 12.6391
    assert round(pc.mean(silver["arr_delay"]).as_py(), 4) == 6.8954
    assert pc.sum(pc.invert(silver["weather_known"])).as_py() == 1_556
    assert pc.sum(pc.invert(silver["plane_known"])).as_py() == 50_094
    unknown = silver.filter(pc.invert(silver["dest_known"]))
    assert unknown.num_rows == 7_602
    assert sorted(set(unknown["dest"].to_pylist())) == ["BQN", "PSE", "SJU", "STT"]


def test_the_stored_parquet_says_the_same_to_plain_pyarrow(azurite: Azurite, run: dict[str, Any]) -> None:
    """No Tidemill code: follow the log, the snapshot's tree is ours to know, so find the files by the records that name them."""
    assert run["status"] == "succeeded"
    rows = distance = 0
    with ContainerClient.from_connection_string(azurite.connection_string, "main-job") as container:
        records: list[dict[str, Any]] = []
        for name in container.list_blob_names(name_starts_with="objects/"):
            data = container.download_blob(name).readall()
            if data.startswith(b'{"asset":"bronze.flights"'):
                records.append(json.loads(data))
        for record in records:
            if record["type"] != "materialization/1":
                continue
            for file in record["files"]:
                data = container.download_blob(f"objects/{file['sha256'][:2]}/{file['sha256']}").readall()
                table = pq.read_table(io.BytesIO(data), page_checksum_verification=True)
                rows += table.num_rows
                distance += pc.sum(table["distance"]).as_py()
    assert (rows, distance) == (336_776, 350_217_607)


def test_the_run_has_told_the_lineage_backend_what_can_be_exported_of_it(
    app: App, lineage: tuple[str, list[Any]], run: dict[str, Any]
) -> None:
    exported = app.http.get(f"/runs/{run['run_id']}/events", params={"limit": 1000}).json()["events"]
    deadline = time.monotonic() + 60
    while exported[-1] not in lineage[1]:  # they are sent beside the run
        assert time.monotonic() < deadline, f"{len(lineage[1])} of {len(exported)} events arrived"
        time.sleep(0.1)
    assert len(exported) == 2 * (61 + 1)
    told = {json.dumps(event, sort_keys=True) for event in lineage[1]}
    assert told >= {json.dumps(event, sort_keys=True) for event in exported}
    assert [fault for event in exported for fault in faults(event)] == []


def test_a_second_run_starts_no_unit_and_commits_nothing(app: App, run: dict[str, Any]) -> None:
    again = app.run("flights/*")
    assert again["status"] == "succeeded"
    assert again["units"]["up_to_date"] == 61
    assert (again["commit"], again["changed"]) == (run["commit"], 0)


def test_the_in_process_executor_makes_the_same_versions_without_azure_or_node(app: App, run: dict[str, Any], tmp_path: Path) -> None:
    assert run["status"] == "succeeded"
    durable = app.versions(*MADE, *OBSERVED)
    program = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("azure", "obstore", "aiohttp", "devhost"):
            raise ImportError(f"{{name}} is an Azure package")
sys.meta_path.insert(0, Refuse())
from tidemill.cli.main import main
sys.argv = ["tidemill", "apply", "--local", "--store", {str(tmp_path / "store")!r}, "flights/*", "--json"]
main()
"""
    environment = {"PATH": "", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    from tidemill.catalog.catalog import Catalog
    from tidemill.storage.local import LocalStore

    entries = Catalog(LocalStore(tmp_path / "store")).view().all_entries()
    assert {f"{unit.asset}@{unit.partition}": entry.data_version for unit, entry in entries.items()} == durable


def test_the_report_answers_the_question_in_one_call(app: App, run: dict[str, Any]) -> None:
    assert run["status"] == "succeeded"
    reply = app.http.get("/assets/gold.delay_report/data", params={"limit": 1}).json()
    assert reply["rows"][0]["scope"] == "all"
    assert round(reply["rows"][0]["mean_dep_delay"], 4) == 12.6391
    assert round(reply["rows"][0]["mean_arr_delay"], 4) == 6.8954


def test_an_idempotency_key_starts_one_run(app: App) -> None:
    first = app.start("gold.delay_report", key="monday")
    assert app.start("gold.delay_report", key="monday") == first
    other = app.http.post("/runs", json={"selection": "gold.route_day"}, headers={"Idempotency-Key": "monday"})
    assert other.status_code == 409
    app.wait(first)


def test_status_urls_are_our_own_and_no_reply_leaks_a_management_capability(app: App, run: dict[str, Any]) -> None:
    started = app.http.post("/runs", json={"selection": "gold.delay_report"})
    texts = [started.text, str(dict(started.headers))]
    texts += [app.http.get(path).text for path in ("/runs", f"/runs/{run['run_id']}", "/assets", "/graph", "/health")]
    assert started.headers["location"] == started.json()["statusQueryGetUri"] == f"{app.url}/api/runs/{started.json()['run_id']}"
    for text in texts:
        for secret in ("runtime/webhooks", "code=", "sig=", "rpcBaseUrl", "AccountKey"):
            assert secret not in text
    app.wait(started.json()["run_id"])


def test_the_command_line_follows_a_run_and_shows_its_result(app: App, run: dict[str, Any]) -> None:
    assert run["status"] == "succeeded"
    environment = {**os.environ, "TIDEMILL_URL": app.url, "COLUMNS": "120"}
    command = [sys.executable, "-c", "from tidemill.cli.main import main; main()"]

    def cli(*words: str) -> str:
        done = subprocess.run([*command, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "succeeded" in cli("run", "flights/*")
    assert run["run_id"] in cli("status")
    assert "silver.flights" in cli("assets")
    assert "mean_dep_delay" in cli("show", "gold.delay_report", "--limit", "3", "--json")
