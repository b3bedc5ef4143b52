"""Names of stored bytes: one strict grammar, checked at the door of every store.

We make all names ourselves, from hashes, numbers and checked keys. The check is there so that a mistake elsewhere can never become a path
outside the folder, a listing that no client can read, or two spellings of one blob.
"""

from __future__ import annotations

import re

from tidemill.errors import InvalidKey

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}){0,9}")
_PREFIX = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]{0,199}/){0,9}([A-Za-z0-9_-][A-Za-z0-9._-]{0,199})?")
_MAX = 800


def check_name(name: str) -> str:
    """The name itself.

    Raises:
        InvalidKey: it is not one to ten segments of `A-Z a-z 0-9 . _ -` joined by `/`, or a segment starts with a dot.
    """
    if len(name) > _MAX or not _NAME.fullmatch(name):
        raise InvalidKey("stored name", name, "one to ten segments of letters, digits and `._-` joined by `/`, none starting with a dot")
    return name


def check_prefix(prefix: str) -> str:
    """The prefix itself: `""`, or the beginning of a name.

    Raises:
        InvalidKey: no name can start like this.
    """
    if len(prefix) > _MAX or not _PREFIX.fullmatch(prefix):
        raise InvalidKey("stored name prefix", prefix, "the beginning of a stored name, such as `log/main/`")
    return prefix
