"""Code versions: what changes them, what does not, and what they are made of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill import load_definitions
from tidemill.definitions.code_version import CodeVersion
from tidemill.errors import DefinitionError
from tidemill.execution.codes import parts_in
from tidemill.model.keys import AssetKey
from tidemill.plan.explain import code_differences, phrase

ASSETS = '''
"""A pipeline."""
from __future__ import annotations

import collections
import pyarrow as pa
from tidemill import AssetContext, MonthlyPartitions, asset
from . import numbers
from .helpers import outer as outside, Rules
from pipelines.demo.more.deep import *

MONTHS = MonthlyPartitions("2013-01", "2014-01")
LIMIT = 3
TABLE = {"a": LIMIT}
TABLE["b"] = 4
UNUSED = 1


def decorate(function):
    return function


@asset(key="demo.x", partitions=MONTHS, description="About x.", owners=["me"], tags={"a": "b"})
@decorate
def x(context: AssetContext) -> pa.Table:
    """Makes x."""
    # with care
    def inner(value=LIMIT):
        return numbers.double(value), TABLE

    return outside(inner()), Rules().check(), starred()


def unused():
    return 1
'''
HELPERS = '''
from .numbers import FACTOR as SCALE


def outer(value):
    """Says it."""
    return again(value) * SCALE


def again(value):
    return outer(value) if value else 0


class Rules:
    limit = 1

    def check(self):
        return hidden(self.limit)


def hidden(value):
    return value
'''
NUMBERS = "FACTOR = 2\nOTHER = 5\n\n\ndef double(value):\n    return value * 2\n\n\ndef triple(value):\n    return value * 3\n"
DEEP = "def starred():\n    return 1\n\n\ndef unstarred():\n    return 2\n"


class Demo:
    """A pipeline whose one asset reaches into several modules."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = {"assets.py": ASSETS, "helpers.py": HELPERS, "numbers.py": NUMBERS, "more/deep.py": DEEP}

    def code(self, file: str = "", old: str = "", new: str = "") -> CodeVersion:
        """The version with one text in one file replaced by another."""
        assert not file or old in self.files[file]
        for name, text in self.files.items():
            path = self.root / "pipelines" / "demo" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace(old, new, 1) if name == file else text)
        return load_definitions(self.root).assets[AssetKey("demo.x")].code


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("assets.py", "# with care", "# without"),
        ("assets.py", '"""Makes x."""', '"""Makes x, really."""'),
        ("assets.py", '    """Makes x."""\n', ""),
        ("assets.py", "return outside(inner()), Rules().check(), starred()", "return (\n        outside( inner() ),\n        Rules().check(),\n        starred(),\n    )"),
        ("assets.py", "About x.", "About y."),
        ("assets.py", 'owners=["me"]', 'owners=["you"]'),
        ("assets.py", '"2014-01"', '"2015-01"'),
        ("assets.py", "UNUSED = 1", "UNUSED = 2"),
        ("assets.py", "def unused():\n    return 1", "def unused():\n    return 2"),
        ("helpers.py", '"""Says it."""', '"""Says more."""'),
        ("numbers.py", "OTHER = 5", "OTHER = 6"),
        ("numbers.py", "value * 3", "value * 4"),
        ("more/deep.py", "return 2", "return 3"),
        ("more/deep.py", "def starred():", "def starred( ):"),
    ],
)  # fmt: skip
def test_what_does_not_change_the_result_does_not_change_the_version(demo: Demo, file: str, old: str, new: str) -> None:
    assert demo.code().version == demo.code(file, old, new).version


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("assets.py", "return outside(inner())", "return outside(inner)"),
        ("assets.py", "LIMIT = 3", "LIMIT = 4"),
        ("assets.py", 'TABLE["b"] = 4', 'TABLE["b"] = 5'),
        ("assets.py", "value=LIMIT", "value=3"),
        ("assets.py", "def decorate(function):\n    return function", "def decorate(function):\n    def call(context):\n        return function(context)\n    return call"),
        ("assets.py", "@decorate\n", ""),
        ("assets.py", 'MonthlyPartitions("2013-01", "2014-01")', 'MonthlyPartitions("2013-01", "2014-01", "Europe/Berlin")'),
        ("assets.py", "partitions=MONTHS", 'partitions=MONTHS, schema=pa.schema([("a", pa.int8())])'),
        ("assets.py", 'key="demo.x", ', 'key="demo.x", code_version="1", '),
        ("helpers.py", "again(value) * SCALE", "again(value) + SCALE"),
        ("helpers.py", "if value else 0", "if value else 1"),
        ("helpers.py", "limit = 1", "limit = 2"),
        ("helpers.py", "    return value\n", "    return -value\n"),
        ("helpers.py", "import FACTOR as SCALE", "import OTHER as SCALE"),
        ("numbers.py", "FACTOR = 2", "FACTOR = 3"),
        ("numbers.py", "value * 2", "value + value"),
        ("more/deep.py", "return 1", "return True"),
    ],
)  # fmt: skip
def test_what_may_change_the_result_changes_the_version(demo: Demo, file: str, old: str, new: str) -> None:
    assert demo.code().version != demo.code(file, old, new).version


