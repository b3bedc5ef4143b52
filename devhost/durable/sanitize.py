"""Takes credentials out of failure texts before they reach a history, as the real host does (by the same rules, hence the same damage)."""

from __future__ import annotations

import re
from typing import Final

_REPLACEMENT: Final = "[Hidden Credential]"
_ALLOWED: Final = "PublicKeyToken="
_TOKENS: Final = (
    "Token=",
    "DefaultEndpointsProtocol=http",
    "AccountKey=",
    "Data Source=",
    "Server=",
    "Password=",
    "pwd=",
    "&amp;sig=",
    "&sig=",
    "?sig=",
    "SharedAccessKey=",
    "&amp;code=",
    "&code=",
    "?code=",
)
_TERMINATOR: Final = re.compile("[<\"']")
_USERINFO: Final = re.compile(r"(?i)\b[a-z0-9]{2,5}s?://[^%:\s\"'/$]{2,}:[^%@\s\"'/][^@\s\"'/]{0,101}@[$a-z0-9:._%?=/\-]+")


def sanitize(text: str) -> str:
    """Replaces what looks like a credential, up to the next quote or `<`."""
    if "://" in text and "@" in text:
        text = _USERINFO.sub(_REPLACEMENT, text)
    if "=" not in text:
        return text
    masked = text.replace(_ALLOWED, "#" * len(_ALLOWED))
    for token in _TOKENS:
        wanted = token.lower()
        at = masked.lower().find(wanted)
        while at >= 0:
            end = _TERMINATOR.search(text, at)
            rest = end.start() if end else len(text)
            text = text[:at] + _REPLACEMENT + text[rest:]
            masked = masked[:at] + _REPLACEMENT + masked[rest:]
            at = masked.lower().find(wanted, at)
    return text
