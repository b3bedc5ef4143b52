"""The tree against a plain dict: whatever the changes and their order, it holds the same, costs little, and equal content has equal roots."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.catalog import tree
from tidemill.catalog.diff import diff
from tidemill.catalog.edit import apply
from tidemill.catalog.objects import EMPTY_ROOT, Branch
from tidemill.catalog.tree import Nodes, assets, check_node, count_of, lookup, lookup_many, scan
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.model.versions import digest
from tidemill.storage.memory import MemoryStore
from tidemill.storage.objects import Objects
from tidemill.testing.faults import FaultyStore

units = st.builds(
    UnitKey, st.sampled_from(["a", "a.b", "a_b", "b"]).map(AssetKey), st.integers(0, 40).map(lambda number: PartitionKey(f"{number or ''}"))
)
entries = st.integers(0, 3).map(lambda number: Entry(digest(bytes([number])), digest(b"data" + bytes([number]))))
changes = st.dictionaries(units, st.none() | entries, max_size=30)
histories = st.lists(changes, max_size=8)


@pytest.fixture(autouse=True, params=[1, 7], ids=lambda bits: f"{bits} bits")
def _shape(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bits make deep trees of few units; seven is the real shape."""
    monkeypatch.setattr(tree, "RANK_BITS", request.param)


def played(nodes: Nodes, history: list[dict[UnitKey, Entry | None]]) -> tuple[str, dict[UnitKey, Entry]]:
    root, model = EMPTY_ROOT, dict[UnitKey, Entry]()
    for step in history:
        root = apply(nodes, root, step).root
        for unit, entry in step.items():
            if entry is None:
                model.pop(unit, None)
            else:
                model[unit] = entry
    return root, model


@given(histories)
@settings(max_examples=20)
def test_it_holds_what_a_dict_holds(history: list[dict[UnitKey, Entry | None]]) -> None:
    nodes = Nodes(Objects(MemoryStore()))
    root, model = played(nodes, history)
    assert list(scan(nodes, root)) == sorted(model.items())
    assert assets(nodes, root) == tuple(sorted({unit.asset for unit in model}))
    for asset in ("a", "a.b", "a_b", "b", "c"):
        assert dict(scan(nodes, root, AssetKey(asset))) == {unit: entry for unit, entry in model.items() if unit.asset == asset}
    for unit in {unit for step in history for unit in step}:
        assert lookup(nodes, root, unit) == model.get(unit)
    asked = {unit for step in history for unit in step}
    assert lookup_many(nodes, root, asked) == {unit: model.get(unit) for unit in asked}
    assert count_of(nodes.get(root)) == len(model)


@given(histories, st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_equal_content_has_equal_roots_whatever_the_order(history: list[dict[UnitKey, Entry | None]], chance: object) -> None:
    nodes = Nodes(Objects(MemoryStore()))
    root, model = played(nodes, history)
    assert apply(nodes, EMPTY_ROOT, model).root == root
    one_by_one = list(model.items())
    chance.shuffle(one_by_one)  # type: ignore[attr-defined]
    assert played(nodes, [{unit: entry} for unit, entry in one_by_one])[0] == root
    detour = apply(nodes, root, {UnitKey(AssetKey("a.x"), PartitionKey(str(number))): Entry("0" * 64, "") for number in range(20)}).root
    back = apply(nodes, detour, {UnitKey(AssetKey("a.x"), PartitionKey(str(number))): None for number in range(20)}).root
    assert back == root
    assert apply(nodes, root, model).root == root


@given(histories, histories)
@settings(max_examples=20)
def test_a_diff_is_exactly_what_differs_and_leads_from_one_to_the_other(
    left: list[dict[UnitKey, Entry | None]], right: list[dict[UnitKey, Entry | None]]
) -> None:
    nodes = Nodes(Objects(MemoryStore()))
    before, old = played(nodes, left)
    after, new = played(nodes, left[: len(left) // 2] + right)
    found = diff(nodes, before, after)
    expected = sorted(unit for unit in old.keys() | new.keys() if old.get(unit) != new.get(unit))
    assert [tuple(change) for change in found] == [(unit, old.get(unit), new.get(unit)) for unit in expected]
    assert apply(nodes, before, {change.unit: change.after for change in found}).root == after
    assert (before == after) == (old == new)


@given(histories)
@settings(max_examples=20)
def test_every_node_is_well_formed(history: list[dict[UnitKey, Entry | None]]) -> None:
    nodes = Nodes(Objects(MemoryStore()))
    root, _ = played(nodes, history)
    waiting = [root]
    while waiting:
        address = waiting.pop()
        node = nodes.get(address)
        if address != EMPTY_ROOT:
            assert check_node(node, nodes.objects.get(address)) == ""
        if isinstance(node, Branch):
            waiting += [child.node for child in node.children]


@given(st.integers(1, 2000), st.lists(st.integers(0, 1999), min_size=1, max_size=5, unique=True))
@settings(max_examples=10)
def test_a_change_writes_one_path_per_unit(size: int, touched: list[int]) -> None:
    store = FaultyStore(MemoryStore())
    nodes = Nodes(Objects(store))
    everything = {UnitKey(AssetKey("a"), PartitionKey(f"{number:04d}")): Entry(digest(str(number).encode()), "") for number in range(size)}
    root = apply(nodes, EMPTY_ROOT, everything).root
    store.calls.clear()
    fresh = {UnitKey(AssetKey("a"), PartitionKey(f"{number:04d}")): Entry("f" * 64, "") for number in touched}
    written = apply(nodes, root, fresh).written
    fanout = 2**tree.RANK_BITS
    levels = 2 + math.ceil(math.log(max(size, 2), fanout)) + 64 // (8 * tree.RANK_BITS)  # some slack: where nodes end is chance
    assert len(written) <= 2 * levels * len(touched)
    assert sum(call.verb == "create" for call in store.calls) <= len(written) + 1
