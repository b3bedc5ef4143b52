from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidemill import (
    DailyPartitions,
    HourlyPartitions,
    MonthlyPartitions,
    MultiPartitions,
    PartitionsDefinition,
    StaticPartitions,
    WeeklyPartitions,
)
from tidemill.errors import InvalidSelection, UnknownPartition
from tidemill.graph.partitions import ALL_PARTITIONS, PartitionSelection, Span, parse_partitions
from tidemill.model.keys import AssetKey

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MONTHS = MonthlyPartitions("2013-01", "2013-07")
LATER = MonthlyPartitions("2013-04", "2013-09")
DAYS = DailyPartitions("2013-01-30", "2013-02-03")
HOURS = HourlyPartitions("2013-01-30T22", "2013-01-31T02")
ORIGINS = StaticPartitions(["JFK", "EWR", "LGA"])
BOTH = MultiPartitions({"month": MonthlyPartitions("2013-01", "2013-03"), "origin": ORIGINS})
KEY = AssetKey("x")


def chosen(text: str, definition: PartitionsDefinition) -> list[str]:
    selection = parse_partitions(text)
    selection.check([(KEY, definition)], NOW)
    return list(selection.keys(KEY, definition, NOW))


@pytest.mark.parametrize(
    ("text", "definition", "expected"),
    [
        ("*", ORIGINS, "JFK EWR LGA"),
        ("2013-02", MONTHS, "2013-02"),
        ("2013-02..2013-04", MONTHS, "2013-02 2013-03 2013-04"),
        (" 2013-02 , 2013-05.. ", MONTHS, "2013-02 2013-05 2013-06"),
        ("..2013-02", MONTHS, "2013-01 2013-02"),
        ("2013-05,2013-01..2013-02,2013-02", MONTHS, "2013-01 2013-02 2013-05"),
        ("2013", MONTHS, "2013-01 2013-02 2013-03 2013-04 2013-05 2013-06"),
        ("2013-02", DAYS, "2013-02-01 2013-02-02"),
        ("2013-01..2013-02", DAYS, "2013-01-30 2013-01-31 2013-02-01 2013-02-02"),
        ("2013-01-31..2013-02", DAYS, "2013-01-31 2013-02-01 2013-02-02"),
        ("2013-W05", DAYS, "2013-01-30 2013-01-31 2013-02-01 2013-02-02"),
        ("2013-01-31", HOURS, "2013-01-31T00 2013-01-31T01"),
        ("2013-01", WeeklyPartitions("2013-W01", "2013-W07"), "2013-W01 2013-W02 2013-W03 2013-W04 2013-W05"),
        ("EWR", ORIGINS, "EWR"),
        ("LGA,JFK", ORIGINS, "JFK LGA"),
        ("JFK..EWR", ORIGINS, "JFK EWR"),
        ("EWR..", ORIGINS, "EWR LGA"),
        ("2013-01|EWR,2013-02|JFK", BOTH, "2013-01|EWR 2013-02|JFK"),
        ("2013-01|LGA..2013-02|JFK", BOTH, "2013-01|LGA 2013-02|JFK"),
        ("month=2013-02,origin=EWR,JFK", BOTH, "2013-02|JFK 2013-02|EWR"),
        ("origin=EWR", BOTH, "2013-01|EWR 2013-02|EWR"),
        ("month=*,origin=EWR", BOTH, "2013-01|EWR 2013-02|EWR"),
        ("month=2013-01..2013-02,origin=LGA..", BOTH, "2013-01|LGA 2013-02|LGA"),
        ("2013-02", BOTH, "2013-02|JFK 2013-02|EWR 2013-02|LGA"),
        ("EWR", BOTH, "2013-01|EWR 2013-02|EWR"),
    ],
)  # fmt: skip
def test_a_partition_selection_means_these_keys(text: str, definition: PartitionsDefinition, expected: str) -> None:
    assert " ".join(chosen(text, definition)) == expected


def test_one_selection_serves_assets_with_different_partitions() -> None:
    selection = parse_partitions("2013-01..2013-04")
    selection.check([(KEY, DAYS), (KEY, MONTHS), (KEY, LATER), (KEY, None), (KEY, ORIGINS)], NOW)
    assert list(selection.keys(KEY, LATER, NOW)) == ["2013-04"]
    assert list(selection.keys(KEY, DAYS, NOW)) == list(DAYS.keys(NOW))
    assert list(selection.keys(KEY, ORIGINS, NOW)) == []


def test_dimensions_leave_out_assets_without_them() -> None:
    assert list(parse_partitions("origin=EWR").keys(KEY, ORIGINS, NOW)) == []


