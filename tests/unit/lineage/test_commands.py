from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.app_server import serving
from tests.unit.lineage.backend import backend
from tests.unit.lineage.world import Shop
from tidemill.cli import event_targets
from tidemill.cli.main import run

UPSTREAM = """\
gold.total  HASH, 1 row, run RUN
└── silver.per_shop@2013-01, 2013-02  2 versions
    └── bronze.orders@2013-01, 2013-02  2 versions
        └── raw.orders@2013-01, 2013-02  2 versions
6 versions it was made from, as of commit 1
"""


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    shop = Shop()
    shop.run("+gold.total")
    with serving(shop) as url:
        monkeypatch.setenv("TIDEMILL_URL", url)
        monkeypatch.setenv("COLUMNS", "160")
        yield shop


def latest(shop: Shop) -> str:
    return str(shop.runtime.runs.recent(1)[0])


def held(shop: Shop, asset: str) -> str:
    return next(iter(shop.runtime.catalog.view().entries(shop.runtime.graph.asset(asset).key).values())).data_version[:12]


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_upstream_is_drawn_as_a_tree(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lineage", "gold.total"]) == 0
    expected = UPSTREAM.replace("HASH", held(shop, "gold.total")).replace("RUN", latest(shop))
    assert lines(capsys.readouterr().out) == lines(expected)


def test_downstream_of_one_partition(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lineage", "bronze.orders@2013-02", "--direction", "downstream", "--depth", "1"]) == 0
    told = lines(capsys.readouterr().out)
    assert told[0].startswith("bronze.orders@2013-02  ")
    assert told[1].startswith("└── silver.per_shop@2013-02  ")
    assert told[2] == "1 version it was made into, as of commit 1; there may be more beyond"


def test_what_is_no_longer_current_is_marked(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.amounts["2013-01"] = [100.0, 200.0, 300.0]
    shop.version["2013-01"] = "2"
    shop.run("+bronze.orders")
    assert run(["lineage", "gold.total"]) == 0
    assert "bronze.orders@2013-01, 2013-02  2 versions  1 no longer current" in capsys.readouterr().out


def test_of_another_branch_and_of_the_past(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.post("/branches", {"name": "dev"})
    shop.amounts["2013-01"] = [100.0, 200.0, 300.0]
    shop.version["2013-01"] = "2"
    shop.run("+gold.total")
    told = {}
    for name, options in {"dev": ["--branch", "dev"], "then": ["--as-of", "1"], "now": []}.items():
        assert run(["lineage", "gold.total", *options, "--json"]) == 0
        told[name] = [node["record"] for node in json.loads(capsys.readouterr().out)["nodes"]]
    assert told["dev"] == told["then"] != told["now"]


def test_columns_as_a_table(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sqlglot", reason="needs the extra `lineage`: pip install 'tidemill[lineage]'")
    assert run(["lineage", "silver.per_shop", "--columns"]) == 0
    told = [line.split() for line in lines(capsys.readouterr().out)]
    assert ["shop", "bronze.orders.shop", "(identity)", "-"] in told
    assert ["total", "bronze.orders.amount", "(aggregation)", "-"] in told
    assert ["(all)", "-", "bronze.orders.id", "(filter)"] in told
    assert ["5", "edges:", "5", "parsed", "from", "the", "query"] in told


def test_columns_that_are_not_known_say_why(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lineage", "gold.total", "--columns"]) == 0
    told = "`gold.total` is a Python function that declares nothing of its columns, and it has not been measured."
    assert " ".join(capsys.readouterr().out.split()) == f"Not known. {told}"


def test_json_is_what_the_api_gives(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lineage", "gold.total", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(shop.get("/lineage", asset="gold.total").body)


def test_columns_go_with_an_asset_only(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lineage", "bronze.orders@2013-01", "--columns", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


DOT = """\
digraph tidemill {
  rankdir=LR;
  node [shape=box];
  subgraph cluster_0 { label="raw";
    "raw.orders" [label="raw.orders\\nstatic" shape=cylinder];
  }
  subgraph cluster_1 { label="bronze";
    "bronze.orders" [label="bronze.orders\\nstatic"];
  }
  subgraph cluster_2 { label="silver";
    "silver.per_shop" [label="silver.per_shop\\nstatic" shape=parallelogram];
  }
  subgraph cluster_3 { label="gold";
    "gold.total" [label="gold.total"];
  }
  "raw.orders" -> "bronze.orders";
  "bronze.orders" -> "silver.per_shop";
  "silver.per_shop" -> "gold.total";
}
"""


def test_the_graph_in_every_format(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["graph", "--format", "dot"]) == 0
    assert capsys.readouterr().out == DOT == shop.get("/graph", format="dot").body.decode()
    assert run(["graph"]) == 0
    assert capsys.readouterr().out == shop.get("/graph", format="mermaid").body.decode()
    assert run(["graph", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "raw.orders": ["bronze.orders"],
        "bronze.orders": ["silver.per_shop"],
        "silver.per_shop": ["gold.total"],
        "gold.total": [],
    }
    assert run(["graph", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(shop.get("/graph").body)


def test_events_go_into_a_file(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "events.jsonl"
    assert run(["export-events", latest(shop), "--file", str(file)]) == 0
    assert capsys.readouterr().out == f"12 events of run {latest(shop)} to {file}\n"
    written = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert written == json.loads(shop.get(f"/runs/{latest(shop)}/events").body)["events"]
    assert list(tmp_path.iterdir()) == [file]


def test_events_are_posted_in_order(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    with backend() as (address, taken):
        assert run(["export-events", latest(shop), "--to", address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run_id": latest(shop), "events": 12, "to": address}
    assert taken == json.loads(shop.get(f"/runs/{latest(shop)}/events").body)["events"]


@pytest.mark.parametrize(("status", "told"), [(503, "HTTP 503, 5 times"), (422, "HTTP 422")])
def test_a_backend_that_refuses_is_told_of_with_how_far_it_went(
    shop: Shop, status: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(event_targets, "_PAUSE_SECONDS", 0.001)
    with backend(refuse_after=3, status=status) as (address, taken):
        assert run(["export-events", latest(shop), "--to", address, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "export-failed"
    assert error["message"] == f"The events could not be handed to `{address}`: it answers {told}. 3 events were taken before."
    assert len(taken) == 3


def test_a_backend_that_recovers_gets_everything_in_order(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(event_targets, "_PAUSE_SECONDS", 0.001)
    with backend(refuse_after=3, recovers=True) as (address, taken):
        assert run(["export-events", latest(shop), "--to", address]) == 0
    assert taken == json.loads(shop.get(f"/runs/{latest(shop)}/events").body)["events"]
    assert "Event 4 was not taken (it answers HTTP 503); trying again in 0 s." in capsys.readouterr().err


@pytest.mark.parametrize(("given", "code"), [("right", 0), ("wrong", 2), ("", 2)])
def test_a_backend_that_wants_a_key_gets_it_from_the_environment(
    shop: Shop, given: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMILL_OPENLINEAGE_KEY", given)
    with backend(key="right") as (address, taken):
        assert run(["export-events", latest(shop), "--to", address, "--json"]) == code
    told = capsys.readouterr().out
    assert len(taken) == (12 if code == 0 else 0)
    assert code == 0 or "it answers HTTP 401; set TIDEMILL_OPENLINEAGE_KEY to a key that it accepts" in json.loads(told)["error"]["message"]
    assert "wrong" not in told


def test_a_file_that_cannot_be_written_is_left_alone(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export-events", latest(shop), "--file", str(tmp_path / "nowhere" / "x.jsonl"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "export-failed"


def test_an_unknown_run_leaves_no_file(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export-events", "20260102t030405-0000ffff", "--file", str(tmp_path / "x.jsonl"), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "not-found"
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_they_go_where_the_environment_says(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with backend(key="right") as (address, taken):
        monkeypatch.setenv("OPENLINEAGE_URL", address.removesuffix("/api/v1/lineage"))
        monkeypatch.setenv("OPENLINEAGE_API_KEY", "right")
        monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "shop.prod")
        assert run(["export-events", latest(shop)]) == 0
    assert {event["job"]["namespace"] for event in taken} == {"shop.prod"}
    assert len(taken) == 12


@pytest.mark.parametrize("where", [[], ["--file", "a", "--to", "http://b"]])
def test_events_need_exactly_one_place_to_go(shop: Shop, where: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export-events", latest(shop), *where, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"
