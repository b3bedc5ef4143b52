"""What is done to get something to picture: the main job over a small year and its changes, and a shop with a tree worth looking at."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tidemill.catalog.catalog import Catalog
from tidemill.cli.exits import MISTAKE
from tidemill.model.facts import Materialization
from tidemill.storage.local import LocalStore
from tools.pictures.chain import chain_picture
from tools.pictures.grid import Panel, grid_picture
from tools.pictures.screens import picture
from tools.pictures.shell import Screen, Shell
from tools.pictures.tree import tree_picture
from tools.project_copy import ProjectCopy

_LAYERS = ("bronze", "silver", "gold")
_STORE = Path(".tidemill") / "local"

_SHOP = """
import datetime

import pyarrow as pa

from tidemill import AssetContext, DailyPartitions, asset, external_asset

DAYS = DailyPartitions(start="2025-01-01", end="2026-03-02")


@external_asset(key="shop.receipts", partitions=DAYS)
def receipts(context: AssetContext) -> pa.Table:
    day = datetime.date.fromisoformat(context.partition_key)
    return pa.table({"cups": [day.toordinal() % 97 + (LATE if context.partition_key == "2025-11-21" else 0)]})


@asset(key="shop.total", code_version="1")
def total(shop_receipts: pa.Table) -> pa.Table:
    return shop_receipts.group_by([]).aggregate([("cups", "sum")])
"""


def draw_all() -> Mapping[str, str]:
    """Every picture: SVG text by file name."""
    with tempfile.TemporaryDirectory() as folder:
        return {**_main_job(Path(folder) / "main-job"), **_shop(Path(folder) / "shop")}


def _shop(folder: Path) -> dict[str, str]:
    """Two years of receipts in one catalog; then one day changes."""
    module = folder / "pipelines" / "shop" / "assets.py"
    module.parent.mkdir(parents=True)
    shell = Shell(folder, {})
    for late in (0, 5):
        module.write_text(f"LATE = {late}\n{_SHOP}", encoding="utf-8")
        shell.run("tidemill apply 'shop/*' --local")
    return {"tree.svg": tree_picture(Catalog(LocalStore(folder / _STORE)), 1, 2)}


class _MainJob:
    """The main job, run after run, and what each did to its units."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.project = ProjectCopy(folder)
        self.shell = Shell(self.project.app, self.project.settings)
        self.panels: list[Panel] = []

    @property
    def catalog(self) -> Catalog:
        """As it is now."""
        return Catalog(LocalStore(self.project.app / _STORE))

    def apply(self, title: str, selection: str = "'flights/*'", options: str = "", *, plan: str = "", reason: str = "") -> Screen:
        """Carries out a selection, or a saved plan of it, and remembers what became of each unit of the whole job."""
        asked = f"{selection} {options}".strip()
        before = self._materializations()
        waited = {_unit(each) for each in self.shell.ask(f"tidemill plan {asked}")["units"] if each["action"] == "wait"}
        screen = self.shell.run(f"tidemill apply {plan or asked} --local" + (f" --reason '{reason}'" if reason else ""))
        after = self._materializations()
        computed = frozenset(unit for unit, record in after.items() if before.get(unit) != record)
        rows: dict[str, list[str]] = {}
        for unit in after:
            rows.setdefault(unit.partition("@")[0], []).append(unit)
        ordered = sorted(rows.items(), key=lambda row: _LAYERS.index(row[0].partition(".")[0]))
        self.panels.append(Panel(title, ordered, computed, frozenset(waited) - computed))
        return screen

    def _materializations(self) -> dict[str, str]:
        """The record of every unit that the job has made."""
        catalog = self.catalog
        entries = catalog.view().all_entries().items()
        return {str(unit): entry.record for unit, entry in entries if isinstance(catalog.record(entry.record), Materialization)}


def _unit(row: Mapping[str, str]) -> str:
    return f"{row['asset']}@{row['partition']}".removesuffix("@")


def _main_job(folder: Path) -> dict[str, str]:
    job = _MainJob(folder)
    project, shell = job.project, job.shell
    shell.run("tidemill apply 'flights/*' --local --reason 'the year'")
    screens: dict[str, Screen] = {}
    project.deliver(compression=zipfile.ZIP_STORED)
    job.apply("the same files, written anew")
    project.edit(
        "transforms/silver.py", "    cancelled = pc.is_null(flights", "    # No departure, no flight.\n    cancelled = pc.is_null(flights"
    )
    job.apply("a comment, other white space")
    job.apply("bronze of March made again", "bronze.flights", options="--partitions 2013-03 --rerun")
    project.deliver_in_another_order(4)
    job.apply("April in another order")
    project.deliver_late(5, 20)
    screens["plan"] = shell.run("tidemill plan 'flights/*' --save")
    plan = shell.ask("tidemill plan 'flights/*'")["plan"]
    screens["why-not"] = shell.run("tidemill why-not silver.flights@2013-05 --local")
    project.deliver_late(5, 1)
    screens["apply"] = shell.run(f"tidemill apply {plan[:12]} --local", code=MISTAKE)
    project.take_back(1)
    screens["apply"] += job.apply("20 late rows in May", plan=plan[:12], reason="late rows of May")
    screens["why"] = shell.run("tidemill why gold.carrier_month@2013-05 --local")
    project.edit(
        "sql/carrier_month.sql", "count(*) filter (arr_delay < 15) as on_time", "count(case when arr_delay < 15 then 1 end) as on_time"
    )
    screens["why-not"] += shell.run("tidemill why-not gold.carrier_month@2013-05 --local")
    job.apply("carrier_month's query, written otherwise")
    screens["what-if"] = shell.run("tidemill what-if --drop silver.flights:arr_delay --partitions 2013-05 --local")
    screens["fingerprint"] = shell.run("tidemill fingerprint gold.carrier_month")
    screens |= _branches(job)
    pictures = {f"{name}.svg": picture(screen, name) for name, screen in screens.items()}
    return pictures | {"changes.svg": grid_picture(job.panels), "branches.svg": chain_picture(job.catalog, ["main", "trial"], latest=6)}


def _branches(job: _MainJob) -> dict[str, Screen]:
    """Another rule is tried on a branch, merged, and taken back."""
    project, shell = job.project, job.shell
    made = shell.run("tidemill branch create trial --local --reason 'on time up to 30'")
    project.edit("sql/carrier_month.sql", "arr_delay < 15", "arr_delay < 30")
    shell.run("tidemill apply 'flights/*' --local --branch trial --reason 'on time up to 30'")
    compared = shell.run("tidemill branch diff trial --local --limit 5")
    merged = shell.run("tidemill branch merge trial --local --reason 'agreed on Monday'")
    before = shell.ask("tidemill history --local --limit 2")["entries"][1]["number"]
    back = shell.run(f"tidemill rollback {before} --local --reason 'not agreed'")
    return {
        "branch": made + compared + merged,
        "history": back + shell.run("tidemill history --local"),
        "verify": shell.run("tidemill verify"),
    }
