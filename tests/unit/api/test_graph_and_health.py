from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from tests.unit.api.world import World, json_of
from tidemill.definitions.definitions import Definitions
from tidemill.errors import DefinitionError, DefinitionProblem, StoreUnavailable
from tidemill.execution.runtime import Runtime
from tidemill.storage.memory import MemoryStore

MERMAID = """\
flowchart LR
  subgraph g0["raw"]
    raw__orders[("raw.orders<br/><small>static</small>")]
  end
  subgraph g1["bronze"]
    bronze__orders["bronze.orders<br/><small>static</small>"]
  end
  subgraph g2["silver"]
    silver__orders["silver.orders<br/><small>static</small>"]
  end
  subgraph g3["gold"]
    gold__total["gold.total"]
    gold__broken["gold.broken"]
  end
  raw__orders --> bronze__orders
  bronze__orders --> silver__orders
  silver__orders --> gold__total
  gold__total --> gold__broken
"""


def test_the_graph_as_json() -> None:
    graph = json_of(World().get("/graph"))
    assert [node["key"] for node in graph["nodes"]] == ["raw.orders", "bronze.orders", "silver.orders", "gold.total", "gold.broken"]
    assert graph["nodes"][0] == {"key": "raw.orders", "kind": "external", "pipeline": "", "group": "raw", "partitions": "static"}
    assert graph["edges"][2] == {"source": "silver.orders", "target": "gold.total", "input": "orders", "mapping": "all partitions"}


@pytest.mark.parametrize(("query", "accept"), [({"format": "mermaid"}, ""), ({}, "text/vnd.mermaid")])
def test_the_graph_as_mermaid(query: dict[str, str], accept: str) -> None:
    reply = World().ask("GET", "/graph", query=query, headers={"Accept": accept})
    assert (reply.media_type, reply.body.decode()) == ("text/vnd.mermaid", MERMAID)


def test_a_healthy_app_says_so() -> None:
    reply = World().get("/health")
    assert reply.status == 200
    assert json_of(reply)["status"] == "ok"
    assert json_of(reply)["checks"] == [{"name": "storage", "ok": True, "detail": ""}, {"name": "definitions", "ok": True, "detail": ""}]


class _Down(MemoryStore):
    def get(self, name: str) -> NoReturn:
        raise StoreUnavailable("The store does not answer.", hint="Try again.")


def test_a_store_that_does_not_answer_is_503_with_the_reason() -> None:
    reply = World(store=_Down()).get("/health")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    assert json_of(reply)["checks"][0] == {"name": "storage", "ok": False, "detail": "The store does not answer. Try again."}


def _broken_definitions() -> Definitions:
    raise DefinitionError(
        [
            DefinitionProblem("Asset `a` reads `b`, which is not defined.", place="pipelines/x/assets.py:3", hint="Did you mean `c`?"),
            DefinitionProblem("Asset `d` is defined twice.", place="pipelines/x/assets.py:9"),
        ]
    )


def _with_broken_definitions() -> World:
    world = World()
    world.app = replace(world.app, runtime=Runtime(world.store, _broken_definitions, project=Path.cwd()))
    return world


def test_broken_definitions_are_503_in_health_with_every_problem() -> None:
    reply = _with_broken_definitions().get("/health")
    assert reply.status == 503
    storage, definitions = json_of(reply)["checks"]
    assert (storage["ok"], definitions["ok"]) == (True, False)
    assert "pipelines/x/assets.py:3: Asset `a` reads `b`" in definitions["detail"]
    assert "Asset `d` is defined twice." in definitions["detail"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/assets"), ("GET", "/graph"), ("POST", "/runs")])
def test_broken_definitions_are_500_elsewhere_problem_by_problem(method: str, path: str) -> None:
    world = _with_broken_definitions()
    reply = world.post(path, {"selection": "a"}) if method == "POST" else world.get(path)
    assert (reply.status, json_of(reply)["code"]) == (500, "invalid-definitions")
    assert json_of(reply)["problems"] == [
        {"detail": "Asset `a` reads `b`, which is not defined.", "hint": "Did you mean `c`?", "place": "pipelines/x/assets.py:3"},
        {"detail": "Asset `d` is defined twice.", "place": "pipelines/x/assets.py:9"},
    ]


def test_runs_can_be_asked_about_while_the_definitions_are_broken() -> None:
    world = World(executes=True)
    run = world.run("+gold.total")["run_id"]
    world.app = replace(world.app, runtime=Runtime(world.store, _broken_definitions, project=Path.cwd()))
    assert json_of(world.get(f"/runs/{run}"))["status"] == "succeeded"
    assert world.get("/runs").status == 200
