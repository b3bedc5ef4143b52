from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tidemill import (
    DailyPartitions,
    HourlyPartitions,
    MonthlyPartitions,
    MultiPartitions,
    StaticPartitions,
    WeeklyPartitions,
    Window,
    YearlyPartitions,
)
from tidemill.definitions.partitions import PartitionsDefinition, TimePartitions, partition_keys
from tidemill.errors import DefinitionProblem, InvalidKey

NOW = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type] # year, month, day and so on


def test_months_of_a_year() -> None:
    months = MonthlyPartitions(start="2013-01", end="2014-01")
    assert months.keys(NOW) == tuple(f"2013-{month:02d}" for month in range(1, 13))
    assert months.window("2013-12") == Window(utc(2013, 12, 1), utc(2014, 1, 1))


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [
        (YearlyPartitions("2024"), ("2024", "2025")),
        (MonthlyPartitions("2026-01"), ("2026-01", "2026-02")),
        (WeeklyPartitions("2026-W10"), ("2026-W10",)),
        (DailyPartitions("2026-03-13"), ("2026-03-13", "2026-03-14")),
        (HourlyPartitions("2026-03-15T10"), ("2026-03-15T10", "2026-03-15T11")),
    ],
)
def test_an_open_definition_ends_with_the_last_window_that_is_over(partitions: TimePartitions, expected: tuple[str, ...]) -> None:
    assert partitions.keys(NOW) == expected


def test_a_window_counts_from_the_very_moment_it_is_over() -> None:
    days = DailyPartitions("2026-03-14")
    assert days.keys(utc(2026, 3, 15) - timedelta(microseconds=1)) == ()
    assert days.keys(utc(2026, 3, 15)) == ("2026-03-14",)


def test_a_definition_that_starts_in_the_future_has_no_keys_yet() -> None:
    days = DailyPartitions("2030-01-01")
    assert days.keys(NOW) == ()
    assert not days.contains("2030-01-01", NOW)


def test_a_fixed_end_may_lie_in_the_future() -> None:
    assert MonthlyPartitions("2026-02", "2026-06").keys(NOW) == ("2026-02", "2026-03", "2026-04", "2026-05")


def test_asking_again_gives_the_same_object() -> None:
    days = DailyPartitions("2020-01-01")
    assert days.keys(NOW) is days.keys(NOW + timedelta(hours=1))
    assert days.keys(NOW) is not days.keys(NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("partitions", "good", "bad"),
    [
        (YearlyPartitions("2010", "2020"), "2015", ["20155", "215", "2020", "2009", "٢٠١٥", ""]),
        (MonthlyPartitions("2013-01", "2014-01"), "2013-07", ["2013-7", "2013-13", "2013-00", "2014-01", "201307", "2013-07-01"]),
        (WeeklyPartitions("2013-W01", "2014-W01"), "2013-W52", ["2013-W53", "2013-W00", "2013W52", "2013-52", "2013-W52-1"]),
        (DailyPartitions("2013-01-01", "2014-01-01"), "2013-02-28", ["2013-02-29", "20130228", "2013-W09-4", "2013-2-28", "2013-02-28T00"]),
        (
            HourlyPartitions("2013-01-01T00", "2014-01-01T00"),
            "2013-02-28T05",
            ["2013-02-28T24", "2013-02-28T5", "2013-02-28", "2013-02-28T05:30", "2013-02-28T05.2", "2013-02-28T05:00", "2013-02-28 05"],
        ),
    ],
)
def test_only_the_one_spelling_of_an_existing_key_is_known(partitions: TimePartitions, good: str, bad: list[str]) -> None:
    assert partitions.contains(good, NOW)
    assert [key for key in bad if partitions.contains(key, NOW)] == []


def test_iso_weeks_begin_on_monday_and_belong_to_the_year_of_their_thursday() -> None:
    weeks = WeeklyPartitions("2012-W52", "2013-W03")
    assert weeks.keys(NOW) == ("2012-W52", "2013-W01", "2013-W02")
    assert weeks.window("2013-W01") == Window(utc(2012, 12, 31), utc(2013, 1, 7))


def test_days_are_as_long_as_their_zone_says() -> None:
    days = DailyPartitions("2013-03-09", "2013-11-05", timezone="America/New_York")
    lengths = {key: days.window(key).end - days.window(key).start for key in days.keys(NOW)}
    assert days.window("2013-03-10") == Window(utc(2013, 3, 10, 5), utc(2013, 3, 11, 4))
    assert {key: length for key, length in lengths.items() if length != timedelta(hours=24)} == {
        "2013-03-10": timedelta(hours=23),
        "2013-11-03": timedelta(hours=25),
    }


