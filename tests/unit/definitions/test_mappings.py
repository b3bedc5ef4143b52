from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidemill import (
    AllPartitions,
    DailyPartitions,
    DimensionMapping,
    HourlyPartitions,
    IdentityMapping,
    MonthlyPartitions,
    MultiPartitions,
    PartitionMapping,
    StaticPartitions,
    TimeRollUp,
    WeeklyPartitions,
)
from tidemill.definitions.mappings import Side, default_mapping
from tidemill.model.keys import PartitionKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = MonthlyPartitions("2013-01", "2013-04")
LATER_MONTHS = MonthlyPartitions("2013-03", "2013-06")
DAYS = DailyPartitions("2013-01-30", "2013-02-03")
ORIGINS = StaticPartitions(["EWR", "JFK"])
BOTH = MultiPartitions({"month": MONTHS, "origin": ORIGINS})
BY_DAY = MultiPartitions({"origin": ORIGINS, "month": DAYS})


def up(mapping: PartitionMapping, key: str, upstream: Side, downstream: Side) -> list[str]:
    bound = mapping.bind(upstream, downstream, NOW)(PartitionKey(key))
    single = mapping.upstream(PartitionKey(key), upstream, downstream, NOW)
    assert list(bound) == list(single)
    return list(single)


def down(mapping: PartitionMapping, key: str, upstream: Side, downstream: Side) -> list[str]:
    return list(mapping.downstream(PartitionKey(key), upstream, downstream, NOW))


def test_identity_reads_the_same_key_where_it_exists() -> None:
    assert up(IdentityMapping(), "2013-03", MONTHS, LATER_MONTHS) == ["2013-03"]
    assert up(IdentityMapping(), "2013-05", MONTHS, LATER_MONTHS) == []
    assert down(IdentityMapping(), "2013-01", MONTHS, LATER_MONTHS) == []
    assert up(IdentityMapping(), "2013-02", MONTHS, MONTHS) == ["2013-02"]


def test_all_reads_everything() -> None:
    assert up(AllPartitions(), "EWR", MONTHS, ORIGINS) == ["2013-01", "2013-02", "2013-03"]
    assert down(AllPartitions(), "2013-01", MONTHS, ORIGINS) == ["EWR", "JFK"]
    assert up(AllPartitions(), "", MONTHS, None) == ["2013-01", "2013-02", "2013-03"]
    assert up(AllPartitions(), "2013-01", None, MONTHS) == [""]
    assert down(AllPartitions(), "", None, MONTHS) == ["2013-01", "2013-02", "2013-03"]


def test_time_rolls_up_and_down_by_shared_time() -> None:
    assert up(TimeRollUp(), "2013-02", DAYS, MONTHS) == ["2013-02-01", "2013-02-02"]
    assert up(TimeRollUp(), "2013-03", DAYS, MONTHS) == []
    assert up(TimeRollUp(), "2013-01-31", MONTHS, DAYS) == ["2013-01"]
    assert down(TimeRollUp(), "2013-01-31", DAYS, MONTHS) == ["2013-01"]
    assert down(TimeRollUp(), "2013-01", MONTHS, DAYS) == ["2013-01-30", "2013-01-31"]


def test_a_week_that_spans_two_months_reads_both() -> None:
    weeks = WeeklyPartitions("2013-W05", "2013-W06")
    assert up(TimeRollUp(), "2013-W05", MONTHS, weeks) == ["2013-01", "2013-02"]


def test_time_rolls_up_across_zones() -> None:
    berlin = DailyPartitions("2013-02-01", "2013-02-02", timezone="Europe/Berlin")
    hours = HourlyPartitions("2013-01-31T22", "2013-02-01T01")
    assert up(TimeRollUp(), "2013-02-01", hours, berlin) == ["2013-01-31T23", "2013-02-01T00"]


def test_dimensions_of_the_same_name_map_by_default() -> None:
    assert up(DimensionMapping(), "EWR|2013-01-30", BOTH, BY_DAY) == ["2013-01|EWR"]
    assert up(DimensionMapping(), "2013-01|JFK", BY_DAY, BOTH) == ["JFK|2013-01-30", "JFK|2013-01-31"]
    assert down(DimensionMapping(), "2013-02|EWR", BOTH, BY_DAY) == ["EWR|2013-02-01", "EWR|2013-02-02"]


