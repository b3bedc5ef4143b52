"""The pipeline as Tidemill sees it: the graph, the year applied on a local folder, and what changes when the source changes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipelines.flights import sources
from tidemill import load_definitions
from tidemill.errors import PlanError
from tidemill.execution.local import apply_local
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Materialization
from tidemill.model.keys import AssetKey
from tidemill.model.runs import RunRequest, RunResult

from .conftest import Year

ROOT = Path(sources.__file__).parents[2]
INSTALLED = sources.data_dir()


class Folder:
    """A local store and the runs on it, each by a runtime of its own, as if by a new process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = 0

    def apply(self) -> dict[str, int]:
        """Brings the whole pipeline up to date; how many units of each asset had to be made for it."""
        self.runs += 1
        result = self.run(f"run-{self.runs}")
        assert (result.status.value, result.failures) == ("succeeded", ())
        return {each.asset: each.succeeded for each in result.assets if each.succeeded}

    def run(self, run: str) -> RunResult:
        runtime = Runtime.local(ROOT, self.path)
        return apply_local(runtime, RunRequest(run_id=run, selection="flights/*", requested_at=datetime.now(UTC)), threads=2)

    def read(self, asset: str) -> dict[str, pa.Table]:
        """Partition to rows, read by pyarrow alone from the files that the catalog names."""
        catalog = Runtime.local(ROOT, self.path).catalog
        found = {}
        for partition, entry in catalog.view().entries(AssetKey(asset)).items():
            record = catalog.record(entry.record)
            assert isinstance(record, Materialization)
            files = [self.path / "objects" / file.sha256[:2] / file.sha256 for file in record.files]
            found[str(partition)] = pa.concat_tables([pq.read_table(file, page_checksum_verification=True) for file in files])
        return found

    def versions(self) -> dict[str, str]:
        return {str(unit): entry.data_version for unit, entry in Runtime.local(ROOT, self.path).catalog.view().all_entries().items()}


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, dict[str, int]]:
    folder = Folder(tmp_path_factory.mktemp("flights"))
    return folder, folder.apply()


def test_the_graph_is_a_medallion() -> None:
    assets = load_definitions(ROOT).assets
    inputs = {
        str(key): sorted(str(each.asset) for each in asset.inputs.values()) for key, asset in assets.items() if asset.pipeline == "flights"
    }
    assert inputs == {
        **{f"raw.{name}": [] for name in ("airlines", "airports", "flights", "planes", "weather")},
        "bronze.flights": ["raw.flights"],
        "silver.flights": ["bronze.flights", "raw.airports", "raw.planes", "raw.weather"],
        "gold.airport_delay": ["silver.flights"],
        "gold.carrier_month": ["silver.flights"],
        "gold.route_day": ["silver.flights"],
        "gold.delay_report": ["gold.airport_delay", "gold.carrier_month", "raw.airlines", "raw.airports"],
    }
    months = {
        str(key): asset.partitions.keys(datetime.now(UTC))
        for key, asset in assets.items()
        if asset.pipeline == "flights" and asset.partitions
    }
    assert set(months) == {"raw.flights", "bronze.flights", "silver.flights", "gold.airport_delay", "gold.carrier_month", "gold.route_day"}
    assert {tuple(keys) for keys in months.values()} == {sources.MONTHS}
    assert all(asset.description for asset in assets.values())


def test_the_year_is_made_and_equals_what_the_transforms_give(applied: tuple[Folder, dict[str, int]], year: Year) -> None:
    folder, made = applied
    monthly = ("bronze.flights", "silver.flights", "gold.airport_delay", "gold.carrier_month", "gold.route_day")
    assert made == dict.fromkeys(monthly, 12) | {"gold.delay_report": 1}
    expected = {
        "bronze.flights": year.bronze,
        "silver.flights": year.silver,
        "gold.carrier_month": year.carrier_month,
        "gold.airport_delay": year.airport_delay,
        "gold.route_day": year.route_day,
        "gold.delay_report": {"": year.report},
    }
    for asset, tables in expected.items():
        stored = folder.read(asset)
        assert list(stored) == list(tables)
        for partition, table in tables.items():
            assert stored[partition].equals(table), f"{asset}@{partition}"


def test_the_facts_hold_in_the_stored_files(applied: tuple[Folder, dict[str, int]]) -> None:
    bronze, silver = (pa.concat_tables(applied[0].read(f"{layer}.flights").values()) for layer in ("bronze", "silver"))
    assert (bronze.num_rows, silver.num_rows) == (336_776, 336_776)
    assert (bronze["dep_time"].null_count, silver["departed_at"].null_count, silver["arr_delay"].null_count) == (8_255, 8_255, 9_430)
    assert pc.sum(silver["distance"]).as_py() == 350_217_607
    assert (round(pc.mean(silver["dep_delay"]).as_py(), 4), round(pc.mean(silver["arr_delay"]).as_py(), 4)) == (12.6391, 6.8954)
    unknown = [pc.sum(pc.equal(silver[name], False)).as_py() for name in ("weather_known", "plane_known", "dest_known")]
    assert unknown == [1_556, 50_094, 7_602]


def with_source(text: Callable[[bytes], bytes], data: Callable[..., Path]) -> None:
    """Puts a changed flights file in place of the installed one."""
    with zipfile.ZipFile(INSTALLED / sources.FLIGHTS.name) as archive:
        original = archive.read("flights.csv")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("flights.csv", text(original))
    data(flights=packed.getvalue())


def test_the_same_flights_in_another_file_make_nothing(applied: tuple[Folder, dict[str, int]], data: Callable[..., Path]) -> None:
    with_source(lambda original: original.replace(b"\n", b"\r\n"), data)
    assert applied[0].apply() == {}


def test_late_rows_make_their_month_and_what_is_above_it(applied: tuple[Folder, dict[str, int]], data: Callable[..., Path]) -> None:
    folder = applied[0]
    before = folder.versions()
    late = b"".join(
        b"2013,5,31,%d,1200,5,1400,1355,5,UA,%d,N14228,EWR,IAH,200,1400,12,0,2013-05-31T16:00:00Z\n" % (1205, 9000 + n) for n in range(20)
    )
    with_source(lambda original: original + late, data)
    made = ("bronze.flights", "silver.flights", "gold.airport_delay", "gold.carrier_month", "gold.route_day", "gold.delay_report")
    assert folder.apply() == dict.fromkeys(made, 1)
    after = folder.versions()
    assert sorted(unit for unit in after if after[unit] != before[unit]) == sorted(
        [*(f"{asset}@2013-05" for asset in (*made[:-1], "raw.flights")), made[-1]]
    )
    assert folder.read("silver.flights")["2013-05"].num_rows == 28_796 + 20

    with_source(lambda original: original, data)
    assert folder.apply() == {}  # taken back: the plan finds every one of them by its fingerprint
    assert folder.versions() == before


def test_a_source_that_is_not_what_it_says_refuses_the_run_in_one_sentence(data: Callable[..., Path], tmp_path: Path) -> None:
    data(flights=b"not a zip")
    with pytest.raises(PlanError) as caught:
        Folder(tmp_path / "store").run("run-1")
    message = str(caught.value)
    assert "External asset `raw.flights@2013-" in message
    assert "is not a zip archive. It has to be one that holds `flights.csv`." in message
    assert "\n" not in message
