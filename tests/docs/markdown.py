"""What the tests read out of the project's Markdown: fenced blocks, links, headings and commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap import ROOT

PAGES = tuple(sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))
"""Every page people read."""

_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block. After its language the opening line may say what a test does with it, which no renderer shows.

    `file=PATH`: written into the project. `run`: its `$ ` lines are executed there; the lines below one are found in what it prints, in order.
    `exit=N`: the code that the last command ends with.
    """

    page: Path
    line: int
    language: str
    words: frozenset[str]
    options: dict[str, str]
    text: str

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{name(self.page)}:{self.line}"

    @property
    def steps(self) -> list[tuple[str, list[str]]]:
        """Commands, each with the lines expected of it."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and found[-1][0].endswith("\\"):
                found[-1] = (found[-1][0][:-1] + line.strip(), [])
            elif line.strip() and found:
                found[-1][1].append(line)
        return found


def name(page: Path) -> str:
    """A page as people call it: its path in the checkout."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = text_of(page)
    for match in _FENCE.finditer(text):
        language, *rest = match["info"].split() or [""]
        options = dict(each.split("=", 1) for each in rest if "=" in each)
        words = frozenset(each for each in rest if "=" not in each)
        yield Block(page, text.count("\n", 0, match.start()) + 1, language, words, options, match["text"])


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def links(page: Path) -> list[str]:
    """The targets of its links."""
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: its headings, as GitHub spells them."""
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in plain}


def commands(page: Path) -> list[str]:
    """Every command line it shows: in code, in fenced consoles, and indented below a paragraph."""
    found = [text.strip() for text in _INLINE.findall(prose(page))]
    found += [line.strip() for line in prose(page).splitlines() if line.startswith("    ")]
    for block in blocks(page):
        found += [command for command, _ in block.steps] if block.language == "console" else []
    return [re.sub(r"\s+#.*", "", each) for each in found]
