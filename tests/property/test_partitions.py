"""Laws of partitions, mappings and partition selections, over every grain and over zones whose clocks misbehave."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tidemill import (
    AllPartitions,
    DailyPartitions,
    HourlyPartitions,
    MonthlyPartitions,
    MultiPartitions,
    PartitionsDefinition,
    StaticPartitions,
    WeeklyPartitions,
    YearlyPartitions,
)
from tidemill.definitions.mappings import Side, default_mapping
from tidemill.definitions.partitions import TimePartitions, partition_keys
from tidemill.errors import UnknownPartition
from tidemill.graph.partitions import PartitionSelection, Span, parse_partitions
from tidemill.model.keys import AssetKey, partition_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "America/Havana"]

_days = st.dates(date(2010, 1, 1), date(2019, 12, 31))
_zones = st.sampled_from(ZONES)
_lengths = st.integers(1, 40)
_hours = st.integers(0, 23)


@st.composite
def years(draw: st.DrawFn) -> TimePartitions:
    year = draw(_days).year
    return YearlyPartitions(f"{year}", f"{year + draw(st.integers(1, 5))}", draw(_zones))


@st.composite
def months(draw: st.DrawFn) -> TimePartitions:
    first = draw(_days)
    last = first.year * 12 + first.month - 1 + draw(st.integers(1, 18))
    return MonthlyPartitions(f"{first:%Y-%m}", f"{last // 12}-{last % 12 + 1:02d}", draw(_zones))


@st.composite
def weeks(draw: st.DrawFn) -> TimePartitions:
    first = draw(_days)
    last = first + timedelta(weeks=draw(_lengths))
    return WeeklyPartitions("{}-W{:02d}".format(*first.isocalendar()), "{}-W{:02d}".format(*last.isocalendar()), draw(_zones))


@st.composite
def days(draw: st.DrawFn) -> TimePartitions:
    first = draw(_days)
    return DailyPartitions(first.isoformat(), (first + timedelta(days=draw(_lengths))).isoformat(), draw(_zones))


@st.composite
def hours(draw: st.DrawFn) -> TimePartitions:
    zone = draw(_zones)
    origin = HourlyPartitions("2010-01-01T00", timezone=zone)
    first = origin.ordinal_at(datetime.combine(draw(_days), datetime.min.time(), UTC) + timedelta(hours=draw(_hours)))
    start = origin.format(first)
    # Zones that shift by half an hour have hours that do not begin on the hour of another definition.
    stop = HourlyPartitions(start, timezone=zone).format(draw(_lengths))
    return HourlyPartitions(start, stop, zone)


timed = st.one_of(years(), months(), weeks(), days(), hours())
static = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5, unique=True).map(StaticPartitions)
single: st.SearchStrategy[PartitionsDefinition] = st.one_of(timed, static)
multi = st.dictionaries(st.sampled_from(["m", "n", "o"]), st.one_of(months(), static), min_size=2, max_size=3).map(MultiPartitions)
anything: st.SearchStrategy[PartitionsDefinition] = st.one_of(single, multi)
sides: st.SearchStrategy[Side] = st.one_of(st.none(), anything)


@given(anything)
def test_keys_are_unique_well_spelled_and_know_their_place(definition: PartitionsDefinition) -> None:
    keys = definition.keys(NOW)
    assert len(set(keys)) == len(keys) > 0
    assert [definition.position(key, NOW) for key in keys] == list(range(len(keys)))
    assert [partition_key(key) for key in keys] == list(keys)
    assert definition.keys(NOW) is keys


@given(timed)
def test_windows_follow_each_other_without_a_gap(definition: TimePartitions) -> None:
    windows = [definition.window(key) for key in definition.keys(NOW)]
    assert all(window.start < window.end for window in windows)
    assert all(before.end == after.start for before, after in itertools.pairwise(windows))


@given(timed, st.floats(0, 1, exclude_max=True))
def test_every_instant_belongs_to_exactly_the_window_that_holds_it(definition: TimePartitions, share: float) -> None:
    keys = definition.keys(NOW)
    start, end = definition.window(keys[0]).start, definition.window(keys[-1]).end
    instant = start + (end - start) * share
    window = definition.window(definition.format(definition.ordinal_at(instant)))
    assert window.start <= instant < window.end


@given(timed, st.data())
def test_an_open_definition_holds_what_is_over_and_nothing_else(definition: TimePartitions, data: st.DataObject) -> None:
    keys = definition.keys(NOW)
    key = data.draw(st.sampled_from(keys))
    opened = type(definition)(definition.start, timezone=definition.timezone)
    over = definition.window(key).end
    assert opened.keys(over)[-1] == key
    assert not opened.contains(key, over - timedelta(microseconds=1))


@given(anything, st.text(alphabet="0123456789-WT:.|ab", max_size=22))
def test_a_key_that_is_not_listed_is_not_contained(definition: PartitionsDefinition, text: str) -> None:
    assert definition.contains(text, NOW) == (text in set(definition.keys(NOW)))


@given(sides, sides)
def test_a_partition_is_among_the_upstreams_of_its_downstreams(upstream: Side, downstream: Side) -> None:
    mapping = default_mapping(upstream, downstream) or AllPartitions()
    assert mapping.objection(upstream, downstream) is None
    above, below = list(partition_keys(upstream, NOW))[:60], list(partition_keys(downstream, NOW))[:60]
    bound = mapping.bind(upstream, downstream, NOW)
    reads = {key: list(mapping.upstream(key, upstream, downstream, NOW)) for key in below}
    read_by = {key: list(mapping.downstream(key, upstream, downstream, NOW)) for key in above}
    assert reads == {key: list(bound(key)) for key in below}
    assert {(up, down) for down in below for up in reads[down] if up in above} == {
        (up, down) for up in above for down in read_by[up] if down in below
    }
    for keys, definition in [*((keys, upstream) for keys in reads.values()), *((keys, downstream) for keys in read_by.values())]:
        places = [partition_keys(definition, NOW).index(key) for key in keys]
        assert places == sorted(set(places))


@given(timed, timed)
def test_a_roll_up_shares_time_with_everything_it_reads(upstream: TimePartitions, downstream: TimePartitions) -> None:
    for key in downstream.keys(NOW)[:20]:
        window = downstream.window(key)
        expected = [
            each for each in upstream.keys(NOW) if upstream.window(each).start < window.end and window.start < upstream.window(each).end
        ]
        assert list(upstream.overlapping(window, NOW)) == expected


_ends = st.sampled_from(["2013-01", "2013-02", "2013", "2013-W05", "2013-01-31", "2013-01-31T05", "a", "EWR", "x|y", ""])
_spans = st.tuples(_ends, _ends).filter(lambda ends: ends != ("", "")).map(lambda ends: Span(*ends))
_lists = st.lists(_spans, min_size=1, max_size=3).map(tuple)
_selections = st.one_of(
    st.just(PartitionSelection(())),
    _lists.map(lambda spans: PartitionSelection((("", spans),))),
    st.dictionaries(st.sampled_from(["m", "n", "o"]), _lists, min_size=1).map(lambda each: PartitionSelection(tuple(each.items()))),
)


@given(_selections)
def test_a_partition_selection_is_read_back_as_it_was_written(selection: PartitionSelection) -> None:
    assert parse_partitions(str(selection)) == selection


@given(_selections, anything)
def test_a_selection_gives_existing_keys_in_order(selection: PartitionSelection, definition: PartitionsDefinition) -> None:
    everything = definition.keys(NOW)
    places = [everything.index(key) for key in selection.keys(AssetKey("x"), definition, NOW)]
    assert places == sorted(set(places))


@given(anything, st.data())
def test_two_keys_select_the_range_between_them(definition: PartitionsDefinition, data: st.DataObject) -> None:
    keys = definition.keys(NOW)
    first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(keys) - 1)] * 2)))
    selection = parse_partitions(f"{keys[first]}..{keys[last]}")
    selection.check([(AssetKey("x"), definition)], NOW)
    assert list(selection.keys(AssetKey("x"), definition, NOW)) == list(keys[first : last + 1])


@given(single, st.sampled_from(["nothing", "2031-01", "1999-W01", "1999-12-31"]))
def test_a_key_that_nothing_has_is_never_passed_over_in_silence(definition: PartitionsDefinition, key: str) -> None:
    assume(not definition.contains(key, NOW))
    with pytest.raises(UnknownPartition) as caught:
        parse_partitions(key).check([(AssetKey("x"), definition)], NOW)
    assert f"`{key}`" in str(caught.value)
