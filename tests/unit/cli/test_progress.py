from __future__ import annotations

import pytest

from tidemill.api.payloads import UnitCounts
from tidemill.cli.progress import Pace, Standing
from tidemill.cli.run_pictures import progress_line
from tidemill.cli.words import duration, plural, printable, size, span


def standing(done: int, total: int = 100, reused: int = 0, failed: int = 0) -> Standing:
    units = UnitCounts(total=total + reused, succeeded=done - failed, failed=failed, up_to_date=reused, pending=total - done)
    return Standing("r", "running", "running", units, ())


def test_counts_of_the_executor_become_a_standing() -> None:
    found = Standing.counting("r", {"a": [10, 3, 2, 1, 1], "b": [5, 0, 0, 0, 0]})
    assert (found.to_do, found.done, found.units.pending) == (15, 7, 8)
    assert [(each.asset, each.units.pending) for each in found.assets] == [("a", 3), ("b", 5)]


def test_units_that_were_up_to_date_are_no_work() -> None:
    assert (standing(5, total=10, reused=90).to_do, standing(5, total=10, reused=90).done) == (10, 5)


def test_rate_and_time_left_come_from_the_last_half_minute() -> None:
    pace = Pace()
    pace.see(standing(0), 0.0)
    assert (pace.rate, pace.seconds_left(standing(0))) == (0.0, None)
    pace.see(standing(10), 10.0)
    assert (pace.rate, pace.seconds_left(standing(10))) == (1.0, 90.0)
    pace.see(standing(20), 50.0)  # the beginning is too long ago to count
    assert pace.rate == pytest.approx(10 / 40)
    pace.see(standing(80), 60.0)
    assert pace.rate == pytest.approx(60 / 10)


def test_progress_in_one_line() -> None:
    pace = Pace()
    pace.see(standing(0), 0.0)
    pace.see(standing(40, failed=2), 4.0)
    assert progress_line(standing(40, failed=2), pace) == "r: 40/100 units, 2 failed, 10.0 units/s, about 6.0 s left"
    assert progress_line(Standing("r", "running", "planning", UnitCounts(), ())) == "r: planning"
    assert progress_line(Standing("r", "pending", "", UnitCounts(), ())) == "r: pending"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (100, "1 min 40 s"), (3600, "1 h 0 min"), (7384, "2 h 3 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB"), (11_400_000, "11.4 MB"), (5_000_000_000_000, "5.0 TB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_plurals_and_spans() -> None:
    assert [plural(1, "unit"), plural(1200, "unit")] == ["1 unit", "1,200 units"]
    assert [span([""]), span(["a"]), span(["a", "b", "c"]), span(["a", "b", "c", "d"])] == ["", "a", "a, b, c", "a … d"]


def test_what_would_confuse_a_terminal_is_shown_as_such() -> None:
    assert printable("a\x1b[2Jb\nc·é") == "a�[2Jb�c·é"
