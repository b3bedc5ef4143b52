"""Events of real runs and of runs that Hypothesis makes up, held to the specification's own schemas."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.lineage.openlineage_schemas import FOLDER, facets, faults
from tests.unit.lineage.test_openlineage import events_of
from tests.unit.lineage.world import Shop
from tidemill.lineage.openlineage import Event, Part, RunHistory, Span, end_event, start_event, unit_events
from tidemill.lineage.values import ColumnEdge, ColumnLineage
from tidemill.model.columns import ColumnUse
from tidemill.model.facts import Column, DataFile, Entry, InputVersion, Materialization, Observation, Record
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.model.outcomes import ErrorInfo, Failed, Skipped, Succeeded, Unchanged, UnitOutcome
from tidemill.model.runs import RunRequest, RunResult, RunStatus

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UNIT = UnitKey(AssetKey("gold.x"), PartitionKey(""))


@pytest.fixture(scope="module")
def told() -> list[Event]:
    good, bad = Shop(), Shop()
    bad.broken = True
    return events_of(good, good.run("+gold.total")["run_id"]) + events_of(bad, bad.run("+gold.total")["run_id"])


def test_real_events_are_what_the_specification_says(told: list[Event]) -> None:
    assert [fault for event in told for fault in faults(event)] == []
    assert {name for event in told for name, _ in facets(event)} >= {
        *("parent", "errorMessage", "tidemill_unit", "jobType", "sourceCodeLocation", "sql", "schema", "version", "tidemill_versions"),
        *("columnLineage", "dataQualityMetrics", "inputStatistics", "outputStatistics"),
    }


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("eventTime",), "yesterday"),
        (("eventType",), "DONE"),
        (("run", "runId"), "17"),
        (("run", "facets", "parent", "run", "runId"), "17"),
        (("producer",), "nobody at all"),
        (("outputs", 0, "outputFacets", "outputStatistics", "rowCount"), "many"),
        (("outputs", 0, "facets", "dataQualityMetrics", "columnMetrics", "total", "max"), "2013-01-01"),
        (("outputs", 0, "facets", "columnLineage", "fields", "total", "inputFields"), None),
        (("job", "facets", "sql", "query"), None),
    ],
)
def test_the_schemas_catch_what_is_wrong(told: list[Event], at: tuple[str | int, ...], value: Any) -> None:
    whole = next(event for event in told if event["job"]["name"] == "silver.per_shop" and event["outputs"])
    event = copy.deepcopy(whole)
    holder: Any = event
    for step in at[:-1]:
        holder = holder[step]
    assert at[-1] in holder
    holder[at[-1]] = value
    assert faults(whole) == []
    assert faults(event) != []


def test_values_in_the_facets_are_those_on_record(told: list[Event]) -> None:
    done = next(event for event in told if event["eventType"] == "COMPLETE" and event["job"]["name"] == "silver.per_shop")
    metrics = done["outputs"][0]["facets"]["dataQualityMetrics"]
    assert metrics["columnMetrics"] == {
        "shop": {"nullCount": 0, "count": 2},
        "total": {"nullCount": 0, "count": 2, "min": 2.0, "max": 5.0},
        "count_star()": {"nullCount": 0, "count": 2, "min": 1, "max": 2},
    }
    (read,) = done["inputs"]
    assert read["inputFacets"]["inputStatistics"]["rowCount"] == 3
    assert read["inputFacets"]["dataQualityMetrics"]["columnMetrics"]["amount"] == {"nullCount": 0, "count": 3, "min": 1.0, "max": 4.0}
    assert done["job"]["facets"]["sql"]["query"].startswith("select shop, sum(amount)")
    assert done["job"]["facets"]["sourceCodeLocation"]["path"].startswith("world.py:")
    code = done["job"]["facets"]["sourceCodeLocation"]["version"]
    assert done["job"]["facets"]["sourceCodeLocation"]["url"] == f"urn:tidemill:code:{code}"


def test_the_schemas_are_those_of_one_release() -> None:
    names = {json.loads(path.read_text(encoding="utf-8"))["$id"].rsplit("/", 1)[-1] for path in FOLDER.rglob("*.json")}
    assert {path.name for path in FOLDER.rglob("*.json")} == names
    assert "1.52.0" in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "Apache License" in (FOLDER / "LICENSE").read_text(encoding="utf-8")


HASH = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXT = st.text(max_size=20)
NUMBER = st.integers(min_value=0, max_value=2**53)
BOUND = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT | st.booleans()
ERROR = st.builds(ErrorInfo, code=st.just("user-code-failed"), message=TEXT, stack=TEXT)


@st.composite
def columns(draw: st.DrawFn) -> tuple[Column, ...]:
    names = draw(st.lists(st.text(min_size=1, max_size=8), max_size=4, unique=True))
    return tuple(
        Column(
            name=name,
            type="int64",
            nullable=draw(st.booleans()),
            null_count=draw(st.integers(0, 5)),
            minimum=draw(BOUND),
            maximum=draw(BOUND),
        )
        for name in names
    )


@st.composite
def histories(draw: st.DrawFn) -> RunHistory:
    sources: dict[str, Record] = {}
    for number in range(draw(st.integers(0, 3))):
        asset, partition = draw(st.sampled_from(["raw.a", "raw.b"])), str(number)
        if draw(st.booleans()):
            sources[draw(HASH)] = Observation(asset=asset, partition=partition, data_version=draw(TEXT))
        else:
            sources[draw(HASH)] = _made(draw, asset, partition, {})
    records: dict[str, Record] = dict(sources)
    outcomes: dict[int, UnitOutcome] = {}
    units = draw(st.integers(1, 4))
    for at in range(units):
        kind = draw(st.sampled_from(["succeeded", "failed", "skipped", "unchanged", "none"]))
        entry = Entry(record=draw(HASH), data_version=draw(HASH), fingerprint=draw(HASH))
        match kind:
            case "succeeded":
                records[entry.record] = _made(draw, "gold.x", str(at), sources)
                outcomes[at] = Succeeded(unit=at, entry=entry, row_count=1, size_bytes=1, seconds=draw(st.floats(0, 1e6)))
            case "failed":
                outcomes[at] = Failed(unit=at, error=draw(ERROR))
            case "skipped":
                outcomes[at] = Skipped(unit=at, because=0)
            case "unchanged":
                outcomes[at] = Unchanged(unit=at, entry=entry)
    status = draw(st.none() | st.sampled_from([RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED]))
    result = None
    if status is not None:
        end = START + draw(st.timedeltas(timedelta(0), timedelta(days=9)))
        result = RunResult(run_id="r", status=status, started_at=START, finished_at=end, error=draw(st.none() | ERROR))
    code = draw(HASH)
    recorded = draw(st.none() | st.just(START + timedelta(minutes=1)))
    edges = draw(
        st.lists(st.builds(ColumnEdge, column=TEXT, source_asset=TEXT, source_column=TEXT, use=st.sampled_from(ColumnUse), known=TEXT))
    )
    lineage = ColumnLineage(asset="gold.x", columns=tuple({each.column for each in edges}), edges=tuple(edges), unknown_because="")
    published = draw(st.booleans())
    return RunHistory(
        request=RunRequest(run_id="r", selection=draw(TEXT), requested_at=START),
        result=result,
        started_at=START,
        outcomes=outcomes,
        units=lambda wanted: {at: (UnitKey(AssetKey("gold.x"), PartitionKey(str(at))), code) for at in wanted},
        span=lambda at, _unit, _outcome: (
            Span(START, recorded, with_run=False, published=published)
            if recorded and at % 2
            else Span(START, result.finished_at if result else None, with_run=True, published=published)
        ),
        records=lambda wanted: {each: records[each] for each in wanted},
        columns=lambda _record: lineage,
        definition=lambda _asset, _version: None,
        namespace=draw(st.text(min_size=1, max_size=8)),
    )


def _made(draw: st.DrawFn, asset: str, partition: str, read: dict[str, Record]) -> Materialization:
    return Materialization(
        asset=asset,
        partition=partition,
        data_version=draw(HASH),
        fingerprint="f",
        code_version="c",
        parameters={},
        inputs=tuple(
            InputVersion(name="in", asset=each.asset, partition=each.partition, data_version=each.data_version, record=at)
            for at, each in read.items()
        ),
        files=(DataFile(sha256="s", size_bytes=1, row_count=1),),
        columns=draw(columns()),
        row_count=draw(NUMBER),
        size_bytes=draw(NUMBER),
        run_id="r",
    )


@settings(max_examples=30, deadline=None)
@given(histories())
def test_every_run_gives_sound_events(history: RunHistory) -> None:
    events = [start_event(history), *unit_events(history, history.started)]
    last = end_event(history)
    events += [last] if last else []
    decoded = json.loads(json.dumps(events, allow_nan=False))
    assert [fault for event in decoded for fault in faults(event)] == []
    # Every run that has begun to be told has one START and, once it has ended, exactly one end.
    kinds: dict[str, list[str]] = {}
    for event in events:
        kinds.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert len(kinds) == 1 + len(history.started)
    ended = (
        [True] * len(kinds)
        if last
        else [False, *(history.span(at, UNIT, history.outcomes[at]).ended is not None for at in history.started)]
    )
    for found, has_ended in zip(kinds.values(), ended, strict=True):
        assert found[0] == "START"
        assert len(found) == 2 and found[1] in {"COMPLETE", "FAIL", "ABORT"} if has_ended else found[1:] == []
    # What is sent while a run goes on and at its end is what is told of it afterwards.
    live = [*unit_events(history, history.started, Part.RECORDED), *unit_events(history, history.started, Part.ENDED)]
    assert sorted(map(repr, live)) == sorted(map(repr, unit_events(history, history.started)))
