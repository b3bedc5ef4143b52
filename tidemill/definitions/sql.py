"""SQL text as a value: its normal form, the parameters it binds and the tables it reads.

A small scanner instead of a parser: it knows comments, quotes and words, which is all that normalising and finding names takes, and it
cannot disagree with DuckDB about the rest of the grammar. Running the query is `tidemill/execution/sql.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from tidemill.definitions.context import AssetContext

UNIT_PARAMETERS = ("partition", "window_start", "window_end")
"""Names a query may bind beside the asset's own parameters and its dimensions: `$partition`, `$window_start`, `$window_end`."""

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
    |(?P<comment>/\*)
    |(?P<dollar>\$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?P=tag)?\$)
    |(?P<quoted>[eE]'(?:\\.|''|[^'\\])*'|'(?:''|[^'])*'|"(?:""|[^"])*")
    |(?P<parameter>\$\w+)
    |(?P<word>\w+)
    |(?P<bracket>[(),;\[\]{}])
    |(?P<operator>.)""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """One piece of a query."""

    kind: str
    """`quoted`, `parameter`, `word`, `bracket` or `operator`."""
    text: str
    apart: bool
    """Whether white space or a comment stands before it."""


@dataclass(frozen=True)
class SqlText:
    """A query and what can be said of it without running it. Equal if it was written the same."""

    text: str
    file: str = ""
    """Name of the file it came from; empty if it stands in the code."""

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """The pieces that mean something."""
        return tuple(_tokens(self.text))

    @cached_property
    def normal(self) -> str:
        """The query without comments, and without white space that means nothing. Case stays: quoted names and literals need it."""
        parts: list[str] = []
        before = ""
        tokens = list(self.tokens)
        while tokens and tokens[-1].text == ";":
            tokens.pop()
        for token in tokens:
            side = "operator" if token.kind == "operator" else "" if token.kind == "bracket" else "word"
            if parts and token.apart and side and side == before:
                parts.append(" ")
            parts.append(token.text)
            before = side
        return "".join(parts)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters it binds, sorted, without the `$`."""
        return tuple(sorted({token.text[1:] for token in self.tokens if token.kind == "parameter"}))

    @cached_property
    def words(self) -> frozenset[str]:
        """Every name and keyword in it, lower-case, quotes removed."""
        return frozenset(_name(token).lower() for token in self.tokens if token.kind == "word" or token.text.startswith('"'))

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Plain names that follow FROM or JOIN and are not defined by the query itself, sorted, lower-case."""
        read: set[str] = set()
        own: set[str] = set()
        tokens = self.tokens
        for index, token in enumerate(tokens):
            word = token.text.lower()
            following = tokens[index + 1] if index + 1 < len(tokens) else None
            if following is None:
                break
            if word in {"from", "join"} and following.kind in {"word", "quoted"} and not following.text.startswith("'"):
                after = tokens[index + 2].text if index + 2 < len(tokens) else ""
                if after not in {"(", "."}:
                    read.add(_name(following).lower())
            if following.text.lower() == "as" and token.kind in {"word", "quoted"}:
                after = tokens[index + 2].text.lower() if index + 2 < len(tokens) else ""
                if after in {"(", "materialized", "not"}:
                    own.add(_name(token).lower())
        return tuple(sorted(read - own))

    @property
    def reads_partition(self) -> bool:
        """Whether it may bind something that differs between two partitions; a name that is no declared parameter is taken for one."""
        return bool(self.parameters)


def sql_parameters(sql: SqlText, context: AssetContext) -> dict[str, Any]:
    """The values a query binds for one unit: exactly the names it uses.

    Raises:
        KeyError: it uses a name that the unit does not have.
    """
    known: dict[str, Any] = {
        **context.parameters,
        **context.dimensions,
        "partition": context.partition_key,
        "window_start": context.window_start,
        "window_end": context.window_end,
    }
    return {name: known[name] for name in sql.parameters}


def known_parameters(parameters: Mapping[str, Any], dimensions: tuple[str, ...]) -> tuple[str, ...]:
    """Every name a query of an asset may bind, sorted."""
    return tuple(sorted({*parameters, *dimensions, *UNIT_PARAMETERS}))


def _tokens(text: str) -> Iterator[Token]:
    position, apart = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None
        kind = match.lastgroup or ""
        position = match.end()
        if kind == "comment":
            position = _comment_end(text, position)
        if kind in {"space", "comment"}:
            apart = True
            continue
        yield Token("quoted" if kind in {"dollar", "tag"} else kind, match.group(), apart)
        apart = False


def _comment_end(text: str, position: int) -> int:
    """Where a block comment ends; they nest."""
    depth = 1
    while depth and position < len(text):
        pair = text[position : position + 2]
        step = {"/*": 1, "*/": -1}.get(pair, 0)
        depth += step
        position += 2 if step else 1
    return position


def _name(token: Token) -> str:
    return token.text[1:-1].replace('""', '"') if token.text.startswith('"') else token.text
