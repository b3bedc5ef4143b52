from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.api.world import World, json_of
from tests.unit.cli.app_server import serving
from tidemill.api.payloads import RunView
from tidemill.cli.client import AppClient
from tidemill.cli.errors import AppProblem, AppUnreachable
from tidemill.cli.following import PATIENCE_SECONDS, follow
from tidemill.cli.output import JsonOutput


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, meanwhile: Callable[[float], None] = lambda _: None) -> None:
        self.now = 0.0
        self._meanwhile = meanwhile

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._meanwhile(self.now)


class Flaky(AppClient):
    """Loses the app between two moments."""

    def __init__(self, url: str, clock: Clock, gone: tuple[float, float], error: Exception) -> None:
        super().__init__(url)
        self._clock, self._gone, self._error = clock, gone, error
        self.asked = 0

    def run(self, run: str) -> RunView:
        self.asked += 1
        if self._gone[0] <= self._clock.now < self._gone[1]:
            raise self._error
        return super().run(run)


def test_a_restart_of_the_app_is_waited_for() -> None:
    world = World(executes=True)
    run = world.run("+gold.total")["run_id"]
    clock = Clock()
    with serving(world) as url, Flaky(url, clock, (0.0, 60.0), AppUnreachable(url, "connection refused")) as client:
        assert follow(client, run, JsonOutput(), clock=clock, sleep=clock.sleep).status == "succeeded"
        assert client.asked > 2


def test_an_app_that_stays_away_is_given_up() -> None:
    clock = Clock()
    with Flaky("http://x", clock, (0.0, 1e9), AppUnreachable("http://x", "connection refused")) as client, pytest.raises(AppUnreachable):
        follow(client, "r", JsonOutput(), clock=clock, sleep=clock.sleep)
    assert PATIENCE_SECONDS <= clock.now < PATIENCE_SECONDS + 10


def test_a_run_that_does_not_exist_is_not_waited_for() -> None:
    clock = Clock()
    with serving(World()) as url, AppClient(url) as client, pytest.raises(AppProblem, match="There is no run"):
        follow(client, "20260102t030405-0000000f", JsonOutput(), clock=clock, sleep=clock.sleep)
    assert clock.now == 0.0


def test_the_pause_grows_but_stays_short() -> None:
    world = World()
    run = json_of(world.post("/runs", {"selection": "gold.total"}))["run_id"]
    pauses: list[float] = []

    class Enough(Exception):
        pass

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 60:
            raise Enough

    with serving(world) as url, AppClient(url) as client, pytest.raises(Enough):
        follow(client, run, JsonOutput(), clock=lambda: 0.0, sleep=sleep)
    assert (pauses[0], pauses[-1]) == (0.3, 2.0)
    assert pauses == sorted(pauses)
