"""Laws of asset selections and of the graph they are resolved against."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from tidemill import AssetSpec, Definitions, asset
from tidemill.definitions.cycles import find_cycles
from tidemill.errors import InvalidSelection, UnknownAsset
from tidemill.graph.asset_graph import AssetGraph
from tidemill.graph.selection import (
    AssetSelection,
    Both,
    Either,
    InGroup,
    Matching,
    OwnedBy,
    Reaching,
    Tagged,
    Without,
    parse_selection,
)
from tidemill.model.keys import AssetKey

T = TypeVar("T")


def _spec(number: int, reads: frozenset[int]) -> AssetSpec[..., Any]:
    names = [f"n{each}" for each in sorted(reads)]
    scope: dict[str, Any] = {}
    exec(f"def load({', '.join(names)}): ...", scope)
    options: dict[str, Any] = {"group": f"g{number % 2}", "owners": [f"o{number % 3}"], "tags": {"t": str(number % 2)}}
    return asset(key=f"n{number}", code_version="1", **options)(scope["load"])


@st.composite
def graphs(draw: st.DrawFn) -> AssetGraph:
    """A graph of up to 12 assets that read only assets with smaller numbers; declared in any order."""
    size = draw(st.integers(1, 12))
    specs = [
        _spec(number, draw(st.frozensets(st.integers(0, number - 1), max_size=3)) if number else frozenset()) for number in range(size)
    ]
    return AssetGraph(Definitions(draw(st.permutations(specs))))


_texts = st.text(alphabet="ab1_. =:é", min_size=1, max_size=6)
_leaves: st.SearchStrategy[AssetSelection] = st.one_of(
    st.sampled_from([Matching("*"), Matching("n1"), Matching("n*"), Matching("a.b", "pipe"), Matching("*", "pipe")]),
    _texts.map(InGroup),
    _texts.map(OwnedBy),
    st.tuples(_texts, st.one_of(st.none(), _texts)).map(lambda pair: Tagged(*pair)),
)
_depths = st.one_of(st.none(), st.integers(1, 99))


def _reaching(inner: st.SearchStrategy[AssetSelection]) -> st.SearchStrategy[AssetSelection]:
    ends = st.one_of(st.tuples(_depths, st.just(0)), st.tuples(st.just(0), _depths), st.tuples(_depths, _depths))
    return st.tuples(inner, ends).map(lambda each: Reaching(each[0], *each[1]))


def _combined(inner: st.SearchStrategy[AssetSelection]) -> st.SearchStrategy[AssetSelection]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(several.map(Either), several.map(Both), inner.map(Without), _reaching(inner))


selections = st.recursive(_leaves, _combined, max_leaves=8)


@given(selections)
def test_a_selection_is_read_back_as_it_was_written(selection: AssetSelection) -> None:
    assert parse_selection(str(selection)) == selection


@given(st.text(alphabet='ab1+(),*:/="- \n', max_size=20) | st.text(max_size=8))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    parsed = _result(lambda: parse_selection(text))
    if isinstance(parsed, InvalidSelection):
        assert parsed.message.endswith(".")
        assert parsed.hint
    else:
        assert parse_selection(str(parsed)) == parsed


@given(graphs())
def test_the_order_puts_every_asset_after_what_it_reads_whatever_the_order_of_declaration(graph: AssetGraph) -> None:
    place = {key: index for index, key in enumerate(graph.order)}
    assert sorted(place) == list(graph.assets)
    assert all(place[parent] < place[key] for key, parents in graph.parents.items() for parent in parents)


@given(graphs(), st.data())
def test_closures_are_each_other_s_inverse(graph: AssetGraph, data: st.DataObject) -> None:
    keys = list(graph.assets)
    one, other = data.draw(st.sampled_from(keys)), data.draw(st.sampled_from(keys))
    depth = data.draw(st.one_of(st.none(), st.integers(0, 5)))
    assert (one in graph.upstream([other], depth)) == (other in graph.downstream([one], depth))
    assert graph.upstream(graph.upstream([one])) == graph.upstream([one])


@given(graphs(), st.data())
def test_selections_obey_the_laws_of_sets(graph: AssetGraph, data: st.DataObject) -> None:
    names = st.sampled_from([*graph.assets, "n*", "*", f"group:{graph.assets[AssetKey('n0')].group}", "owner:o0", "tag:t=0"])
    one, other = data.draw(names), data.draw(names)

    def means(text: str) -> frozenset[AssetKey]:
        return parse_selection(text).resolve(graph)

    everything = frozenset(graph.assets)
    assert means(f"{one} or {other}") == means(f"{one}, {other}") == means(one) | means(other)
    assert means(f"{one} and {other}") == means(one) & means(other)
    assert means(f"not {one}") == everything - means(one)
    assert means(f"not ({one} or {other})") == means(f"not {one} and not {other}")
    assert means(f"+({one})+") == graph.upstream(means(one)) | graph.downstream(means(one))
    assert means(f"({one} or {other})+") == means(f"({one})+ or ({other})+")


@given(graphs(), selections)
def test_a_selection_gives_assets_of_the_graph_or_says_what_is_missing(graph: AssetGraph, selection: AssetSelection) -> None:
    found = _result(lambda: selection.resolve(graph))
    if isinstance(found, frozenset):
        assert found <= frozenset(graph.assets)
    else:
        assert "`" in found.message


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.frozensets(st.sampled_from("abcdefgh"), max_size=3)))
def test_a_circle_is_found_exactly_if_there_is_no_order(edges: dict[str, frozenset[str]]) -> None:
    cycles = find_cycles(edges)
    for cycle in cycles:
        assert cycle[0] == cycle[-1] == min(cycle)
        assert len(set(cycle)) == len(cycle) - 1
        assert all(after in edges[before] for before, after in itertools.pairwise(cycle))
    # Taking away what reads nothing that is left ends with nothing, exactly if there is no circle.
    left = {node: set(targets) & set(edges) for node, targets in edges.items()}
    while any(not targets & left.keys() for targets in left.values()):
        left = {node: targets for node, targets in left.items() if targets & left.keys()}
    assert bool(cycles) == bool(left)
    on_circles = {node for node in left if any(node in _reach(edges, target) for target in left[node])}
    assert {node for cycle in cycles for node in cycle} <= on_circles
    for node in on_circles:
        # Every knot is told by one circle that the node can reach and that can reach the node.
        assert any(cycle[0] in _reach(edges, node) and node in _reach(edges, cycle[0]) for cycle in cycles)


def _result(question: Callable[[], T]) -> T | InvalidSelection | UnknownAsset:
    """The answer, or the reason why there is none."""
    try:
        return question()
    except (InvalidSelection, UnknownAsset) as error:
        return error


def _reach(edges: dict[str, frozenset[str]], start: str) -> set[str]:
    found, front = {start}, [start]
    while front:
        front = [each for node in front for each in edges.get(node, frozenset()) if each not in found]
        found.update(front)
    return found
