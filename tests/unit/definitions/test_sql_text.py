from __future__ import annotations

import pytest

from tidemill import AssetContext, Window
from tidemill.definitions.sql import SqlText, sql_parameters
from tidemill.model.keys import AssetKey, PartitionKey


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a, b FROM t", "SELECT  a,\n\tb\nFROM t\n;"),
        ("SELECT a FROM t", "SELECT a -- the first\nFROM t /* nested /* twice */ */"),
        ("SELECT a+b FROM t WHERE a=1", "SELECT a + b FROM t WHERE a = 1"),
        ("SELECT count(*) FROM t", "SELECT count( * ) FROM t"),
    ],
)
def test_white_space_and_comments_do_not_count(one: str, other: str) -> None:
    assert SqlText(one).normal == SqlText(other).normal


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT 'a  b'", "SELECT 'a b'"),
        ("SELECT '-- no comment'", "SELECT '-- no comment at all'"),
        ('SELECT "a  b" FROM t', 'SELECT "a b" FROM t'),
        ("SELECT a b FROM t", "SELECT ab FROM t"),
        ("SELECT 1 - -1", "SELECT 1 --1"),
        ("SELECT $$a  b$$", "SELECT $$a b$$"),
        ("SELECT $x$a -- b$x$", "SELECT $x$a$x$"),
        ("SELECT 'it''s'", "SELECT 'its'"),
        ("SELECT E'\\' -- a'", "SELECT E'\\' -- b'"),
        ("SELECT a FROM t", "SELECT A FROM t"),
    ],
)
def test_everything_else_counts(one: str, other: str) -> None:
    assert SqlText(one).normal != SqlText(other).normal


def test_parameters_are_found_outside_quotes_and_comments() -> None:
    sql = SqlText("SELECT $b, '$c', \"$d\", $$ $e $$ -- $f\n FROM t WHERE x > $a AND y < $b")
    assert sql.parameters == ("a", "b")
    assert sql.reads_partition
    assert not SqlText("SELECT '$a'").reads_partition


def test_tables_are_what_follows_from_and_join_and_is_not_the_query_s_own() -> None:
    sql = SqlText(
        """
        WITH late AS (SELECT * FROM Flights), "Best" AS MATERIALIZED (SELECT 1)
        SELECT extract(year FROM day) FROM late JOIN "Planes" USING (tail) LEFT JOIN best ON true, range(3)
        CROSS JOIN unnest([1]) JOIN other.thing ON true
        """
    )
    assert sql.tables == ("day", "flights", "planes")
    assert {"flights", "planes", "late", "tail"} <= sql.words


def test_an_unfinished_comment_or_quote_ends_with_the_text() -> None:
    assert SqlText("SELECT 1 /* and").normal == "SELECT 1"
    assert SqlText("SELECT 'abc").normal == "SELECT'abc"


def test_a_unit_binds_exactly_the_names_the_query_uses() -> None:
    from datetime import UTC, datetime

    window = Window(datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC))
    context = AssetContext(
        asset_key=AssetKey("gold.x"),
        partition_key=PartitionKey("2013-01|EWR"),
        window=window,
        dimensions={"month": "2013-01", "origin": "EWR"},
        parameters={"least": 3, "most": 9},
    )
    assert sql_parameters(SqlText("SELECT $partition, $window_end, $origin, $least"), context) == {
        "least": 3,
        "origin": "EWR",
        "partition": "2013-01|EWR",
        "window_end": window.end,
    }
