"""The one sink for text that somebody else wrote: exception messages may quote a URL or a connection string, and replies travel far.

What is cut out grants access to storage or to the Durable management API: signatures, account keys, function keys and those URLs.
"""

from __future__ import annotations

import re

GONE = "[redacted]"

_SECRETS = re.compile(
    r"""
      (?<=[?&])(?:sig|code|token|sv|se|sp)=[^&\s"'<>`]+          # query parameters of signed and keyed URLs
    | \b(?:AccountKey|SharedAccessKey|SharedAccessSignature|Password)\s*=\s*[^;\s"'<>`]+   # connection strings
    | [^\s"'<>`]*/runtime/webhooks/[^\s"'<>`]*                   # Durable management URLs
    | (?<=://)[^/\s:@"']+:[^/\s@"']+(?=@)                        # user:password@
    """,
    re.VERBOSE | re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text without what grants access."""
    return _SECRETS.sub(GONE, text)