def test_a_midnight_that_the_clock_skips_is_the_moment_of_the_skip() -> None:
    days = DailyPartitions("2018-11-03", "2018-11-06", timezone="America/Sao_Paulo")  # 4 November 2018 began at 01:00
    assert [days.window(key) for key in days.keys(NOW)] == [
        Window(utc(2018, 11, 3, 3), utc(2018, 11, 4, 3)),
        Window(utc(2018, 11, 4, 3), utc(2018, 11, 5, 2)),
        Window(utc(2018, 11, 5, 2), utc(2018, 11, 6, 2)),
    ]


def test_an_hour_that_comes_twice_has_two_keys_and_one_that_is_skipped_has_none() -> None:
    zone = "America/New_York"
    autumn = HourlyPartitions("2013-11-03T00", "2013-11-03T03", timezone=zone)
    spring = HourlyPartitions("2013-03-10T00", "2013-03-10T05", timezone=zone)
    assert autumn.keys(NOW) == ("2013-11-03T00", "2013-11-03T01", "2013-11-03T01.2", "2013-11-03T02")
    assert spring.keys(NOW) == ("2013-03-10T00", "2013-03-10T01", "2013-03-10T03", "2013-03-10T04")
    assert not spring.contains("2013-03-10T02", NOW)
    assert {autumn.window(key).end - autumn.window(key).start for key in autumn.keys(NOW)} == {timedelta(hours=1)}


def test_hours_stay_sixty_minutes_where_the_clock_shifts_by_thirty() -> None:
    hours = HourlyPartitions("2013-04-07T00", "2013-04-07T03:30", timezone="Australia/Lord_Howe")
    assert hours.keys(NOW) == ("2013-04-07T00", "2013-04-07T01", "2013-04-07T01:30.2", "2013-04-07T02:30")


def test_ranges_include_both_ends() -> None:
    months = MonthlyPartitions("2013-01", "2014-01")
    assert months.range("2013-03", "2013-05", NOW) == ("2013-03", "2013-04", "2013-05")
    assert months.range("2013-05", "2013-03", NOW) == ()
    with pytest.raises(KeyError, match="2014-01"):
        months.range("2013-03", "2014-01", NOW)


def test_overlapping_windows_are_found_by_time_and_cut_to_what_exists() -> None:
    days = DailyPartitions("2013-01-30", "2013-03-01")
    assert days.overlapping(Window(utc(2013, 1, 1), utc(2013, 2, 2)), NOW) == ("2013-01-30", "2013-01-31", "2013-02-01")
    assert days.overlapping(Window(utc(2012, 1, 1), utc(2013, 1, 30)), NOW) == ()
    assert days.overlapping(Window(utc(2013, 2, 1), utc(2013, 2, 1)), NOW) == ()


def test_definitions_compare_by_value() -> None:
    used = MonthlyPartitions("2013-01", "2014-01")
    used.keys(NOW)
    assert used == MonthlyPartitions("2013-01", "2014-01")
    assert hash(used) == hash(MonthlyPartitions("2013-01", "2014-01"))
    assert used != MonthlyPartitions("2013-01", "2014-01", timezone="Europe/Berlin")
    assert used != MonthlyPartitions("2013-01")


def test_the_rule_says_what_a_key_means_and_not_which_there_are() -> None:
    assert MonthlyPartitions("2013-01").rule() == MonthlyPartitions("2020-01", "2021-01").rule() == "monthly UTC"
    assert StaticPartitions(["a"]).rule() == StaticPartitions(["b"]).rule()
    assert MultiPartitions({"m": MonthlyPartitions("2013-01"), "o": StaticPartitions(["a"])}).rule() == "m: monthly UTC × o: static"


def test_static_keys_keep_their_order() -> None:
    origins = StaticPartitions(["JFK", "EWR", "LGA"])
    assert origins.keys(NOW) == ("JFK", "EWR", "LGA")
    assert origins.range("JFK", "EWR", NOW) == ("JFK", "EWR")
    assert origins.window("JFK") is None
    assert origins.dimensions("JFK") == {}
    assert partition_keys(None, NOW) == ("",)


