"""The graph for other programs: names that mean something to them, tables with types, and the explanation."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.api.world import json_of
from tests.unit.cli.app_server import serving
from tests.unit.lineage.world import Shop
from tidemill.api.drawing import adjacency, to_dot, to_mermaid
from tidemill.api.graph_tables import ASSETS, UNITS
from tidemill.api.payloads import GraphEdge, GraphNode, GraphView
from tidemill.cli.main import run


def node(key: str, group: str = "", partitions: str = "", kind: str = "asset") -> GraphNode:
    return GraphNode(key=key, kind=kind, pipeline="", group=group, partitions=partitions)


def graph(*nodes: GraphNode, edges: tuple[tuple[str, str], ...] = ()) -> GraphView:
    return GraphView(nodes=nodes, edges=tuple(GraphEdge(source=a, target=b, input="x", mapping="identity") for a, b in edges))


def test_every_asset_has_an_id_of_its_own_that_means_nothing_to_mermaid() -> None:
    view = graph(node("a.b"), node("a__b"), node("end"), node("a__b_2"), edges=(("a.b", "a__b"), ("a__b", "end"), ("end", "a__b_2")))
    drawn = to_mermaid(view)
    ids = re.findall(r"^    (\w+)\[", drawn, re.MULTILINE)
    assert ids == ["a__b", "a__b_2", "end_2", "a__b_2_2"]
    assert drawn.endswith("  a__b --> a__b_2\n  a__b_2 --> end_2\n  end_2 --> a__b_2_2\n")


def test_what_mermaid_would_read_as_something_else_is_escaped() -> None:
    drawn = to_mermaid(graph(node("a", group='<b>"x" #1;`md`', partitions="A & B")))
    assert 'subgraph g0["&lt;b&gt;&quot;x&quot; &num;1;&grave;md&grave;"]' in drawn
    assert '["a<br/><small>A &amp; B</small>"]' in drawn


def test_what_graphviz_would_read_as_something_else_is_escaped() -> None:
    drawn = to_dot(graph(node("a", group='back\\slash "größe"', partitions='p"q')))
    assert r'label="back\\slash \"größe\"";' in drawn
    assert r'"a" [label="a\np\"q"];' in drawn


def test_a_large_graph_is_drawn_in_moments() -> None:
    names = [f"a{at}" for at in range(5_000)]
    view = graph(*map(node, names), edges=tuple(pairwise(names)))
    assert to_mermaid(view).count("-->") == to_dot(view).count("->") == 4_999
    assert adjacency(view)["a0"] == ["a1"]


@pytest.fixture(scope="module")
def shop() -> Shop:
    shop = Shop()
    assert shop.run("+silver.per_shop")["status"] == "succeeded"
    return shop


def table(shop: Shop, **query: str) -> pa.Table:
    reply = shop.get("/graph", format="parquet", **query)
    assert (reply.status, reply.media_type) == (200, "application/vnd.apache.parquet")
    return pq.read_table(io.BytesIO(reply.body))


def test_assets_as_parquet(shop: Shop) -> None:
    found = table(shop)
    assert found.schema.equals(ASSETS)
    rows = {row["asset"]: row for row in found.to_pylist()}
    assert list(rows) == ["raw.orders", "bronze.orders", "silver.per_shop", "gold.total"]
    assert rows["silver.per_shop"]["reads"] == [{"asset": "bronze.orders", "input": "orders", "mapping": "identity"}]
    assert (rows["silver.per_shop"]["readers"], rows["silver.per_shop"]["partitions"]) == (["gold.total"], "static")
    assert rows["gold.total"]["partitions"] is None


def test_units_as_parquet_with_what_they_hold(shop: Shop) -> None:
    found = table(shop, units="true")
    assert found.schema.equals(UNITS)
    rows = {(row["asset"], row["partition"]): row for row in found.to_pylist()}
    assert len(rows) == 7
    held = {row["partition"]: row for row in json_of(shop.get("/assets/silver.per_shop/partitions"))["partitions"]}
    assert rows["silver.per_shop", "2013-02"]["data_version"] == held["2013-02"]["data_version"]
    assert rows["silver.per_shop", "2013-02"]["reads"] == [{"asset": "bronze.orders", "partition": "2013-02", "input": "orders"}]
    assert rows["gold.total", ""]["data_version"] is None
    assert [each["partition"] for each in rows["gold.total", ""]["reads"]] == ["2013-01", "2013-02"]
    before = {row["asset"]: row["record"] for row in table(shop, units="true", as_of="0").to_pylist()}
    assert set(before.values()) == {None}


def test_the_explanation_unfolds_what_everything_is_made_from(shop: Shop) -> None:
    reply = shop.ask("GET", "/graph", headers={"Accept": "text/plain"})
    assert reply.media_type == "text/plain; charset=utf-8"
    code = {key: json_of(shop.get(f"/assets/{key}"))["code_version"][:12] for key in ("gold.total", "silver.per_shop", "bronze.orders")}
    held = {
        key: json_of(shop.get(f"/assets/{key}/partitions"))["partitions"][-1] for key in ("silver.per_shop", "bronze.orders", "raw.orders")
    }
    version = {key: each["data_version"][:12] if key != "raw.orders" else each["data_version"] for key, each in held.items()}
    assert reply.body.decode() == (
        "gold.total\n"
        f"  Python, group gold, code {code['gold.total']}, never made\n"
        "   -> silver.per_shop as shops, all partitions\n"
        f"      SQL, group silver, static, code {code['silver.per_shop']}, 2 of 2 partitions;"
        f" last version of 2013-02 {version['silver.per_shop']}, 2 rows\n"
        "      -> bronze.orders as orders, identity\n"
        f"         Python, group bronze, static, code {code['bronze.orders']}, 2 of 2 partitions;"
        f" last version of 2013-02 {version['bronze.orders']}, 3 rows\n"
        "         -> raw.orders as raw, identity\n"
        f"            external, group raw, static, 2 of 2 partitions; last version of 2013-02 {version['raw.orders']}\n"
    )


@pytest.mark.parametrize("query", [{"format": "dot", "units": "true"}, {"format": "svg"}, {"format": "explain", "as_of": "nonsense"}])
def test_what_cannot_be_shown_is_refused(shop: Shop, query: dict[str, str]) -> None:
    assert shop.get("/graph", **query).status in {400, 404}


def test_the_command_writes_files_and_keeps_parquet_off_terminals(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with serving(shop) as url:
        monkeypatch.setenv("TIDEMILL_URL", url)
        file = tmp_path / "units.parquet"
        assert run(["graph", "--format", "parquet", "--units", "--output", str(file), "--json"]) == 0
        assert json.loads(capfdbinary.readouterr().out) == {"format": "parquet", "size_bytes": file.stat().st_size, "output": str(file)}
        assert pq.read_table(file).equals(table(shop, units="true"))
        assert run(["graph", "--format", "parquet"]) == 0
        assert pq.read_table(io.BytesIO(capfdbinary.readouterr().out)).equals(table(shop))
        assert run(["graph", "--format", "explain"]) == 0
        assert capfdbinary.readouterr().out == shop.get("/graph", format="explain").body
        assert run(["graph", "--output", str(tmp_path / "no" / "x.mmd"), "--json"]) == 2
        assert json.loads(capfdbinary.readouterr().out)["error"]["code"] == "not-written"
        assert run(["graph", "--units", "--json"]) == 2
        assert json.loads(capfdbinary.readouterr().out)["error"]["code"] == "usage"
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        assert run(["graph", "--format", "parquet"]) == 2
        assert b"--output graph.parquet" in capfdbinary.readouterr().err