def test_a_version_says_what_it_is_made_of(demo: Demo) -> None:
    code = demo.code()
    assert [f"{part.kind} {part.name}" for part in code.parts] == [
        "asset demo.x",
        "function pipelines.demo.assets.decorate",
        "function pipelines.demo.assets.x",
        "function pipelines.demo.helpers.Rules",
        "function pipelines.demo.helpers.again",
        "function pipelines.demo.helpers.hidden",
        "function pipelines.demo.helpers.outer",
        "function pipelines.demo.more.deep.starred",
        "function pipelines.demo.numbers.double",
        "import pyarrow",
        "import tidemill.AssetContext",
        "partitions monthly UTC",
        "value pipelines.demo.assets.LIMIT",
        "value pipelines.demo.assets.TABLE",
        "value pipelines.demo.assets.TABLE#2",
        "value pipelines.demo.numbers.FACTOR",
    ]
    assert code.explain()[0].startswith("asset       demo.x  ")
    assert str(demo.root) not in "\n".join(code.explain())


def test_a_module_used_as_a_whole_counts_as_a_whole(demo: Demo) -> None:
    demo.files["assets.py"] = ASSETS.replace("numbers.double(value)", "vars(numbers)")
    assert demo.code().version != demo.code("numbers.py", "value * 3", "value * 4").version


def test_modules_that_import_each_other_are_followed_once(demo: Demo) -> None:
    demo.files["left.py"] = "from . import right\n"
    demo.files["right.py"] = "from . import left\nSIDE = 1\n"
    demo.files["assets.py"] = ASSETS.replace("from . import numbers", "from . import left, numbers").replace("(inner())", "(vars(left))")
    assert demo.code().version != demo.code("right.py", "SIDE = 1", "SIDE = 2").version


def test_an_import_inside_a_function_is_followed(demo: Demo) -> None:
    demo.files["assets.py"] = ASSETS.replace("    # with care\n", "    from pipelines.demo import numbers as late\n    late.triple(1)\n")
    assert demo.code().version != demo.code("numbers.py", "value * 3", "value * 4").version
    assert demo.code().version == demo.code("numbers.py", "OTHER = 5", "OTHER = 6").version


def test_the_key_counts_only_for_a_function_that_can_see_it(demo: Demo) -> None:
    seen = demo.code().version
    demo.files["assets.py"] = ASSETS.replace("(context: AssetContext)", "()")
    unseen = demo.code().version
    demo.files["assets.py"] = demo.files["assets.py"].replace('"demo.x"', '"demo.y"')
    demo.code_of = lambda key: load_definitions(demo.root).assets[AssetKey(key)].code.version  # type: ignore[attr-defined]
    with pytest.raises(KeyError):
        demo.code()
    assert demo.code_of("demo.y") == unseen != seen  # type: ignore[attr-defined]


def test_explicit_versions_of_two_assets_differ(demo: Demo) -> None:
    demo.files["assets.py"] = (
        "from tidemill import asset\n@asset(key='demo.x', code_version='2')\ndef x(): ...\n@asset(key='demo.y', code_version='2')\ndef y(): ...\n"
    )
    demo.code()
    assets = load_definitions(demo.root).assets
    assert assets[AssetKey("demo.x")].code_version != assets[AssetKey("demo.y")].code_version
    assert assets[AssetKey("demo.x")].code_version == demo.code("assets.py", "def x(): ...", "def x(): return 1").version


ENVIRONMENT = """
import pyarrow as pa
from tidemill import asset, sql_asset

FROM = ["DEMO_RATES", "package:pyarrow"]


@asset(key="demo.x", environment=FROM)
def x() -> pa.Table: ...


@asset(key="demo.explicit", code_version="1", environment=FROM)
def explicit() -> pa.Table: ...


query = sql_asset(key="demo.query", sql="select 1 as n", inputs={}, environment=FROM)
"""


