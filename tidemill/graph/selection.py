"""Selections: which assets a request means, as a value.

    selection  = both { ("or" | ",") both }
    both       = negation { "and" negation }
    negation   = "not" negation | reach
    reach      = [[depth] "+"] part ["+" [depth]]
    part       = "(" selection ")" | "group:" text | "tag:" name ["=" text] | "owner:" text | [pipeline "/"] pattern

A pattern is an asset key in which `*` stands for any characters. `+x` adds everything that `x` reads, `x+` everything that reads it, at most
`depth` steps away if a number is given. Text with anything but letters, digits and `_ . / : @ = * -` goes in double quotes.

Reading a selection never looks at a graph; `resolve` does, and a part that means nothing there is an error and not an empty answer.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple, NoReturn

from tidemill.errors import InvalidSelection, UnknownAsset, did_you_mean
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.keys import AssetKey

_TOKEN = re.compile(r'\s*(?:(?P<word>(?:[A-Za-z0-9_./:@=*-]|"[^"]*")+)|(?P<mark>[+(),]))')
_BARE = re.compile(r"[A-Za-z0-9_./:@=*-]+")
_RESERVED = frozenset({"and", "or", "not"})
_MAX_LENGTH = 10_000
_MAX_NESTING = 50


class AssetSelection(ABC):
    """A set of assets, described. Compares by value; `str` writes it so that `parse_selection` reads it back."""

    @abstractmethod
    def resolve(self, graph: AssetGraph) -> frozenset[AssetKey]:
        """The assets it means in a graph.

        Raises:
            UnknownAsset: it names an asset that is not there.
            InvalidSelection: a pattern, pipeline, group, tag or owner in it matches nothing.
        """


@dataclass(frozen=True, slots=True)
class Matching(AssetSelection):
    """Assets by key or pattern, in one pipeline or in all."""

    pattern: str
    pipeline: str | None = None

    def resolve(self, graph: AssetGraph) -> frozenset[AssetKey]:
        """Keys that match the pattern."""
        pipelines = {definition.pipeline for definition in graph.assets.values()}
        if self.pipeline is not None and self.pipeline not in pipelines:
            raise InvalidSelection(f"There is no pipeline `{self.pipeline}`.", hint=did_you_mean(self.pipeline, pipelines - {""}))
        within = {key for key, definition in graph.assets.items() if self.pipeline in {None, definition.pipeline}}
        if "*" not in self.pattern:
            if self.pattern not in within:
                raise UnknownAsset(str(self), map(str, within) if self.pipeline is None else (f"{self.pipeline}/{key}" for key in within))
            return frozenset({AssetKey(self.pattern)})
        found = frozenset(key for key in within if fnmatchcase(key, self.pattern))
        if not found and self.pattern != "*":
            raise InvalidSelection(f"`{self}` matches no asset.", hint=_some(within))
        return found

    def __str__(self) -> str:
        return self.pattern if self.pipeline is None else f"{self.pipeline}/{self.pattern}"


@dataclass(frozen=True, slots=True)
class InGroup(AssetSelection):
    """Assets of one group."""

    group: str

    def resolve(self, graph: AssetGraph) -> frozenset[AssetKey]:
        """Keys in the group."""
        found = frozenset(key for key, definition in graph.assets.items() if definition.group == self.group)
        return found or _nothing(
            f"There is no group `{self.group}`.", did_you_mean(self.group, (each.group for each in graph.assets.values()))
        )

    def __str__(self) -> str:
        return f"group:{_quoted(self.group)}"


@dataclass(frozen=True, slots=True)
class Tagged(AssetSelection):
    """Assets with a tag, or with one value of it."""

    name: str
    value: str | None = None
    """None: any value."""

    def resolve(self, graph: AssetGraph) -> frozenset[AssetKey]:
        """Keys with the tag."""
        known = {f"{name}={value}" for definition in graph.assets.values() for name, value in definition.tags.items()}
        found = frozenset(
            key for key, each in graph.assets.items() if self.name in each.tags and self.value in {None, each.tags[self.name]}
        )
        shown = self.name if self.value is None else f"{self.name}={self.value}"
        return found or _nothing(f"No asset has the tag `{shown}`.", did_you_mean(shown, known))

    def __str__(self) -> str:
        return f"tag:{_quoted(self.name, '=')}" + ("" if self.value is None else f"={_quoted(self.value)}")


@dataclass(frozen=True, slots=True)
class OwnedBy(AssetSelection):
    """Assets of one owner."""

    owner: str

    def resolve(self, graph: AssetGraph) -> frozenset[AssetKey]:
        """Keys with the owner."""
        found = frozenset(key for key, definition in graph.assets.items() if self.owner in definition.owners)
        return found or _nothing(
            f"No asset is owned by `{self.owner}`.",
            did_you_mean(self.owner, (owner for each in graph.assets.values() for owner in each.owners)),
        )

    def __str__(self) -> str:
        return f"owner:{_quoted(self.owner)}"


@dataclass(frozen=True, slots=True)
class Reaching(AssetSelection):
    """Assets and what they read, what reads them, or both."""

    inner: AssetSelection
    up: int | None = 0
    """Steps towards the sources; None: all the way."""
    down: int | None = 0
    """Steps towards the readers; None: all the way."""

    def resolve(self, graph: AssetGraph) -> frozenset[AssetKey]:
        """The inner keys and those in reach."""
        inner = self.inner.resolve(graph)
        return graph.upstream(inner, self.up) | graph.downstream(inner, self.down)

    def __str__(self) -> str:
        before = "" if self.up == 0 else f"{'' if self.up is None else self.up}+"
        after = "" if self.down == 0 else f"+{'' if self.down is None else self.down}"
        return f"{before}{_grouped(self.inner, _ATOMS)}{after}"


@dataclass(frozen=True, slots=True)
class Either(AssetSelection):
    """Assets that one of several selections means."""

    parts: tuple[AssetSelection, ...]
    """Two or more."""

    def resolve(self, graph: AssetGraph) -> frozenset[AssetKey]:
        """The union."""
        return frozenset().union(*(part.resolve(graph) for part in self.parts))

    def __str__(self) -> str:
        return " or ".join(_grouped(part, (*_ATOMS, Reaching, Without, Both)) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Both(AssetSelection):
    """Assets that every one of several selections means."""

    parts: tuple[AssetSelection, ...]
    """Two or more."""

    def resolve(self, graph: AssetGraph) -> frozenset[AssetKey]:
        """The intersection."""
        return frozenset.intersection(*(part.resolve(graph) for part in self.parts))

    def __str__(self) -> str:
        return " and ".join(_grouped(part, (*_ATOMS, Reaching, Without)) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Without(AssetSelection):
    """Every asset that a selection does not mean."""

    inner: AssetSelection

    def resolve(self, graph: AssetGraph) -> frozenset[AssetKey]:
        """The complement."""
        return frozenset(graph.assets) - self.inner.resolve(graph)

    def __str__(self) -> str:
        return f"not {_grouped(self.inner, (*_ATOMS, Reaching, Without))}"


_ATOMS: tuple[type[AssetSelection], ...] = (Matching, InGroup, Tagged, OwnedBy)


def parse_selection(text: str) -> AssetSelection:
    """Reads a selection; white space around it does not matter.

    Raises:
        InvalidSelection: it breaks the grammar; the message names the position.
    """
    if len(text) > _MAX_LENGTH:
        raise InvalidSelection(
            f"The selection is {len(text)} characters long.", hint=f"The limit is {_MAX_LENGTH}; use patterns, groups or tags."
        )
    return _Parser(text).read()


class _Token(NamedTuple):
    kind: str
    """`word`, `mark` or `end`."""
    text: str
    start: int


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._scan()
        self._next = 0
        self._depth = 0

    def read(self) -> AssetSelection:
        if self._peek.kind == "end":
            raise InvalidSelection("The selection is empty.", hint="Write `*` for all assets, or a key such as `gold.daily_orders`.")
        selection = self._either()
        if self._peek.kind != "end":
            hint = "There is no `(` for it." if self._peek.text == ")" else "Put `and`, `or` or `,` between two parts."
            self._fail(self._peek, hint)
        return selection

    def _either(self) -> AssetSelection:
        parts = [self._both()]
        while self._peek.text == "," or self._is_keyword("or"):
            self._take()
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> AssetSelection:
        parts = [self._negation()]
        while self._is_keyword("and"):
            self._take()
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _negation(self) -> AssetSelection:
        if not self._is_keyword("not"):
            return self._reach()
        self._take()
        self._deeper()
        inner = Without(self._negation())
        self._depth -= 1
        return inner

    def _reach(self) -> AssetSelection:
        up: int | None = 0
        down: int | None = 0
        first = self._peek
        if first.text.isdecimal() and self._tokens[self._next + 1].text == "+":
            up = self._depth_of(self._take())
            self._take()
        elif first.text == "+":
            self._take()
            up = None
        inner = self._part()
        if self._peek.text == "+":
            self._take()
            down = self._depth_of(self._take()) if self._peek.text.isdecimal() else None
        return inner if up == 0 and down == 0 else Reaching(inner, up, down)

    def _part(self) -> AssetSelection:
        token = self._take()
        if token.text == "(":
            self._deeper()
            inner = self._either()
            if self._peek.text != ")":
                self._fail(self._peek, "A `)` is missing.")
            self._take()
            self._depth -= 1
            return inner
        if token.kind != "word" or token.text in _RESERVED:
            self._fail(token, "An asset, a pattern, `group:`, `tag:` or `owner:` is expected here.")
        return self._word(token)

    def _word(self, token: _Token) -> AssetSelection:
        kind, colon, rest = token.text.partition(":")
        if not colon:
            pipeline, slash, pattern = token.text.rpartition("/")
            if "/" in pipeline or '"' in token.text or "=" in token.text or not pattern or (slash and not pipeline):
                self._fail(token, "Write an asset as `gold.daily_orders` or `pipeline/gold.daily_orders`; `*` stands for any characters.")
            return Matching(pattern, pipeline if slash else None)
        text = rest.replace('"', "")
        if not text:
            self._fail(token, f"Write what to look for after `{kind}:`.")
        if kind == "group":
            return InGroup(text)
        if kind == "owner":
            return OwnedBy(text)
        if kind != "tag":
            self._fail(token, f"`{kind}:` is not known; use `group:`, `tag:` or `owner:`.")
        name, equals, value = _split_outside_quotes(rest)
        return Tagged(name, value if equals else None)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MAX_NESTING:
            self._fail(self._peek, f"It is nested more than {_MAX_NESTING} deep.")

    def _depth_of(self, token: _Token) -> int:
        if len(token.text) > 4 or not int(token.text):
            self._fail(token, "A number of steps lies between 1 and 9999.")
        return int(token.text)

    def _is_keyword(self, word: str) -> bool:
        return self._peek.kind == "word" and self._peek.text == word

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek
        if token.kind != "end":
            self._next += 1
        return token

    def _fail(self, token: _Token, hint: str) -> NoReturn:
        where = "ends too early" if token.kind == "end" else f"cannot be read at character {token.start + 1}, `{token.text}`"
        raise InvalidSelection(f"Selection `{self._text.strip()}` {where}.", hint=hint)

    def _scan(self) -> list[_Token]:
        tokens: list[_Token] = []
        position = 0
        while self._text[position:].strip():
            match = _TOKEN.match(self._text, position)
            if match is None:
                start = position + len(self._text[position:]) - len(self._text[position:].lstrip())
                hint = (
                    'A closing `"` is missing.'
                    if self._text[start] == '"'
                    else 'Put text with such characters in double quotes, as in `owner:"Jane Doe"`.'
                )
                self._fail(_Token("mark", self._text[start], start), hint)
            kind = match.lastgroup or ""
            tokens.append(_Token(kind, match.group(kind), match.start(kind)))
            position = match.end()
        tokens.append(_Token("end", "", len(self._text)))
        return tokens


def _split_outside_quotes(text: str) -> tuple[str, str, str]:
    """Name, `=` and value, where an `=` in quotes does not separate; quotes are removed."""
    quoted = False
    for index, character in enumerate(text):
        quoted ^= character == '"'
        if character == "=" and not quoted:
            return text[:index].replace('"', ""), "=", text[index + 1 :].replace('"', "")
    return text.replace('"', ""), "", ""


def _quoted(text: str, special: str = "") -> str:
    return text if _BARE.fullmatch(text) and not any(each in text for each in special) else f'"{text}"'


def _grouped(part: AssetSelection, plain: tuple[type[AssetSelection], ...]) -> str:
    return str(part) if isinstance(part, plain) else f"({part})"


def _nothing(message: str, hint: str) -> NoReturn:
    raise InvalidSelection(message, hint=hint)


def _some(keys: set[AssetKey]) -> str:
    names = sorted(keys)
    return f"There are {len(names)} assets, among them {', '.join(f'`{name}`' for name in names[:3])}." if names else "There are no assets."
