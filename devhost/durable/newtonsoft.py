"""JSON request bodies, refused in the words of the JSON library that the real host uses."""

from __future__ import annotations

import json
from typing import Final

from devhost.durable.jsontext import dumps
from devhost.lenient import DEEPEST, NotLenientJson, read_leniently

_SHORT: Final = 20_000


class BadJson(ValueError):
    """The body is not JSON; `str()` is the library's sentence. `cut_off` is `{` or `[` when what it opens has no end."""

    def __init__(self, sentence: str, cut_off: str = "") -> None:
        super().__init__(sentence)
        self.cut_off = cut_off


def parse_json(body: bytes, *, empty_is_null: bool, to_the_end: bool = True) -> str | None:
    """The body as compact JSON text; None for JSON `null`. Unless read `to_the_end`, only its first value counts.

    Raises:
        BadJson: not JSON, or nothing at all where something is needed.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    if not text.strip():
        if empty_is_null:
            return None
        raise BadJson("Error reading JToken from JsonReader. Path '', line 0, position 0.")
    try:
        value = None if _may_be_deep(text) else json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        value = None
    if value is None:  # that library's reader goes on where this one gives up, and gives up where this one goes on: 64 levels down
        try:
            value = read_leniently(text, to_the_end=to_the_end)
        except NotLenientJson as problem:
            raise BadJson(str(problem), problem.cut_off) from None
    return None if value is None else dumps(value)


def _may_be_deep(text: str) -> bool:
    """Whether a short text is nested too deep. A long one is not looked through, which would hold up everything else in the host."""
    level = deepest = 0
    if len(text) > _SHORT or text.count("[") + text.count("{") <= DEEPEST:
        return False
    for character in text:
        if character in "[{":
            level += 1
            deepest = max(deepest, level)
        elif character in "]}":
            level -= 1
    return deepest > DEEPEST
