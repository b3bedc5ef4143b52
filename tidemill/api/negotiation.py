"""Which representation a caller gets: `format` says it plainly, else the `Accept` header does."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.api.errors import InvalidQuery, NotAcceptable
from tidemill.errors import did_you_mean


def negotiate(accept: str, format_name: str, offered: Mapping[str, str]) -> str:
    """The media type to answer with.

    Args:
        accept: the `Accept` header; empty accepts anything.
        format_name: the `format` parameter; empty leaves it to the header.
        offered: media types by format name, the preferred one first.

    Raises:
        InvalidQuery: there is no such format.
        NotAcceptable: the header accepts none of them.
    """
    if format_name:
        if format_name not in offered:
            raise InvalidQuery(f"There is no format `{format_name}` here.", hint=did_you_mean(format_name, offered))
        return offered[format_name]
    wanted = _ranges(accept) or [("*/*", 1.0)]
    best, best_quality = "", 0.0
    for media_type in offered.values():
        quality = _quality(media_type, wanted)
        if quality > best_quality:
            best, best_quality = media_type, quality
    if not best:
        raise NotAcceptable(accept[:200], offered.values())
    return best


def _quality(media_type: str, wanted: list[tuple[str, float]]) -> float:
    """How much a type is wanted: the most specific range decides."""
    for pattern in (media_type, media_type.split("/", maxsplit=1)[0] + "/*", "*/*"):
        for name, quality in wanted:
            if name == pattern:
                return quality
    return 0.0


def _ranges(accept: str) -> list[tuple[str, float]]:
    found = []
    for part in accept.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        if not name:
            continue
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            found.append((name, float(quality)))
        except ValueError:
            found.append((name, 0.0))
    return found
