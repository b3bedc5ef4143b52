from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from tidemill.model.facts import InputVersion, JsonScalar, Materialization, Observation, Record
from tidemill.plan.explain import Difference, KnownInputs, chain, differences, first_causes, known_inputs, phrase
from tidemill.plan.plan import Action, PinnedInput, Plan, PlannedAsset, PlannedUnit, UnitInput, unit_fingerprint

RAW = PinnedInput("raw", "raw.orders", "d1", "v1", "r-raw", 0)
THEN = {("function", "p.total"): "aa", ("value", "p.SCALE"): "bb", ("import", "numpy"): ""}


def planned(code: str = "c1", parameters: dict[str, JsonScalar] | None = None, mapping: tuple[str, ...] = ()) -> PlannedAsset:
    return PlannedAsset(
        key="bronze.orders",
        code_version=code,
        parameters={"n": 1} if parameters is None else parameters,
        reads_partition=True,
        mapping_inputs=mapping,
    )


def made(*inputs: PinnedInput, asset: PlannedAsset | None = None, name: str = "bronze.orders", partition: str = "d1") -> Materialization:
    """The record of a unit that was made from these."""
    asset = asset or planned()
    return Materialization(
        asset=name,
        partition=partition,
        data_version=f"data of {name}",
        fingerprint=unit_fingerprint(asset, partition, inputs),
        code_version=asset.code_version,
        parameters=asset.parameters,
        inputs=tuple(
            InputVersion(name=i.name, asset=i.asset, partition=i.partition, data_version=i.data_version, record=i.record) for i in inputs
        ),
        files=(),
        columns=(),
        row_count=0,
        size_bytes=0,
        run_id="run-1",
    )


def known(*inputs: PinnedInput) -> KnownInputs:
    return KnownInputs(inputs, frozenset())


def test_nothing_differs_if_it_would_be_made_from_the_same() -> None:
    assert differences(made(RAW), planned(), known(RAW)) == ()


def test_the_parts_of_the_code_that_changed_are_named() -> None:
    now = {("function", "p.total"): "aa", ("value", "p.SCALE"): "cc", ("function", "p.helper"): "dd"}
    found = differences(made(RAW), planned("c2"), known(RAW), code_then=THEN, code_now=now)
    assert found == (
        Difference(kind="code", name="function p.helper", before="", after="dd"),
        Difference(kind="code", name="import numpy", before="numpy", after=""),
        Difference(kind="code", name="value p.SCALE", before="bb", after="cc"),
    )
    assert phrase(found) == "its code changed: function p.helper, import numpy, value p.SCALE"


@pytest.mark.parametrize("then", [None, THEN])
def test_where_the_parts_cannot_tell_the_versions_do(then: Mapping[tuple[str, str], str] | None) -> None:
    found = differences(made(RAW), planned("c2"), known(RAW), code_then=then, code_now=THEN)
    assert found == (Difference(kind="code", name="", before="c1", after="c2"),)
    assert phrase(found) == "its code changed"


def test_parameters_are_told_with_both_values() -> None:
    found = differences(made(RAW), planned(parameters={"n": "1", "m": None}), known(RAW))
    assert found == (
        Difference(kind="parameter", name="m", before="", after="null"),
        Difference(kind="parameter", name="n", before="1", after='"1"'),
    )
    assert phrase(found) == 'parameter m was not there and is null; parameter n was 1 and is "1"'


def test_inputs_are_told_with_both_versions() -> None:
    newer, other = PinnedInput("raw", "raw.orders", "d1", "v2", "r2", 0), PinnedInput("rates", "raw.rates", "", "x", "r3", 1)
    found = differences(made(RAW), planned(), known(newer, other))
    assert found == (
        Difference(kind="input", name="raw", unit="raw.orders@d1", before="v1", after="v2"),
        Difference(kind="input", name="rates", unit="raw.rates", before="", after="x"),
    )
    assert phrase(found) == "its inputs raw.orders, raw.rates changed"


def test_the_order_of_equal_inputs_counts_too() -> None:
    second = PinnedInput("raw", "raw.orders", "d2", "v2", "r2", 1)
    found = differences(made(RAW, second), planned(), known(second, RAW))
    assert [each.kind for each in found] == ["order"]


def test_a_change_in_what_counts_of_partition_keys_is_told() -> None:
    found = differences(made(RAW), planned(mapping=("raw",)), known(RAW))
    assert [each.kind for each in found] == ["use"]


def test_inputs_that_run_first_are_left_out() -> None:
    open_inputs = KnownInputs((), frozenset({("raw", "raw.orders", "d1")}))
    assert differences(made(RAW), planned(), open_inputs) == ()
    assert [each.kind for each in differences(made(RAW), planned("c2"), open_inputs)] == ["code"]


def plan(*units: PlannedUnit) -> Plan:
    return Plan(
        selection="*", partitions="*", branch="main", base=1, snapshot="", rerun=False, assets=(planned(),), units=units, observations=()
    )


def unit(partition: str, action: Action, *reads: int) -> PlannedUnit:
    inputs = tuple(UnitInput("up", each, order) for order, each in enumerate(reads))
    return PlannedUnit(0, partition, action, "", inputs, (), None)


def test_the_first_causes_are_the_units_that_certainly_run() -> None:
    made_plan = plan(
        unit("a", Action.RUN),
        unit("b", Action.SKIP),
        unit("c", Action.WAIT, 0, 1),
        unit("d", Action.BLOCKED),
        unit("e", Action.WAIT, 2, 3),
        unit("f", Action.RUN),
    )
    assert first_causes(made_plan, 4) == [0, 3]
    assert first_causes(made_plan, 2) == [0]
    assert first_causes(made_plan, 0) == []


def test_a_blocked_unit_leads_to_where_it_is_blocked() -> None:
    made_plan = plan(unit("a", Action.BLOCKED), unit("b", Action.BLOCKED, 0), unit("c", Action.BLOCKED, 1))
    assert first_causes(made_plan, 2) == [0]


def test_what_runs_first_is_not_known_yet() -> None:
    found = known_inputs(plan(unit("a", Action.RUN), unit("b", Action.WAIT, 0)), 1)
    assert found == KnownInputs((), frozenset({("up", "bronze.orders", "a")}))


RECORDS: dict[str, Record] = {
    "r-raw": Observation(asset="raw.orders", partition="d1", data_version="v1"),
    "r-a": made(RAW, name="silver.a"),
    "r-b": made(RAW, name="silver.b"),
    "r-top": made(
        PinnedInput("a", "silver.a", "d1", "va", "r-a"), PinnedInput("b", "silver.b", "d1", "vb", "r-b", 1), name="gold.top", partition=""
    ),
}


def read(hashes: Sequence[str]) -> Mapping[str, Record]:
    return {each: RECORDS[each] for each in hashes}


def test_the_chain_reaches_the_sources_and_names_each_version_once() -> None:
    found = chain("r-top", read, limit=10)
    assert found.complete
    assert [(each.depth, each.asset, each.kind) for each in found.origins] == [
        (0, "gold.top", "materialized"),
        (1, "silver.a", "materialized"),
        (1, "silver.b", "materialized"),
        (2, "raw.orders", "observed"),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_chain_that_is_cut_short_says_so(limit: int) -> None:
    found = chain("r-top", read, limit=limit)
    assert not found.complete
    assert [each.record for each in found.origins] == ["r-top", "r-a", "r-b"][:limit]
    assert chain("r-top", read, limit=4).complete
