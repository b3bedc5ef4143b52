"""Terminals as SVG: the command and what it printed, in its colours."""

from __future__ import annotations

import io
import math
import re
from html import escape

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tools.pictures.drawing import FONT, LINE
from tools.pictures.shell import WIDTH, Screen

_PADDING = 14
_THEME = TerminalTheme(
    (255, 255, 255),
    (36, 41, 47),
    [(36, 41, 47), (207, 34, 46), (26, 127, 55), (154, 103, 0), (9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)],
    [(87, 96, 106), (164, 14, 38), (45, 164, 78), (99, 60, 1), (33, 139, 255), (164, 117, 249), (49, 146, 170), (140, 149, 159)],
)

# What stands within the frame; Rich's own frame has window buttons, and fetches a font from a server.
_CONTENT = f"""{{terminal_width}} {{terminal_height}}
<style>
.{{unique_id}}-matrix {{{{ font-family: {FONT}; font-size: {{char_height}}px; line-height: {{line_height}}px; }}}}
{{styles}}
</style>
<defs>{{lines}}</defs>
<g transform="translate({_PADDING}, {_PADDING})">
{{backgrounds}}
<g class="{{unique_id}}-matrix">
{{matrix}}
</g>
</g>
"""


def picture(screen: Screen, name: str) -> str:
    """A screen as an SVG file.

    Args:
        screen: what was said.
        name: of the picture; keeps the styles of several on one page apart.
    """
    console = Console(record=True, width=WIDTH + 1, file=io.StringIO(), force_terminal=True, color_system="truecolor", legacy_windows=False)
    for number, (command, said) in enumerate(screen.commands):
        console.print(Text.assemble(*(("\n",) if number else ()), ("$ ", "dim"), (command, "bold")))
        if said:
            console.print(Text.from_ansi(said))
    sizes, _, content = console.export_svg(theme=_THEME, code_format=_CONTENT, unique_id=name).partition("\n")
    width, height = (math.ceil(float(size)) + 2 * _PADDING for size in sizes.split())
    title = escape("; ".join(command for command, _ in screen.commands), quote=False)
    framed = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n<title>{title}</title>\n'
        f'<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="6" fill="#ffffff" stroke="{LINE}"/>\n{content}</svg>\n'
    )
    return re.sub(r"[ \t]+$", "", framed, flags=re.MULTILINE)
