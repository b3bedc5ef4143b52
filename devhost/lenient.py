"""JSON as the real host's library reads it, which is more than JSON: what a strict reader refuses is tried here.

It takes single quotes, names without quotes, comments, trailing commas, hexadecimal and octal numbers, line breaks inside strings; and unless
it is told to look for an end it stops behind the first value: of `5 apples` it takes the 5. Callers see the difference: `curl -d "{'a':1}"`
works on the real host, and a terminate reason that begins with a number is shown as that number. Refusals are in that library's words.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

_BLANK: Final = re.compile(r"(?:\s|/\*.*?\*/|//[^\n\r]*)*", re.DOTALL)
_NUMBER: Final = re.compile(r"[-+0-9a-fA-FxX.]+")
_NAME: Final = re.compile(r"[\w$]+")
_WORDS: Final[dict[str, tuple[str, Any]]] = {
    "true": ("boolean", True),
    "false": ("boolean", False),
    "null": ("null", None),
    "undefined": ("undefined", None),
    "NaN": ("NaN", math.nan),
    "Infinity": ("Infinity", math.inf),
    "-Infinity": ("Infinity", -math.inf),
}
_ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "\\": "\\", "/": "/", '"': '"', "'": "'"}
_ENDS: Final = frozenset(" \t\r\n\f\v\u00a0,}])/")
DEEPEST: Final = 64


class NotLenientJson(ValueError):
    """Not even this reader can make sense of it; `str()` is the library's sentence. `cut_off` is `{` or `[` when what it opens has no end."""

    def __init__(self, sentence: str, cut_off: str = "") -> None:
        super().__init__(sentence)
        self.cut_off = cut_off


def read_leniently(text: str, *, to_the_end: bool) -> Any:
    """The first value in `text`.

    Raises:
        NotLenientJson: there is none, or `to_the_end` was asked for and something follows it.
    """
    reader = _Reader(text)
    value = reader.value()
    following = reader.peek() if to_the_end else ""
    if following:
        raise reader.problem(f"Additional text encountered after finished reading JSON content: {following}.")
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.path: list[str] = []

    def problem(self, sentence: str, cut_off: str = "") -> NotLenientJson:
        """The exception that names the place where the reader stands."""
        before = self.text[: self.at]
        line = before.count("\n") + (1 if self.at else 0)
        position = self.at - (before.rfind("\n") + 1)
        return NotLenientJson(f"{sentence} Path '{''.join(self.path).removeprefix('.')}', line {line}, position {position}.", cut_off)

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.text[self.at : self.at + 1]

    def needed(self) -> str:
        """The next character that is no blank, inside of something that must go on."""
        found = self.peek()
        if not found:
            root = self.text.lstrip()[:1]
            kind = {"{": "JObject", "[": "JArray"}.get(root)
            raise self.problem(f"Unexpected end of content while loading {kind}." if kind else "Unexpected end when reading JSON.", root)
        return found

    def value(self) -> Any:
        first = self.needed() if self.path else self.peek()
        if first in ("{", "[") and len(self.path) >= DEEPEST:
            self.at += 1
            raise self.problem(f"The reader's MaxDepth of {DEEPEST} has been exceeded.")
        if first == "{":
            return self.object()
        if first == "[":
            return self.array()
        if first in ("'", '"'):
            return self.string(first)
        following = self.text[self.at + 1 : self.at + 2]
        if first in set("tfuNI") or (first == "n" and following in ("u", "")) or (first == "-" and following == "I"):
            return self.word()
        if first.isdigit() or first in ("-", "."):
            return self.number()
        raise self.problem(f"Unexpected character encountered while parsing value: {first}.")

    def word(self) -> Any:
        word = next(word for word in _WORDS if word[:2] == self.text[self.at : self.at + 2] or word[0] == self.text[self.at] != "-")
        name, value = _WORDS[word]
        for character in word:
            following = self.text[self.at : self.at + 1]
            if not following:
                raise self.problem("Unexpected end when reading JSON.")
            if following != character:
                raise self.problem(f"Error parsing {name} value.")
            self.at += 1
        if self.at < len(self.text) and self.text[self.at] not in _ENDS:
            raise self.problem(f"Error parsing {name} value.")
        return value

    def object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while (first := self.needed()) != "}":
            if first in ("'", '"'):
                name = self.string(first)
            elif match := _NAME.match(self.text, self.at):
                name, self.at = match.group(), match.end()
                if self.at >= len(self.text):
                    raise self.problem("Unexpected end while parsing unquoted property name.")
            else:
                raise self.problem(f"Invalid property identifier character: {first}.")
            if (following := self.needed()) != ":":
                raise self.problem(f"Invalid character after parsing property name. Expected ':' but got: {following}.")
            self.at += 1
            self.path.append(f".{name}" if _NAME.fullmatch(name) else f"['{name}']")
            found[name] = self.value()
            self.comma("}")
            self.path.pop()
        self.at += 1
        return found

    def array(self) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        self.path.append("[0]")
        while self.needed() != "]":
            found.append(self.value())
            self.comma("]")
            self.path[-1] = f"[{len(found)}]"
        self.path.pop()
        self.at += 1
        return found

    def comma(self, end: str) -> None:
        following = self.needed()
        if following == ",":
            self.at += 1
        elif following != end:
            raise self.problem(f"After parsing a value an unexpected character was encountered: {following}.")

    def string(self, quote: str) -> str:
        found: list[str] = []
        self.at += 1
        while (character := self.text[self.at : self.at + 1]) != quote:
            if not character:
                raise self.problem(f"Unterminated string. Expected delimiter: {quote}.")
            self.at += 1
            found.append(self.escape() if character == "\\" else character)
        self.at += 1
        return "".join(found).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

    def escape(self) -> str:
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        if letter != "u":
            if letter not in _ESCAPES:
                raise self.problem(f"Bad JSON escape sequence: \\{letter}.")
            return _ESCAPES[letter]
        digits = self.text[self.at : self.at + 4]
        if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            raise self.problem(f"Invalid Unicode escape sequence: \\u{digits}.")
        self.at += 4
        return chr(int(digits, 16))

    def number(self) -> int | float:
        match = _NUMBER.match(self.text, self.at)
        text = match.group() if match else ""
        self.at += len(text)
        following = self.text[self.at : self.at + 1]
        if following and following not in _ENDS:
            raise self.problem(f"Unexpected character encountered while parsing number: {following}.")
        try:
            if re.fullmatch(r"-?0[xX][0-9a-fA-F]+", text):
                return int(text, 16)
            if re.fullmatch(r"-?0[0-9]+", text):
                return int(text, 8)
            return float(text) if any(sign in text for sign in ".eE") else int(text)
        except ValueError:
            raise self.problem(f"Input string '{text}' is not a valid number.") from None
