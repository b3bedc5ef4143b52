"""Which records are shown, and how they look."""

from __future__ import annotations

import json
import logging

import pytest

from devhost.logs import CategoryLevels, ConsoleFormatter, JsonFormatter


def levels(log_levels: dict[str, str], *, verbose: bool = False) -> CategoryLevels:
    """Those of an app whose `f` and `ff` are activities."""
    found = CategoryLevels()
    found.configure(log_levels, verbose=verbose)
    found.keep_quiet(["f", "ff"])
    return found


@pytest.mark.parametrize(
    ("log_levels", "category", "threshold"),
    [
        ({}, "Host.Startup", logging.INFO),
        ({}, "Function.f", logging.WARNING),
        ({}, "Function.http", logging.INFO),
        ({}, "Host.Http", logging.WARNING),
        ({"default": "Warning"}, "Function.http", logging.WARNING),
        ({"Function": "Warning"}, "Function.http", logging.WARNING),
        ({"default": "Error"}, "Function.f", logging.ERROR),
        ({}, "Function.f.User", logging.INFO),
        ({}, "azure.core.pipeline", logging.WARNING),
        ({"Function": "Information"}, "Function.f", logging.INFO),
        ({"Function": "Error"}, "Function.f.User", logging.ERROR),
        ({"Function.f": "Debug", "Function": "Error"}, "Function.f.User", logging.DEBUG),
        ({"Function.f": "Debug"}, "Function.ff", logging.WARNING),
        ({"default": "Error"}, "Host.Startup", logging.ERROR),
        ({"Default": "Error", "Host.Startup": "Trace"}, "Host.Startup", logging.DEBUG),
        ({"Host": "None"}, "Host.Startup", logging.CRITICAL + 10),
    ],
)
def test_the_longest_category_decides_and_invocations_of_activities_are_quiet(
    log_levels: dict[str, str], category: str, threshold: int
) -> None:
    assert levels(log_levels).threshold(category) == threshold


def test_verbose_shows_every_invocation() -> None:
    shown = levels({"default": "Error"}, verbose=True)
    assert (shown.threshold("Function.f"), shown.threshold("aiohttp"), shown.lowest) == (logging.DEBUG, logging.INFO, logging.DEBUG)


def test_the_lowest_level_of_any_category_is_let_through_the_root() -> None:
    assert levels({}).lowest == logging.INFO
    assert levels({"Function.f": "Debug"}).lowest == logging.DEBUG


def record(text: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("Function.f", logging.ERROR, __file__, 1, text, (), None)
    made.__dict__.update(fields)
    return made


def test_a_line_names_its_origin_before_further_lines_follow() -> None:
    line = ConsoleFormatter(colour=False).format(record("first\nsecond\n", function="f", instance_id="i", invocation_id="12345678-9"))
    assert line.partition("] ")[2] == "fail: first (f i 12345678)\nsecond"
    assert "\x1b[31mfail\x1b[0m: first" in ConsoleFormatter(colour=True).format(record("first"))


def test_json_records_leave_out_what_is_not_known() -> None:
    fields = json.loads(JsonFormatter().format(record("é", function="f")))
    assert fields.pop("time").endswith("Z")
    assert fields == {"level": "error", "category": "Function.f", "message": "é", "function": "f"}
