"""Loading a project's folder: what is found, and every way a module can fail, each with its file and line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tidemill import DefinitionError, Definitions, load_definitions
from tidemill.model.keys import AssetKey

BRONZE = """
import pyarrow as pa
from tidemill import MonthlyPartitions, asset, external_asset
from .helpers import first

MONTHS = MonthlyPartitions("2013-01", "2014-01")


@external_asset(key="raw.flights", partitions=MONTHS)
def raw_flights(context):
    return pa.table({"month": [context.partition_key]})


@asset(key="bronze.flights", partitions=MONTHS)
def bronze_flights(raw_flights):
    return first(raw_flights)
"""
HELPERS = """
def first(table):
    return table.slice(0, 1)
"""


class Project:
    """A project in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        file = self.root / "pipelines" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def load(self) -> Definitions:
        return load_definitions(self.root)

    def problems(self) -> list[str]:
        with pytest.raises(DefinitionError) as caught:
            self.load()
        assert "Traceback" not in str(caught.value)
        assert str(self.root) not in str(caught.value)
        return [f"{problem.place}: {problem}" for problem in caught.value.problems]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    built = Project(tmp_path)
    built.write("flights/bronze.py", BRONZE)
    built.write("flights/helpers.py", HELPERS)
    return built


def test_every_module_of_every_pipeline_is_loaded(project: Project) -> None:
    project.write("weather/__init__.py", "")
    project.write("weather/deep/down.py", "from tidemill import asset\n@asset\ndef weather(bronze_flights): ...\n")
    assets = project.load().assets
    assert {key: (each.pipeline, each.place) for key, each in assets.items()} == {
        "bronze.flights": ("flights", "pipelines/flights/bronze.py:14"),
        "raw.flights": ("flights", "pipelines/flights/bronze.py:9"),
        "weather": ("weather", "pipelines/weather/deep/down.py:2"),
    }


def test_the_project_need_not_be_the_working_directory_and_leaves_no_trace(project: Project) -> None:
    path, finders = list(sys.path), list(sys.meta_path)
    project.load()
    assert (sys.path, sys.meta_path) == (path, finders)
    assert not list(project.root.rglob("__pycache__"))


def test_every_load_sees_the_files_as_they_are_now(project: Project) -> None:
    first = project.load().assets[AssetKey("bronze.flights")]
    project.write("flights/helpers.py", HELPERS.replace("0, 1", "0, 2"))
    second = project.load().assets[AssetKey("bronze.flights")]
    assert [len(each(raw_flights="abc" and _Sliced())) for each in (first, second)] == [1, 2]
    assert first.code_version != second.code_version


class _Sliced:
    def slice(self, start: int, stop: int) -> range:
        return range(start, stop)


