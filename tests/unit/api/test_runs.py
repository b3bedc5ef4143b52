from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.api.world import NOW, ORIGIN, World, json_of
from tidemill.api.app import ApiApp
from tidemill.api.engine import EngineState, EngineStatus
from tidemill.definitions.definitions import Definitions
from tidemill.errors import RunFenced, StoreUnavailable
from tidemill.execution.run_plans import plan_run
from tidemill.execution.runs import IdempotencyRecord, TrancheRecord
from tidemill.execution.runtime import Runtime
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, RunId, UnitKey, run_id
from tidemill.model.outcomes import ErrorInfo, Failed
from tidemill.model.runs import RunRequest
from tidemill.model.versions import canonical, digest
from tidemill.testing.engines import RememberingEngine

GOLD = {"selection": "gold.total"}


@pytest.fixture
def world() -> World:
    return World()


def start(world: World, **more: Any) -> RunId:
    return run_id(json_of(world.post("/runs", GOLD | more))["run_id"])


def planned(world: World, selection: str = "+gold.total") -> RunId:
    """A run that the engine has planned and goes on with."""
    run = start(world, selection=selection)
    plan_run(world.runtime, run)
    world.remembering.statuses[run] = EngineStatus(state=EngineState.RUNNING)
    return run


def test_a_run_is_accepted_with_links_of_our_own(world: World) -> None:
    reply = world.post("/runs", GOLD | {"author": "ada", "reason": "because", "partitions": "*", "rerun": True})
    run = "20260102t030405-00000001"
    assert reply.status == 202
    assert json_of(reply) == {
        "run_id": run,
        "status": "pending",
        "statusQueryGetUri": f"{ORIGIN}/api/runs/{run}",
        "cancelPostUri": f"{ORIGIN}/api/runs/{run}/cancel",
    }
    assert reply.headers["Location"] == f"{ORIGIN}/api/runs/{run}"
    assert reply.headers["Retry-After"] == "1"
    assert world.remembering.started == [run]
    assert world.runtime.runs.request(RunId(run)) == RunRequest(
        run_id=run, selection="gold.total", rerun=True, author="ada", reason="because", requested_at=NOW
    )


def test_run_ids_end_in_eight_random_hex_digits() -> None:
    app = ApiApp(runtime=World().runtime, engine=RememberingEngine())
    tokens = {app.token() for _ in range(50)}
    assert len(tokens) == 50
    assert all(re.fullmatch(r"[0-9a-f]{8}", token) for token in tokens)