def test_an_item_that_two_dimensions_know_means_neither() -> None:
    pair = MultiPartitions({"a": ORIGINS, "b": ORIGINS})
    assert list(parse_partitions("EWR").keys(KEY, pair, NOW)) == []


def test_a_selection_is_a_value() -> None:
    assert parse_partitions("a=1..2,3,b=x") == PartitionSelection((("a", (Span("1", "2"), Span("3", "3"))), ("b", (Span("x", "x"),))))
    assert parse_partitions(" * ") is ALL_PARTITIONS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Partition selection `` has an empty item. Write `*`, keys, or ranges, such as `2013-01..2013-06,2013-09`."),
        ("2013-01,", "Partition selection `2013-01,` has an empty item. Write `*`, keys, or ranges, such as `2013-01..2013-06,2013-09`."),
        ("..", "Partition selection `..` has an empty item. Write `*`, keys, or ranges, such as `2013-01..2013-06,2013-09`."),
        ("month=", "Partition selection `month=` has an empty item. Write `*`, keys, or ranges, such as `2013-01..2013-06,2013-09`."),
        ("*,2013-01", "`*` stands beside other keys in partition selection `*,2013-01`. `*` alone means all partitions."),
        ("a b", ("`a b` in partition selection `a b` is not a partition key. "
            "Write letters, digits and `_.:+-`, dimensions joined by `|`, at most 200 characters, such as `2013-01` or `2013-01|EWR`.")),
        ("a..b/c", ("`b/c` in partition selection `a..b/c` is not a partition key. "
            "Write letters, digits and `_.:+-`, dimensions joined by `|`, at most 200 characters, such as `2013-01` or `2013-01|EWR`.")),
        ("2013-01,origin=EWR", ("Partition selection `2013-01,origin=EWR` has keys before the first dimension. "
            "Write either keys, or each dimension once: `month=2013-01..2013-03,origin=EWR,JFK`.")),
        ("a=1,b=2,a=3", ("Partition selection `a=1,b=2,a=3` names `a` twice. "
            "Write either keys, or each dimension once: `month=2013-01..2013-03,origin=EWR,JFK`.")),
        ("1," * 60_000, "The partition selection is 120000 characters long. The limit is 100000; use ranges."),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidSelection) as caught:
        parse_partitions(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "definition", "error", "message"),
    [
        ("2013-08", MONTHS, UnknownPartition, "Asset `x` has no partition `2013-08`. Did you mean `2013-06`?"),
        ("1999", MONTHS, UnknownPartition, "Asset `x` has no partition `1999`. Known: `2013-01`, `2013-02`, `2013-03`, `2013-04`, `2013-05`, `2013-06`."),
        ("2013-01..2013-08", MONTHS, UnknownPartition, "Asset `x` has no partition `2013-08`. Did you mean `2013-06`?"),
        ("2013-01-15", MONTHS, UnknownPartition, "Asset `x` has no partition `2013-01-15`. Did you mean `2013-05`?"),
        ("2013-05..2013-02", MONTHS, InvalidSelection, "Range `2013-05..2013-02` ends before it begins. Write `2013-02..2013-05`."),
        ("LGA..JFK", ORIGINS, InvalidSelection, "Range `LGA..JFK` ends before it begins. Write `JFK..LGA`."),
        ("LGA,JKF", ORIGINS, UnknownPartition, "Asset `x` has no partition `JKF`. Did you mean `JFK`?"),
        ("origin=JKF", BOTH, UnknownPartition, "Asset `x` has no partition `JKF`. Did you mean `JFK`?"),
        ("carrier=AA", BOTH, InvalidSelection, "No selected asset has a dimension `carrier`. Known: `month`, `origin`."),
        ("carrier=AA", MONTHS, InvalidSelection, "No selected asset has a dimension `carrier`. None of the selected assets has several dimensions."),
        ("2013-01", None, UnknownPartition, "Asset `x` is not partitioned, so it has no partition `2013-01`."),
    ],
)  # fmt: skip
def test_a_key_that_no_asset_has_is_an_error(
    text: str, definition: PartitionsDefinition | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        parse_partitions(text).check([(KEY, definition)], NOW)
    assert str(caught.value) == message


def test_a_key_may_belong_to_any_asset_of_the_request() -> None:
    parse_partitions("2013-08").check([(AssetKey("a"), MONTHS), (AssetKey("b"), LATER)], NOW)
    with pytest.raises(UnknownPartition, match="Asset `a` has no partition `2014-01`"):
        parse_partitions("2014-01").check([(AssetKey("b"), MONTHS), (AssetKey("a"), LATER)], NOW)
