"""Ids of runs sort by the time at which they were asked for, so that a list of the newest runs is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tidemill.model.keys import new_run_id

AT = datetime(2026, 1, 2, 3, 4, 5, 999_000, tzinfo=UTC)


@pytest.mark.parametrize("apart", [timedelta(microseconds=250), timedelta(milliseconds=1), timedelta(seconds=1), timedelta(days=400)])
def test_a_later_run_has_a_greater_id_whatever_chance_says(apart: timedelta) -> None:
    assert new_run_id(AT, "fffff") < new_run_id(AT + apart, "00000")
    assert new_run_id(AT - apart, "fffff") < new_run_id(AT, "00000")


def test_an_id_is_its_second_a_part_of_it_and_chance() -> None:
    assert new_run_id(AT.replace(microsecond=0), "abcdef12") == "20260102t030405-000def12"
    assert new_run_id(AT.replace(microsecond=999_999), "12345") == "20260102t030405-fff12345"
