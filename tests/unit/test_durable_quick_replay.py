from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dateutil.parser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import durable_quick_replay
from durable_quick_replay import MODULE, SAMPLES, quick, quicken_replay
from tidemill.testing.replay import ReplayDriver
from tools.bootstrap import ROOT

GOLDEN = ROOT / "tests" / "conformance" / "golden"
EPISODES = sorted((GOLDEN / "episodes").glob("*.json"))
SDK: Any = importlib.import_module(MODULE)
ZONES = ["UTC", "Europe/London", "America/New_York", "UTC-3UTC", "WAT-1UTC,M3.5.0,M10.5.0"]
"""Called UTC; not so; summer time of the same name; summer time that is called UTC."""


@pytest.fixture(autouse=True)
def _as_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with the SDK as it was installed, and leaves it so."""
    monkeypatch.setattr(SDK, "dt_parse", dateutil.parser.parse)


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


def answer_of(parse: Callable[[Any], datetime], text: Any) -> tuple[Any, ...]:
    """All that can be told of what comes back: the value to the bit, or the error."""
    try:
        found = parse(text)
    except Exception as error:
        return type(error), error.args
    return type(found), found, repr(found), found.fold, type(found.tzinfo), found.tzname(), found.utcoffset(), found.dst(), hash(found)


def written(moment: datetime, tenth_of_microsecond: int) -> str:
    """As the engine writes it: up to seven digits, trailing zeros away."""
    digits = f"{moment.microsecond:06d}{tenth_of_microsecond}".rstrip("0")
    return moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + (f".{digits}" if digits else "") + "Z"


engine_timestamps = st.builds(written, st.datetimes(), st.integers(0, 9))
other_timestamps = st.one_of(
    st.datetimes(timezones=st.sampled_from([UTC])).map(datetime.isoformat),
    st.builds(
        lambda text, end: text[:-1] + end, engine_timestamps, st.sampled_from(["", "z", "+00:00", "-00:00", "+02:00", " Z", "\n", "Z\n"])
    ),
    st.builds(
        lambda text, where, char: text[: where % len(text)] + char + text[where % len(text) + 1 :],
        engine_timestamps,
        st.integers(0, 40),
        st.sampled_from([*list("0123456789TZ-:., +٣"), ""]),
    ),
    st.from_regex(durable_quick_replay._PLAIN, fullmatch=True),  # months to 99, hours to 99
)


@given(engine_timestamps)
@example("2026-01-01T00:00:00Z")
@example("2026-01-01T00:00:00.0000000Z")
@example("0001-01-01T00:00:00Z")
@example("9999-12-31T23:59:59.9999999Z")
def test_the_engines_timestamps_read_the_same(text: str) -> None:
    assert answer_of(quick(dateutil.parser.parse), text) == answer_of(dateutil.parser.parse, text)


@given(other_timestamps)
@example("2026-13-01T00:00:00Z")
@example("2026-02-30T00:00:00Z")
@example("2026-01-01T24:00:00Z")
@example("2026-01-01T00:00:60Z")
@example("0000-01-01T00:00:00Z")
@example("2026-01-01T00:00:00.12345678Z")
@example("٢026-01-01T00:00:00Z")
@example("")
@example(None)
@example(b"2026-01-01T00:00:00Z")
@pytest.mark.filterwarnings("ignore::dateutil.parser.UnknownTimezoneWarning")
def test_anything_else_is_left_to_dateutil(text: Any) -> None:
    assert answer_of(quick(dateutil.parser.parse), text) == answer_of(dateutil.parser.parse, text)


def test_every_zone_of_the_machine_gives_the_same_values_and_time_zones(zone: str) -> None:
    parse = quick(dateutil.parser.parse)
    texts = [
        written(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day, hours=day % 24, microseconds=day * 1001), day % 10)
        for day in range(0, 365, 3)
    ]
    assert [answer_of(parse, each) for each in texts] == [answer_of(dateutil.parser.parse, each) for each in texts]


def test_a_change_of_zone_in_the_running_process_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = quick(dateutil.parser.parse)
    kinds = []
    try:
        for name in ("UTC", "America/New_York", "UTC"):
            monkeypatch.setenv("TZ", name)
            time.tzset()
            assert answer_of(parse, SAMPLES[0]) == answer_of(dateutil.parser.parse, SAMPLES[0])
            kinds.append(type(parse(SAMPLES[0]).tzinfo).__name__)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert kinds == ["tzlocal", "tzutc", "tzlocal"]


WIDTH = 40


def fan_out(context: Any) -> Any:
    found = yield context.task_all([context.call_activity("echo", number) for number in range(WIDTH)])
    later = yield context.create_timer(context.current_utc_datetime + timedelta(seconds=5))
    return [sum(found), later, context.current_utc_datetime.isoformat(), context.current_utc_datetime.tzname()]


def driven() -> tuple[Any, list[Any]]:
    driver = ReplayDriver(fan_out, None)
    for number in range(WIDTH):
        driver.complete(number, number)
    driver.fire(WIDTH)
    return driver.output, driver.asked


def test_an_orchestration_ends_the_same_and_dateutil_is_asked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counting(text: str) -> datetime:
        asked.append(text)
        return dateutil.parser.parse(text)

    monkeypatch.setattr(SDK, "dt_parse", counting)
    before = driven()
    assert len(asked) > WIDTH**2
    asked.clear()
    monkeypatch.setattr(SDK, "dt_parse", quick(counting))
    assert driven() == before
    assert before[0][0] == sum(range(WIDTH))
    assert asked == [SAMPLES[0]]  # once, for the name of UTC


@pytest.fixture(scope="module")
def recorded_app() -> dict[str, Callable[[Any], str]]:
    """The orchestrators that the recordings were made with."""
    spec = importlib.util.spec_from_file_location("recorded_function_app", GOLDEN / "function_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {each.get_function_name(): each.get_user_function() for each in module.app.get_functions()}


def with_moments(value: Any, seed: int) -> Any:
    """A recorded episode with the times put back that the recording leaves out: rising, in every form that the engine writes."""
    chance = random.Random(seed)
    moment = datetime(2026, 11, 20, 9, 0, 0, tzinfo=UTC)

    def filled(value: Any) -> Any:
        nonlocal moment
        if isinstance(value, dict):
            return {key: filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [filled(each) for each in value]
        if value != "TIME":
            return value
        moment += timedelta(microseconds=chance.choice([0, 1, 1000, 123456, 1_000_000]))
        return written(moment, chance.choice([0, 3, 9]))

    return filled(value)


def replayed(orchestrator: Callable[[Any], str], episode: Any) -> tuple[str, str]:
    try:
        return "answered", orchestrator(_Body(json.dumps(episode)))
    except Exception as error:
        return "raised", str(error)


class _Body:
    """What the worker hands to an orchestrator."""

    def __init__(self, body: str) -> None:
        self.body = body


@pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")
def test_every_recorded_episode_gets_the_same_answer_to_the_letter(
    recorded_app: dict[str, Callable[[Any], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[bool, list[tuple[str, str]]] = {}
    for is_quick in (False, True):
        monkeypatch.setattr(SDK, "dt_parse", dateutil.parser.parse)
        assert not is_quick or quicken_replay()
        answers[is_quick] = [
            replayed(recorded_app[each["function"]], with_moments(each["given"], number))
            for path in EPISODES
            for number, each in enumerate(json.loads(path.read_text()))
            if each["kind"] == "orchestrator"
        ]
    assert answers[True] == answers[False]
    kinds = [kind for kind, _ in answers[True]]
    assert kinds.count("answered") > 150
    assert kinds.count("raised") > 5
    assert sum('"isDone": true' in text for _, text in answers[True]) > 30


def test_it_is_done_once_and_touches_nothing_but_the_one_name(caplog: pytest.LogCaptureFixture) -> None:
    before = {name: value for name, value in vars(SDK).items() if name != "dt_parse"}
    attributes = dict(vars(SDK.HistoryEvent))
    status = importlib.import_module("azure.durable_functions.models.DurableOrchestrationStatus")
    assert quicken_replay()
    done = SDK.dt_parse
    assert done is not dateutil.parser.parse
    assert quicken_replay()
    assert SDK.dt_parse is done
    assert {name: value for name, value in vars(SDK).items() if name != "dt_parse"} == before
    assert dict(vars(SDK.HistoryEvent)) == attributes
    assert status.dt_parse is dateutil.parser.parse
    assert caplog.records == []


@pytest.mark.parametrize(
    ("where", "name", "value", "said"),
    [
        (
            importlib.metadata,
            "version",
            lambda _: "1.7.1",
            "azure-functions-durable is 1.7.1, and durable_quick_replay was written for 1.7.0.",
        ),
        (durable_quick_replay, "SOURCE", hashlib.sha256(b"another").hexdigest(), f"the source of {MODULE} is not that of 1.7.0."),
        (SDK, "dt_parse", datetime.fromisoformat, f"`dt_parse` in {MODULE} is not dateutil's: something else has replaced it."),
        (
            durable_quick_replay,
            "MODULE",
            "azure.durable_functions.gone",
            "ModuleNotFoundError: No module named 'azure.durable_functions.gone'",
        ),
        (
            durable_quick_replay,
            "quick",
            lambda _: datetime.fromisoformat,
            "dateutil reads 2026-11-21T15:33:31Z as datetime.datetime(2026, 11, 21, 15, 33, 31, tzinfo=",
        ),
    ],
    ids=["another release", "another source", "somebody else's parser", "a module that is gone", "another dateutil"],
)
def test_whatever_is_not_as_expected_is_left_alone_with_one_line(
    where: Any, name: str, value: Any, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(where, name, value)
    before = SDK.dt_parse
    assert not quicken_replay()
    assert SDK.dt_parse is before
    assert [(each.levelno, each.name) for each in caplog.records] == [(logging.WARNING, "durable_quick_replay")]
    assert caplog.messages[0].startswith(f"Replays are left as slow as the Durable SDK has them: {said}")
    assert "\n" not in caplog.messages[0]


def test_our_own_app_asks_for_it_and_another_in_the_same_process_reads_the_same(tmp_path: Path) -> None:
    program = f"""
import importlib, dateutil.parser
import function_app
module = importlib.import_module({MODULE!r})
assert module.dt_parse is not dateutil.parser.parse
event = module.HistoryEvent(EventType=12, EventId=-1, IsPlayed=False, Timestamp="2026-01-02T03:04:05+02:00")  # no form of the engine's
print(event.timestamp == dateutil.parser.parse("2026-01-02T03:04:05+02:00"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "TIDEMILL_STORAGE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
