"""Which keys may sign a branch: kept in the branch itself, so that whoever has the history can decide, without a network and without asking anybody.

A snapshot of kind `keys` names *all* keys that may sign from then on. It is signed by a key that was in force before it; the first one is signed by a key
that it names itself, and is believed on first use or held against a key that the verifier was given. Every later snapshot names the `keys` snapshot
that is in force (`trust`) and is signed by one of its keys. So a rotation is one commit, signed by the old key, that names the new one; from then on
the old one is refused, and what it signed before stays good.

This module says what is in force and signs accordingly; `keys` changes it, `verify` holds a history to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from tidemill.catalog.objects import Snapshot
from tidemill.catalog.signing import Signer
from tidemill.catalog.snapshots import KEYS, Snapshots
from tidemill.errors import NotTrusted

SHORT = 16
"""Digits of a key that people are shown in sentences."""


class Trust(NamedTuple):
    """The keys in force at a place."""

    snapshot: str
    """The `keys` snapshot that names them; empty if there never was one."""
    keys: tuple[str, ...]
    """Sorted; empty: snapshots are not signed."""


NOBODY = Trust("", ())
"""Before anybody named a key: snapshots are not signed."""


def trust_after(snapshots: Snapshots, address: str, snapshot: Snapshot | None) -> Trust:
    """The keys in force for what follows a snapshot.

    Args:
        snapshots: the store's snapshots.
        address: the snapshot's hash.
        snapshot: the snapshot; None before the first.
    """
    if snapshot is None:
        return NOBODY
    if snapshot.kind == KEYS:
        return Trust(address, snapshot.keys)
    return Trust(snapshot.trust, snapshots.get(snapshot.trust).keys) if snapshot.trust else NOBODY


def chain(snapshots: Snapshots, address: str) -> Iterator[tuple[str, Snapshot]]:
    """A `keys` snapshot and those before it that it follows from, newest first, each with its hash."""
    while address:
        snapshot = snapshots.get(address)
        yield address, snapshot
        address = snapshot.trust


def signed(snapshot: Snapshot, trust: Trust, signer: Signer | None) -> Snapshot:
    """A snapshot as it may follow: signed if keys are in force, as it is if none are.

    Args:
        snapshot: complete but for `trust`, `branch` and `signature`; of kind `keys`, it may be the first.
        trust: what is in force before it.
        signer: the key this process has; None if it has none.

    Raises:
        NotTrusted: keys are in force, and this process has none of them.
    """
    allowed = trust.keys or snapshot.keys
    snapshot = msgspec.structs.replace(snapshot, trust=trust.snapshot)
    if not allowed:
        return snapshot
    branch = snapshot.branch
    if signer is None:
        raise NotTrusted(
            f"Branch `{branch}` takes signed snapshots only, and no signing key is set.",
            hint=f"Set TIDEMILL_SIGNING_KEY to a key that it trusts: {shown(allowed)}.",
        )
    if signer.key not in allowed:
        raise NotTrusted(
            f"Branch `{branch}` does not trust the key {signer.key[:SHORT]}… that is set as signing key.",
            hint=f"It trusts {shown(allowed)}. `tidemill keys list` shows since when.",
        )
    return signer.sign(snapshot)


def shown(keys: tuple[str, ...]) -> str:
    """Keys in a sentence."""
    return ", ".join(f"{key[:SHORT]}…" for key in keys)