def test_declared_environment_counts_and_nothing_else_of_it(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    demo.files["assets.py"] = ENVIRONMENT

    def versions() -> dict[str, str]:
        demo.code()
        return {key: each.code_version for key, each in load_definitions(demo.root).assets.items()}

    monkeypatch.delenv("DEMO_RATES", raising=False)
    unset = versions()
    seen = [unset]
    for value in ("", "daily", "hourly"):
        monkeypatch.setenv("DEMO_RATES", value)
        seen.append(versions())
    assert all(len({each[key] for each in seen}) == 4 for key in unset)
    monkeypatch.setenv("DEMO_OTHER", "x")
    assert versions() == seen[-1]
    monkeypatch.delenv("DEMO_RATES")
    assert versions() == unset
    monkeypatch.setattr("importlib.metadata.version", lambda _: "999")
    upgraded = versions()
    assert all(upgraded[key] != unset[key] for key in unset)


def test_declared_environment_is_told_by_name_and_kept_as_a_hash(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    demo.files["assets.py"] = ENVIRONMENT
    monkeypatch.setenv("DEMO_RATES", "a secret place")
    code = demo.code()
    assert [(each.kind, each.name) for each in code.parts if each.kind == "environment"] == [
        ("environment", "DEMO_RATES"),
        ("environment", "package:pyarrow"),
    ]
    assert b"a secret place" not in code.content
    before = parts_in(code.content)
    monkeypatch.setenv("DEMO_RATES", "elsewhere")
    after = demo.code()
    assert (
        phrase(code_differences(code.version, after.version, before, parts_in(after.content))) == "its code changed: environment DEMO_RATES"
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"DEMO_RATES"', '"DEMO RATES"', "`environment` is 'DEMO RATES'. It must be the name of an environment variable"),
        ("package:pyarrow", "package:no-such", "`environment` names the package `no-such`, which is not installed."),
        ('@asset(key="demo.x"', '@external_asset(key="demo.x"', "External asset `demo.x` declares `environment`"),
    ],
)
def test_environment_that_cannot_count_is_refused(demo: Demo, old: str, new: str, told: str) -> None:
    demo.files["assets.py"] = ENVIRONMENT.replace("import asset,", "import asset, external_asset,")
    with pytest.raises(DefinitionError) as caught:
        demo.code("assets.py", old, new)
    assert told in " ".join(f"{each.message} {each.hint}" for each in caught.value.problems)


def test_captured_values_count(demo: Demo) -> None:
    demo.files["assets.py"] = (
        "from tidemill import asset\n"
        "def make(key, value):\n    @asset(key=key)\n    def load():\n        return value\n    return load\n"
        "def helper(): return 1\n"
        "x = make('demo.x', {'a': (1, 2.5)})\n"
        "same = make('demo.same', {'a': (1, 2.5)})\n"
        "other = make('demo.other', {'a': (1, 2.6)})\n"
        "called = make('demo.called', helper)\n"
    )
    before = demo.code().version
    assets = load_definitions(demo.root).assets
    assert assets[AssetKey("demo.same")].code_version == before
    assert assets[AssetKey("demo.other")].code_version != before
    called = assets[AssetKey("demo.called")].code_version
    demo.code("assets.py", "def helper(): return 1", "def helper(): return 2")
    assert load_definitions(demo.root).assets[AssetKey("demo.called")].code_version != called


def test_a_query_counts_without_its_white_space(demo: Demo) -> None:
    demo.files["assets.py"] = "from tidemill import sql_asset\nx = sql_asset(key='demo.x', sql='SELECT 1 AS a', inputs=[])\n"
    assert demo.code().version == demo.code("assets.py", "SELECT 1 AS a", "SELECT  1 AS a -- one").version
    assert demo.code().version != demo.code("assets.py", "SELECT 1 AS a", "SELECT 1 AS b").version


def test_hash_seed_working_directory_and_place_on_disk_do_not_count(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> None:
    expected = demo.code().version
    moved = Demo(tmp_path_factory.mktemp("elsewhere") / "deep" / "down")
    assert moved.code().version == expected
    program = (
        "import sys; from pathlib import Path; from tidemill import load_definitions;"
        "print(load_definitions(Path(sys.argv[1])).assets['demo.x'].code_version)"
    )
    library = str(Path(__file__).parents[3])
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": library}
        done = subprocess.run(
            [sys.executable, "-c", program, str(demo.root)], capture_output=True, text=True, check=True, cwd=moved.root, env=environment
        )
        assert done.stdout.strip() == expected
