"""Changing which keys may sign a branch. What that means is told in `trust`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tidemill.catalog.signing import KEY, Signer
from tidemill.catalog.snapshots import KEYS
from tidemill.catalog.trust import SHORT, chain, trust_after
from tidemill.catalog.writer import Author, Committed, Draft, Position, Writer
from tidemill.errors import InvalidKey, NotFound, NotTrusted, PlanError


class TrustedKey(NamedTuple):
    """A key that a branch trusts, or once did."""

    key: str
    since: str
    """When it was named, as snapshots spell instants."""
    by: str
    """The key that signed for it; itself, if it was the first."""
    until: str
    """When it was retired; empty while it is in force."""


def change_keys(
    writer: Writer, signer: Signer | None, *, add: Iterable[str], retire: Iterable[str], off: bool, author: Author
) -> Committed:
    """See `Catalog.change_keys`."""
    coming, going = {_checked(key) for key in add}, {_checked(key) for key in retire}

    def step(head: Position) -> Draft | Committed:
        trust = trust_after(writer.snapshots, head.hash, head.snapshot)
        wanted = tuple(sorted((set(trust.keys) | coming) - going))
        if wanted == trust.keys:
            ever = {key for _, each in chain(writer.snapshots, trust.snapshot) for key in each.keys}
            for key in sorted(going - ever - coming):
                raise NotFound(f"Branch `{writer.log.branch}` never trusted the key {key[:SHORT]}….", hint="See `tidemill keys list`.")
            return Committed(head.number, head.hash, 0)
        if not trust.keys and (signer is None or signer.key not in coming):
            raise NotTrusted(
                f"The first key of branch `{writer.log.branch}` signs for itself, so it must be the signing key.",
                hint="Set TIDEMILL_SIGNING_KEY to its file, and add that key first.",
            )
        if not wanted and not off:
            raise PlanError(
                f"{min(going)[:SHORT]}… is the last key of branch `{writer.log.branch}`: without it, nothing is signed any more.",
                hint="Rotate to a new key; or say that signing shall end.",
            )
        return Draft(KEYS, head.root, head.hash, keys=wanted)

    return writer.advance(step, author)


def known_keys(writer: Writer) -> list[TrustedKey]:
    """Every key that the branch trusts or once did, oldest first."""
    head = writer.head()
    places = list(chain(writer.snapshots, trust_after(writer.snapshots, head.hash, head.snapshot).snapshot))[::-1]
    found: list[TrustedKey] = []
    before: tuple[str, ...] = ()
    for _, snapshot in places:
        by = snapshot.signature.key if snapshot.signature else ""
        found = [each._replace(until=snapshot.at) if not each.until and each.key not in snapshot.keys else each for each in found]
        found += [TrustedKey(key, snapshot.at, by, "") for key in snapshot.keys if key not in before]
        before = snapshot.keys
    return found


def _checked(key: str) -> str:
    if not KEY.fullmatch(key):
        raise InvalidKey("public key", key, "64 hexadecimal digits in lower case")
    return key
