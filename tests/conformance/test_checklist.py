"""The checklist itself: no number without a test, and a page that says what the tests say. Fast, so it runs with every `make test`."""

from __future__ import annotations

from tests.conformance.checklist import ITEMS, PAGE, SECTIONS, items, page


def test_every_number_has_a_test() -> None:
    assert sorted({item.number for item in items()}) == list(ITEMS)
    assert sorted(number for numbers in SECTIONS.values() for number in numbers) == list(ITEMS)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.conformance.checklist"