def test_a_dimension_only_the_input_has_is_read_whole() -> None:
    assert up(DimensionMapping(), "2013-01", BOTH, MONTHS) == ["2013-01|EWR", "2013-01|JFK"]
    assert down(DimensionMapping(), "2013-01|JFK", BOTH, MONTHS) == ["2013-01"]
    assert up(DimensionMapping(), "2013-03", BY_DAY, MonthlyPartitions("2013-01", "2013-04")) == []


def test_a_dimension_only_the_reader_has_makes_no_difference() -> None:
    assert up(DimensionMapping(), "2013-01|JFK", MONTHS, BOTH) == ["2013-01"]
    assert up(DimensionMapping(), "2013-01|JFK", ORIGINS, BOTH) == ["JFK"]
    assert down(DimensionMapping(), "JFK", ORIGINS, BOTH) == ["2013-01|JFK", "2013-02|JFK", "2013-03|JFK"]


def test_a_dimension_can_be_given_its_own_mapping() -> None:
    every_origin = DimensionMapping({"origin": AllPartitions()})
    assert up(every_origin, "2013-01|JFK", BOTH, BOTH) == ["2013-01|EWR", "2013-01|JFK"]
    assert every_origin.objection(BOTH, BOTH) is None


def test_a_single_dimension_takes_part_under_a_name() -> None:
    pair = MultiPartitions({"first": ORIGINS, "second": ORIGINS})
    assert up(DimensionMapping(dimension="second"), "EWR|JFK", ORIGINS, pair) == ["JFK"]
    assert default_mapping(ORIGINS, pair) is None


@pytest.mark.parametrize(
    ("upstream", "downstream", "expected"),
    [
        (None, None, AllPartitions()),
        (None, MONTHS, AllPartitions()),
        (MONTHS, None, AllPartitions()),
        (MONTHS, MonthlyPartitions("2013-01", "2013-04"), IdentityMapping()),
        (MONTHS, LATER_MONTHS, IdentityMapping()),
        (DAYS, MONTHS, TimeRollUp()),
        (MONTHS, MonthlyPartitions("2013-01", timezone="Europe/Berlin"), TimeRollUp()),
        (HourlyPartitions("2013-01-01T00"), HourlyPartitions("2013-01-02T00"), TimeRollUp()),
        (ORIGINS, StaticPartitions(["JFK", "EWR"]), None),
        (MONTHS, ORIGINS, None),
        (BOTH, BOTH, IdentityMapping()),
        (BOTH, BY_DAY, DimensionMapping()),
        (BOTH, MONTHS, DimensionMapping()),
        (MultiPartitions({"a": MONTHS, "b": ORIGINS}), BOTH, None),
    ],
)
def test_the_default_is_the_mapping_a_reader_would_guess(upstream: Side, downstream: Side, expected: PartitionMapping | None) -> None:
    assert default_mapping(upstream, downstream) == expected


@pytest.mark.parametrize(
    ("mapping", "upstream", "downstream", "why"),
    [
        (IdentityMapping(), None, MONTHS, "one side is not partitioned"),
        (IdentityMapping(), DAYS, MONTHS, "keys of daily partitions mean something else than keys of monthly partitions"),
        (IdentityMapping(), ORIGINS, StaticPartitions(["LGA"]), "the two sides have no key in common"),
        (TimeRollUp(), ORIGINS, MONTHS, "static partitions is not partitioned by time"),
        (TimeRollUp(), ORIGINS, BOTH, "static partitions and partitions by month × origin are not partitioned by time"),
        (DimensionMapping(), MONTHS, DAYS, "neither side has several dimensions"),
        (DimensionMapping(), None, BOTH, "one side is not partitioned"),
        (DimensionMapping(), BOTH, MultiPartitions({"a": MONTHS, "b": ORIGINS}), "the two sides share no dimension"),
        (DimensionMapping(dimension="week"), BOTH, MONTHS, "`week` is not a dimension of both sides"),
        (DimensionMapping({"week": AllPartitions()}), BOTH, BOTH, "`week` is not a dimension of both sides"),
        (
            DimensionMapping({"origin": TimeRollUp()}),
            BOTH,
            BOTH,
            "dimension `origin` does not map: static partitions and static partitions are not partitioned by time",
        ),
        (
            DimensionMapping(),
            BOTH,
            MultiPartitions({"month": ORIGINS, "x": MONTHS}),
            "dimension `month` does not map: there is no obvious mapping",
        ),
    ],
)
def test_a_mapping_says_why_it_does_not_fit(mapping: PartitionMapping, upstream: Side, downstream: Side, why: str) -> None:
    assert mapping.objection(upstream, downstream) == why