def test_two_runs_that_meet_in_one_id_are_still_two(world: World) -> None:
    first = start(world)
    world.tokens = 0
    second = start(world, selection="silver.orders")
    assert (first, second) == ("20260102t030405-00000001", "20260102t030405-00000002")
    assert world.runtime.runs.request(second).selection == "silver.orders"


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        ({"selection": "gold.totl"}, "asset-not-found", "Asset `gold.totl` is not defined."),
        ({"selection": "raw.orders"}, "invalid-request", "`raw.orders` selects nothing that can be materialized."),
        ({"selection": "silver.orders", "partitions": "2014-01"}, "partition-not-found", None),
        ({"selection": "((("}, "invalid-selection", None),
        ({"selection": "silver.orders", "parameters": {"facto": 3}}, "unknown-parameter", "No selected asset has a parameter `facto`."),
        (
            {"selection": "silver.orders", "parameters": {"factor": "x"}},
            "unknown-parameter",
            "Parameter `factor` is 'x', but its default is 2.",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_before_anything_starts(
    world: World, body: dict[str, Any], code: str, detail: str | None
) -> None:
    reply = world.post("/runs", body)
    assert (reply.status, json_of(reply)["code"]) == (422, code)
    if detail is not None:
        assert json_of(reply)["detail"] == detail
    assert list(world.store.names("")) == []
    assert world.remembering.started == []


class TestIdempotency:
    def test_the_same_request_with_the_same_key_is_the_same_run(self, world: World) -> None:
        first = json_of(world.post("/runs", GOLD, idempotency_key="k"))
        again = json_of(world.post("/runs", GOLD, idempotency_key="k"))
        in_body = json_of(world.post("/runs", GOLD | {"idempotency_key": "k"}))
        assert first == again == in_body
        assert world.remembering.started == [first["run_id"]]

    def test_another_request_with_the_same_key_is_a_conflict(self, world: World) -> None:
        run = json_of(world.post("/runs", GOLD, idempotency_key="k"))["run_id"]
        reply = world.post("/runs", GOLD | {"rerun": True}, idempotency_key="k")
        assert (reply.status, json_of(reply)["code"]) == (409, "idempotency-conflict")
        assert run in json_of(reply)["detail"]

    def test_other_keys_are_other_runs_and_so_is_none(self, world: World) -> None:
        runs = {json_of(world.post("/runs", GOLD, idempotency_key=key))["run_id"] for key in ("a", "b")} | {start(world), start(world)}
        assert len(runs) == 4

    def test_two_different_keys_in_one_request_are_refused(self, world: World) -> None:
        assert world.post("/runs", GOLD | {"idempotency_key": "a"}, idempotency_key="b").status == 400
        assert world.post("/runs", GOLD, idempotency_key="x" * 201).status == 400

    def test_a_crash_after_the_claim_is_healed_by_the_repeated_request(self, world: World) -> None:
        world.runtime.runs.claim_key("k", IdempotencyRecord(run_id="20251231t235959-0000000f", request=digest(canonical(GOLD))))
        reply = json_of(world.post("/runs", GOLD, idempotency_key="k"))
        assert reply["run_id"] == "20251231t235959-0000000f"
        assert world.remembering.started == ["20251231t235959-0000000f"]
        assert world.runtime.runs.request(RunId(reply["run_id"])).selection == "gold.total"

    def test_a_crash_before_the_engine_heard_is_healed_by_the_repeated_request(self, world: World) -> None:
        world.remembering.fault = StoreUnavailable("The engine is away.")
        assert world.post("/runs", GOLD, idempotency_key="k").status == 503
        world.remembering.fault = None
        assert world.remembering.started == []
        run = json_of(world.post("/runs", GOLD, idempotency_key="k"))["run_id"]
        assert world.remembering.started == [run]

    def test_a_repeated_request_is_answered_even_if_the_asset_is_gone_by_now(self, world: World) -> None:
        run = json_of(world.post("/runs", GOLD, idempotency_key="k"))["run_id"]
        empty = World(store=world.store)
        empty.app = without_assets(empty)
        assert json_of(empty.post("/runs", GOLD, idempotency_key="k"))["run_id"] == run


def without_assets(world: World) -> ApiApp:
    """The same app after every asset was removed."""
    return replace(world.app, runtime=Runtime(world.store, lambda: Definitions([]), project=Path.cwd(), now=lambda: NOW))


class TestAsking:
    def test_an_unknown_run_is_404_and_a_misspelled_one_400(self, world: World) -> None:
        assert json_of(world.get("/runs/20260102t030405-0000000f"))["code"] == "not-found"
        assert world.get("/runs/20260102t030405-0000000f").status == 404
        assert json_of(world.get("/runs/..%2f..%2fx"))["code"] == "invalid-key"

    def test_a_run_that_goes_on_is_202_and_says_when_to_ask_again(self, world: World) -> None:
        run = start(world)
        reply = world.get(f"/runs/{run}")
        assert (reply.status, reply.headers["Retry-After"], reply.headers["Location"]) == (202, "1", f"{ORIGIN}/api/runs/{run}")
        assert (json_of(reply)["status"], json_of(reply)["units"]["total"], json_of(reply)["duration_seconds"]) == ("pending", 0, None)

    def test_asking_starts_a_run_that_the_engine_never_got(self, world: World) -> None:
        run = start(world)
        world.remembering.started.clear()
        world.remembering.statuses.clear()
        assert world.get(f"/runs/{run}").status == 202
        assert world.remembering.started == [run]

    def test_listing_starts_nothing(self, world: World) -> None:
        start(world)
        world.remembering.started.clear()
        world.remembering.statuses.clear()
        assert world.get("/runs").status == 200
        assert world.remembering.started == []

    def test_progress_is_the_plan_and_the_engines_counts_together(self, world: World) -> None:
        run = planned(world)
        world.remembering.statuses[run] = EngineStatus(
            state=EngineState.RUNNING, custom_status={"phase": "running", "assets": {"bronze.orders": [2, 1, 0, 1, 0]}}
        )
        view = json_of(world.get(f"/runs/{run}"))
        assert (view["status"], view["phase"]) == ("running", "running")
        assert [each["asset"] for each in view["assets"]] == ["bronze.orders", "silver.orders", "gold.total"]
        counts = {name: number for name, number in view["units"].items() if number}
        assert counts == {"total": 5, "succeeded": 1, "failed": 1, "pending": 3}

    def test_too_many_assets_for_the_custom_status_leave_the_sum(self, world: World) -> None:
        run = planned(world)
        world.remembering.statuses[run] = EngineStatus(state=EngineState.RUNNING, custom_status={"assets": {"*": [5, 2, 1, 0, 1]}})
        view = json_of(world.get(f"/runs/{run}"))
        assert view["assets"] == []
        assert {name: number for name, number in view["units"].items() if number} == {
            "total": 5,
            "succeeded": 2,
            "unchanged": 1,
            "skipped": 1,
            "pending": 1,
        }

    @pytest.mark.parametrize(
        "custom", [None, "x", [], {"assets": 3}, {"assets": {"bronze.orders": ["x"]}}, {"phase": 7, "assets": {"bronze.orders": []}}]
    )
    def test_a_custom_status_that_cannot_be_read_is_no_progress_and_no_error(self, world: World, custom: Any) -> None:
        run = planned(world)
        world.remembering.statuses[run] = EngineStatus(state=EngineState.RUNNING, custom_status=custom)
        reply = world.get(f"/runs/{run}")
        assert (reply.status, json_of(reply)["units"]["pending"], json_of(reply)["phase"]) == (202, 5, "")

    def test_failures_show_as_soon_as_their_tranche_is_recorded(self, world: World) -> None:
        run = planned(world)
        error = ErrorInfo(code="user-code-failed", message="`bronze.orders@2013-02` raised: see https://h/x?sig=SECRET&y=1")
        world.runtime.runs.record_tranche(run, 0, TrancheRecord(outcomes=(Failed(unit=1, error=error, attempts=3),)))
        world.remembering.statuses[run] = EngineStatus(
            state=EngineState.RUNNING, custom_status={"assets": {"bronze.orders": [2, 0, 0, 1, 0]}}
        )
        (failure,) = json_of(world.get(f"/runs/{run}"))["failures"]
        assert (failure["asset"], failure["partition"], failure["attempts"]) == ("bronze.orders", "2013-02", 3)
        assert failure["error"]["message"] == "`bronze.orders@2013-02` raised: see https://h/x?[redacted]&y=1"

    @pytest.mark.parametrize(
        ("state", "how"), [(EngineState.FAILED, "failed"), (EngineState.TERMINATED, "was terminated"), (EngineState.COMPLETED, "ended")]
    )
    def test_an_engine_that_stopped_without_a_result_means_failed_with_one_sentence(
        self, world: World, state: EngineState, how: str
    ) -> None:
        run = planned(world)
        world.remembering.statuses[run] = EngineStatus(state=state)
        reply = world.get(f"/runs/{run}")
        assert (reply.status, json_of(reply)["status"]) == (200, "failed")
        assert json_of(reply)["error"]["message"] == (
            f"The orchestration of run `{run}` {how} before it could record a result, so nothing was published."
        )

    def test_our_result_counts_even_if_the_engine_says_running(self) -> None:
        world = World(executes=True)
        run = world.run("+gold.total")["run_id"]
        stuck = World(store=world.store)
        stuck.remembering.statuses[run] = EngineStatus(state=EngineState.RUNNING)
        reply = stuck.get(f"/runs/{run}")
        assert (reply.status, json_of(reply)["status"]) == (200, "succeeded")

    def test_a_finished_run_tells_everything(self) -> None:
        view = World(executes=True).run("+gold.total", author="ada", reason="first")
        assert view["status"] == "succeeded"
        assert (view["commit"], view["changed"], view["author"], view["reason"]) == (1, 7, "ada", "first")
        assert {name: number for name, number in view["units"].items() if number} == {"total": 5, "succeeded": 5}
        assert [(each["asset"], each["row_count"]) for each in view["outputs"]] == [
            ("bronze.orders", 6),
            ("silver.orders", 6),
            ("gold.total", 1),
        ]
        assert view["outputs"][2]["dataUri"] == f"{ORIGIN}/api/assets/gold.total/data"
        assert view["error"] is None

    def test_a_failed_run_names_the_unit_and_publishes_nothing(self) -> None:
        world = World(executes=True)
        view = world.run("+gold.broken")
        assert (view["status"], view["commit"], view["outputs"]) == ("failed", 0, [])
        (failure,) = view["failures"]
        assert failure["asset"] == "gold.broken"
        assert "ValueError" in failure["error"]["message"]
        assert "SECRET" not in str(view)
        assert world.get("/assets/bronze.orders/data").status == 404

    def test_a_refused_run_says_why(self) -> None:
        world = World(executes=True)
        view = world.run("gold.total")  # its input was never materialized and is not selected
        assert (view["status"], view["error"]["code"], view["units"]["total"]) == ("failed", "input-missing", 0)


class TestListing:
    def test_pages_go_from_new_to_old(self, world: World) -> None:
        runs = [start(world) for _ in range(5)]
        first = json_of(world.get("/runs", limit="2"))
        second = json_of(world.get("/runs", limit="2", cursor=first["next_cursor"]))
        third = json_of(world.get("/runs", limit="2", cursor=second["next_cursor"]))
        listed = [each["run_id"] for page in (first, second, third) for each in page["runs"]]
        assert listed == runs[::-1]
        assert third["next_cursor"] is None

    def test_an_empty_list_is_a_list(self, world: World) -> None:
        assert json_of(world.get("/runs")) == {"runs": [], "next_cursor": None}

    def test_a_cursor_that_is_no_run_is_refused(self, world: World) -> None:
        assert world.get("/runs", cursor="../x").status == 400


class TestCancelling:
    def test_the_run_is_fenced_recorded_and_woken(self, world: World) -> None:
        run = planned(world)
        reply = world.post(f"/runs/{run}/cancel", {"author": "ada", "reason": "enough"})
        assert (reply.status, reply.headers["Location"]) == (202, f"{ORIGIN}/api/runs/{run}")
        assert world.remembering.woken == [run]
        (head,) = world.runtime.catalog.history()
        assert head.snapshot is not None
        assert (head.snapshot.kind, head.snapshot.run_id, head.snapshot.author) == ("fence", run, "ada")
        assert json_of(world.get(f"/runs/{run}"))["cancel"] == {"author": "ada", "reason": "enough", "requested_at": "2026-01-02T03:04:05Z"}

    def test_nothing_of_the_run_can_be_committed_afterwards(self, world: World) -> None:
        run = planned(world)
        assert world.post(f"/runs/{run}/cancel").status == 202
        unit = UnitKey(AssetKey("gold.total"), PartitionKey(""))
        with pytest.raises(RunFenced):
            world.runtime.catalog.commit(
                {unit: Entry(record="0" * 64, data_version="0" * 64)}, base=0, run_id=run, author="", reason="", at=NOW
            )

    def test_twice_is_once(self, world: World) -> None:
        run = planned(world)
        world.post(f"/runs/{run}/cancel", {"author": "ada"})
        assert world.post(f"/runs/{run}/cancel", {"author": "bob"}).status == 202
        assert len(world.runtime.catalog.history()) == 1
        assert json_of(world.get(f"/runs/{run}"))["cancel"]["author"] == "ada"

    def test_an_ended_run_cannot_be_cancelled(self) -> None:
        world = World(executes=True)
        run = world.run("+gold.total")["run_id"]
        reply = world.post(f"/runs/{run}/cancel")
        assert (reply.status, json_of(reply)["detail"]) == (409, f"Run `{run}` has already ended: it succeeded.")
        assert len(world.runtime.catalog.history()) == 1

    def test_a_run_that_committed_but_has_no_result_yet_is_not_called_cancelled(self, world: World) -> None:
        run = planned(world)
        unit = UnitKey(AssetKey("gold.total"), PartitionKey(""))
        world.runtime.catalog.commit(
            {unit: Entry(record="0" * 64, data_version="0" * 64)}, base=0, run_id=run, author="", reason="", at=NOW
        )
        assert world.post(f"/runs/{run}/cancel").status == 409
        assert world.runtime.runs.cancel(run) is None

    def test_a_run_the_engine_never_got_is_started_so_that_it_can_end(self, world: World) -> None:
        run = start(world)
        world.remembering.started.clear()
        world.remembering.statuses.clear()
        assert world.post(f"/runs/{run}/cancel").status == 202
        assert world.remembering.started == [run]

    def test_unknown_runs_are_404(self, world: World) -> None:
        assert world.post("/runs/20260102t030405-0000000f/cancel").status == 404


def test_durations_count_from_the_plan(world: World) -> None:
    run = planned(world)
    later = World(store=world.store)
    later.runtime.now = lambda: NOW + timedelta(seconds=12.5)
    later.remembering.statuses[run] = EngineStatus(state=EngineState.RUNNING)
    assert json_of(later.get(f"/runs/{run}"))["duration_seconds"] == 12.5