def test_two_projects_do_not_see_each_other(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Project(tmp_path_factory.mktemp("other"))
    other.write("flights/assets.py", "from tidemill import asset\n@asset\ndef only_here(): ...\n")
    assert list(other.load().assets) == ["only_here"]
    assert list(project.load().assets) == ["bronze.flights", "raw.flights"]


def test_an_asset_that_is_imported_elsewhere_is_found_once(project: Project) -> None:
    project.write("flights/again.py", "from .bronze import bronze_flights\nfrom pipelines.flights.bronze import raw_flights as other\n")
    assert list(project.load().assets) == ["bronze.flights", "raw.flights"]


def test_assets_made_in_a_loop_are_found_in_lists_and_dicts(project: Project) -> None:
    project.write(
        "flights/many.py",
        "from tidemill import sql_asset\n"
        "REPORTS = [sql_asset(key=f'gold.r{n}', sql=f'SELECT {n}', inputs=[]) for n in range(3)]\n"
        "NAMED = {'a': sql_asset(key='gold.a', sql='SELECT 1', inputs=[])}\n",
    )
    assert [key for key in project.load().assets if key.startswith("gold")] == ["gold.a", "gold.r0", "gold.r1", "gold.r2"]


def test_a_query_may_stand_in_a_file_beside_its_module(project: Project) -> None:
    project.write("flights/sql/report.sql", "SELECT count(*) AS n FROM bronze_flights")
    project.write(
        "flights/gold.py",
        "from tidemill import sql_asset\nreport = sql_asset(key='gold.report', sql='sql/report.sql', inputs=['bronze.flights'])\n",
    )
    sql = project.load().assets[AssetKey("gold.report")].sql
    assert sql is not None
    assert (sql.text, sql.file) == ("SELECT count(*) AS n FROM bronze_flights", "sql/report.sql")
    project.write(
        "flights/gold.py",
        "from tidemill import sql_asset\nreport = sql_asset(key='gold.report', sql='sql/reprot.sql', inputs=['bronze.flights'])\n",
    )
    assert project.problems() == [
        "pipelines/flights/gold.py:2: Asset `gold.report`: There is no file `sql/reprot.sql`. In that folder: `report.sql`."
    ]


def test_modules_are_imported_once_and_know_each_other(project: Project) -> None:
    project.write("flights/state.py", "MADE = []\n")
    project.write("flights/user.py", "from pipelines.flights import state\nstate.MADE.append(1)\nassert state.MADE == [1]\n")
    project.write("other/user.py", "from pipelines.flights.state import MADE\nassert MADE == [1]\n")
    project.load()


def test_a_function_can_import_lazily_after_loading(project: Project) -> None:
    project.write("flights/lazy.py", "from tidemill import asset\n@asset\ndef lazy():\n    from .helpers import first\n    return first\n")
    assert project.load().assets[AssetKey("lazy")]().__name__ == "first"


def test_a_folder_without_pipelines_says_so(tmp_path: Path) -> None:
    assert Project(tmp_path).problems() == [
        (
            "pipelines: The project has no folder `pipelines`. "
            "Run from the project's folder, or make the folder `pipelines/<name>/` with a module that declares an asset."
        )
    ]


def test_an_empty_project_has_no_assets(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    assert dict(Project(tmp_path).load().assets) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1\ndef broken(:\n", "pipelines/flights/x.py:2: This is not valid Python: invalid syntax. Nothing in this module could be read."),
        ("x = 1\nimport nowhere.at_all\n", "pipelines/flights/x.py:2: There is no module `nowhere`. Install the package that provides it, or check the spelling of `nowhere`."),
        ("from .nothing import x\n", "pipelines/flights/x.py:1: There is no module `pipelines.flights.nothing`. Check the spelling, or the file it should be in."),
        (
            "from .helpers import frist\n",
            ("pipelines/flights/x.py:1: Loading `pipelines/flights/x.py` failed with ImportError: "
            "cannot import name 'frist' from 'pipelines.flights.helpers' (pipelines/flights/helpers.py)."),
        ),
        ("def f():\n    return 1 / 0\n\nf()\n", "pipelines/flights/x.py:2: Loading `pipelines/flights/x.py` failed with ZeroDivisionError: division by zero."),
        ("import sys\nsys.exit('no\\nmore')\n", "pipelines/flights/x.py:2: Loading `pipelines/flights/x.py` failed with SystemExit: no more."),
        ("raise ValueError\n", "pipelines/flights/x.py:1: Loading `pipelines/flights/x.py` failed with ValueError."),
        (
            "from tidemill import MonthlyPartitions\n\nMONTHS = MonthlyPartitions('2013-13')\n",
            "pipelines/flights/x.py:3: '2013-13' is not a valid monthly partition. Write a month such as `2013-01`, in the zone UTC.",
        ),
        ("import json\njson.loads('{')\n", ("pipelines/flights/x.py:2: Loading `pipelines/flights/x.py` failed with JSONDecodeError: "
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1).")),
        ("from tidemill import asset\nasset(kye='a', 1)\n", "pipelines/flights/x.py:2: This is not valid Python: positional argument follows keyword argument. Nothing in this module could be read."),
        ("x = '\x00'\n", "pipelines/flights/x.py:1: This is not valid Python: source code string cannot contain null bytes. Nothing in this module could be read."),
    ],
)  # fmt: skip
def test_a_module_that_cannot_be_loaded_is_one_problem_at_the_user_s_own_line(project: Project, text: str, problem: str) -> None:
    project.write("flights/x.py", text)
    assert project.problems() == [problem]


def test_a_file_that_is_not_text_is_one_problem(project: Project) -> None:
    (project.root / "pipelines" / "flights" / "x.py").write_bytes(b"x = '\xff'\n")
    (problem,) = project.problems()
    assert problem.startswith("pipelines/flights/x.py:1: This is not valid Python: (unicode error) 'utf-8' codec can't decode byte 0xff")


def test_names_of_a_module_that_could_not_be_loaded_are_not_reported_missing(project: Project) -> None:
    project.write("flights/bronze.py", BRONZE + "\nraise RuntimeError('late')\n")
    project.write(
        "flights/gold.py", "from tidemill import asset\n@asset\ndef gold(bronze_flights): ...\n@asset\ndef other(bronze_fligths): ...\n"
    )
    assert project.problems() == [
        "pipelines/flights/bronze.py:18: Loading `pipelines/flights/bronze.py` failed with RuntimeError: late.",
        "pipelines/flights/gold.py:4: Asset `other` takes `bronze_fligths`, but no asset is called that. Known: `gold`, `other`.",
    ]


def test_a_module_that_fails_because_of_another_is_told_once(project: Project) -> None:
    project.write("flights/helpers.py", "def first(:\n")
    assert project.problems() == [
        "pipelines/flights/helpers.py:1: This is not valid Python: invalid syntax. Nothing in this module could be read."
    ]


def test_problems_of_all_modules_are_told_together(project: Project) -> None:
    project.write("a/one.py", "import nowhere\n")
    project.write("b/two.py", "from tidemill import asset\n@asset(key='raw.flights')\ndef x(): ...\n\n@asset\ndef y(raw_fligths): ...\n")
    assert project.problems() == [
        "pipelines/a/one.py:1: There is no module `nowhere`. Install the package that provides it, or check the spelling of `nowhere`.",
        "pipelines/b/two.py:5: Asset `y` takes `raw_fligths`, but no asset is called that. Did you mean `raw_flights`?",
        "pipelines/flights/bronze.py:9: Asset `raw.flights` is declared here and in pipelines/b/two.py:2. Keys are unique in the whole project.",
    ]


def test_names_that_cannot_be_imported_are_problems(project: Project) -> None:
    project.write("flights/my-assets.py", "")
    project.write("My-Pipeline/x.py", "")
    project.write("notes/read.md", "not a pipeline")
    assert project.problems() == [
        "pipelines/My-Pipeline: `My-Pipeline` cannot be the name of a pipeline. Use a word of a-z, 0-9 and _ that starts with a letter.",
        "pipelines/flights/my-assets.py: `my-assets.py` cannot be imported: its path is not made of Python names. Use letters, digits and _.",
    ]


def test_an_interrupt_is_not_a_problem_of_the_module(project: Project) -> None:
    project.write("flights/x.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        project.load()


def test_declared_in_a_helper_counts_for_the_pipeline_that_holds_it(project: Project) -> None:
    project.write(
        "flights/factory.py",
        "from tidemill import asset\ndef make(key):\n    @asset(key=key)\n    def load(): return key\n    return load\n",
    )
    project.write("trains/assets.py", "from pipelines.flights.factory import make\na = make('raw.a')\nb = make('raw.b')\n")
    assets: dict[AssetKey, Any] = dict(project.load().assets)
    assert [assets[AssetKey(key)].pipeline for key in ("raw.a", "raw.b")] == ["trains", "trains"]
    assert assets[AssetKey("raw.a")].code_version != assets[AssetKey("raw.b")].code_version
