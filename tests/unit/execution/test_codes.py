from __future__ import annotations

from tests.unit.api.world import World
from tidemill.definitions.code_version import explicit_version
from tidemill.execution.codes import Codes, parts_in
from tidemill.model.keys import AssetKey
from tidemill.model.versions import digest
from tidemill.storage.memory import MemoryStore


def test_a_run_leaves_the_code_it_used_on_record_under_its_version() -> None:
    world = World(executes=True)
    world.run("+gold.total")
    assets = world.runtime.graph.assets
    stored = {name: world.store.get(name) for name in world.store.names("code/")}
    used = {assets[AssetKey(key)].code_version for key in ("bronze.orders", "silver.orders", "gold.total")}
    assert {name.rpartition("/")[2] for name in stored} == used
    assert all(blob is not None and digest(blob.data) == name.rpartition("/")[2] for name, blob in stored.items())
    found = world.runtime.codes.find(assets[AssetKey("gold.total")].code_version)
    assert found is not None
    assert ("function", "tests.unit.api.world.gold_total") in found


def test_a_plan_in_which_nothing_runs_writes_no_code() -> None:
    world = World(executes=True)
    world.run("+gold.total")
    for name in list(world.store.names("code/")):
        world.store.delete(name)
    world.run("+gold.total")
    assert list(world.store.names("code/")) == []


def test_an_explicit_version_is_its_text() -> None:
    code = explicit_version("gold.total", "2")
    assert digest(code.content) == code.version
    assert parts_in(code.content) == {("explicit version", "2"): "2"}


def test_what_is_not_on_record_or_cannot_be_read_is_none() -> None:
    codes = Codes(MemoryStore())
    assert codes.find("0" * 64) is None
    assert [parts_in(content) for content in (b"", b"\xff", b"{}", b'["code/2"]', b'["code/1",["function"]]')] == [None] * 5
