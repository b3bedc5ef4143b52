"""Query strings, read as ASP.NET Core reads them."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def read_query(query: str) -> dict[str, str]:
    """Decoded parameters; repeated ones (names are compared without regard to case) joined with `,` under the last spelling.

    Parameters with an empty value are left out, escapes that are no UTF-8 stay as text, `;` does not separate.
    """
    found: dict[str, tuple[str, list[str]]] = {}
    for part in query.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        name, value = _decode(name), _decode(value)
        _, values = found.get(name.lower(), ("", []))
        found[name.lower()] = (name, [*values, value])
    return {name: ",".join(values) for name, values in found.values() if ",".join(values)}


def _decode(text: str) -> str:
    return _ESCAPE.sub(_decode_run, text.replace("+", " "))


def _decode_run(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(match.group().replace("%", "")).decode()
    except UnicodeDecodeError:
        return match.group()