def test_multiple_dimensions_vary_the_last_one_fastest() -> None:
    both = MultiPartitions({"month": MonthlyPartitions("2013-01", "2013-03"), "origin": StaticPartitions(["EWR", "JFK"])})
    assert both.keys(NOW) == ("2013-01|EWR", "2013-01|JFK", "2013-02|EWR", "2013-02|JFK")
    assert [both.position(key, NOW) for key in both.keys(NOW)] == [0, 1, 2, 3]
    assert both.count(NOW) == 4
    assert both.keys(NOW) is both.keys(NOW)
    assert both.window("2013-02|EWR") == Window(utc(2013, 2, 1), utc(2013, 3, 1))
    assert both.dimensions("2013-02|EWR") == {"month": "2013-02", "origin": "EWR"}
    assert [key for key in ("2013-01", "2013-03|EWR", "2013-01|LGA", "2013-01|EWR|JFK", "EWR|2013-01") if both.contains(key, NOW)] == []


def test_dimensions_open_up_with_time() -> None:
    both = MultiPartitions({"month": MonthlyPartitions("2026-01"), "origin": StaticPartitions(["EWR"])})
    assert both.keys(NOW) == ("2026-01|EWR", "2026-02|EWR")
    assert both.keys(NOW + timedelta(days=31)) == ("2026-01|EWR", "2026-02|EWR", "2026-03|EWR")


def test_two_time_dimensions_have_no_one_window() -> None:
    both = MultiPartitions({"month": MonthlyPartitions("2013-01", "2013-03"), "year": YearlyPartitions("2013", "2014")})
    assert both.window("2013-01|2013") is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MonthlyPartitions("2013-13"),
            "'2013-13' is not a valid monthly partition. Write a month such as `2013-01`, in the zone UTC.",
        ),
        (
            lambda: DailyPartitions("2013-01-01", end="2013-02"),
            "'2013-02' is not a valid daily partition. Write a day such as `2013-01-31`, in the zone UTC.",
        ),
        (
            lambda: HourlyPartitions("2013-03-10T02", timezone="America/New_York"),
            "'2013-03-10T02' is not a valid hourly partition. Write an hour such as `2013-01-31T05`, in the zone America/New_York.",
        ),
        (
            lambda: MonthlyPartitions("2014-01", "2014-01"),
            (
                "MonthlyPartitions ends at `2014-01`, which is not after its start `2014-01`. "
                "`end` is exclusive: the first partition that no longer belongs."
            ),
        ),
        (
            lambda: MonthlyPartitions("2013-01", timezone="Mars/Olympus"),
            (
                "Time zone 'Mars/Olympus' is not known here. "
                "Write an IANA name such as `Europe/Berlin`; on a machine without a time zone database install the package `tzdata`."
            ),
        ),
        (
            lambda: MonthlyPartitions("2013-01", timezone="../../etc/passwd"),
            (
                "Time zone '../../etc/passwd' is not known here. "
                "Write an IANA name such as `Europe/Berlin`; on a machine without a time zone database install the package `tzdata`."
            ),
        ),
        (lambda: StaticPartitions([]), "StaticPartitions has no keys. List at least one, or leave `partitions` out."),
        (lambda: StaticPartitions("EWR"), "StaticPartitions needs a list of keys, not one text. Write `StaticPartitions(['EWR'])`."),
        (lambda: StaticPartitions(["a", "b", "a"]), "StaticPartitions lists `a` more than once. Each key may appear once."),
        (lambda: StaticPartitions(["a|b"]), "'a|b' is not a valid partition key. Write letters, digits and `_.:+-`, such as `EWR`."),
        (lambda: StaticPartitions([""]), "'' is not a valid partition key. Write letters, digits and `_.:+-`, such as `EWR`."),
        (
            lambda: MultiPartitions({"origin": StaticPartitions(["a"])}),
            "MultiPartitions needs two or more dimensions. Use the one definition itself.",
        ),
        (
            lambda: MultiPartitions({"Origin": StaticPartitions(["a"]), "b": StaticPartitions(["a"])}),
            "'Origin' is not a valid dimension name. Write a word of a-z, 0-9 and _, such as `month`.",
        ),
        (
            lambda: MultiPartitions({"a": StaticPartitions(["a"]), "b": ["x"]}),  # type: ignore[dict-item]
            (
                "Dimension `b` is not a time or static partitions definition. "
                "Write for example `StaticPartitions(['EWR', 'JFK'])`; dimensions do not nest."
            ),
        ),
    ],
)
def test_a_wrong_definition_says_what_is_wrong_and_what_to_write(make: object, message: str) -> None:
    with pytest.raises((DefinitionProblem, InvalidKey)) as caught:
        make()  # type: ignore[operator]
    assert str(caught.value) == message


def test_a_hundred_thousand_partitions_are_cheap() -> None:
    days: PartitionsDefinition = DailyPartitions("1752-01-01", "2026-01-01")
    keys = days.keys(NOW)
    assert len(keys) == 100_077
    assert days.position(keys[-1], NOW) == 100_076
