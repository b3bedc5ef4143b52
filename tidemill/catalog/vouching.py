"""The part of verification that asks who signed: every snapshot is held to the keys that were in force where it stands (see `trust`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tidemill.catalog.findings import Found
from tidemill.catalog.log import ref_name
from tidemill.catalog.objects import LogEntry, Snapshot
from tidemill.catalog.signing import KEY, is_genuine
from tidemill.catalog.snapshots import BRANCH, DELETE, KEYS
from tidemill.catalog.trust import SHORT
from tidemill.storage.guard import object_name


class _Proven(NamedTuple):
    """What a sound chain of `keys` snapshots comes to."""

    keys: tuple[str, ...] = ()
    """In force."""
    ever: frozenset[str] = frozenset()
    """Named by any of them."""
    signers: frozenset[str] = frozenset()
    """That signed any of them."""
    links: frozenset[str] = frozenset({""})
    """The snapshots themselves, and the beginning before them."""


class Vouching:
    """Holds branches to their keys. One for a whole verification: what was proven once is remembered.

    Args:
        read: the snapshot with a hash, and what led to it, in words; raises `Found` unless it is whole.
        trusted: a key that every branch must be vouched for by, itself or through keys that it signed for; empty: the first key is believed.
    """

    def __init__(self, read: Callable[[str, str], Snapshot], trusted: str) -> None:
        self.signed = 0
        """Snapshots with a good signature."""
        self.first_keys: set[str] = set()
        """Keys that were the first on a branch: believed, unless one was given."""
        self._read = read
        self._trusted = trusted
        self._proofs = {"": _Proven()}
        self._signers: set[str] = set()
        self._end: tuple[str, Snapshot] | None = None

    def begin(self) -> None:
        """Turns to the next branch."""
        self._signers = set()
        self._end = None

    def check(self, entry: LogEntry, snapshot: Snapshot, parent: Snapshot | None) -> None:
        """The next snapshot of the branch, whose hash and parent have been found good.

        Raises:
            Found: it is not signed as it must be.
        """
        where = object_name(entry.snapshot)
        before = "" if parent is None else snapshot.parent if parent.kind == KEYS else parent.trust
        force = self._proven(snapshot.trust if entry.kind == BRANCH else before, where)
        if (force.keys or snapshot.kind == KEYS) and snapshot.signature is None:
            raise Found("unsigned", where, f"snapshots of branch `{entry.branch}` are signed at this place, and this one is not")
        if before not in force.links or (entry.kind != BRANCH and snapshot.trust != before):
            raise Found("misplaced", where, "it does not name the keys that are in force")
        self._check_keys(where, snapshot)
        if snapshot.signature is not None:
            if snapshot.branch != entry.branch:
                raise Found("misplaced", where, f"it was signed for branch `{snapshot.branch}`, not for `{entry.branch}`")
            self._check_signature(where, snapshot, force)
            self._signers.add(snapshot.signature.key)
            self.signed += 1
        self._end = entry.snapshot, snapshot

    def end(self, branch: str) -> None:
        """All snapshots of the branch have been looked at.

        Raises:
            Found: a key was given, and it does not vouch for the branch.
        """
        if not self._trusted or self._end is None or self._end[1].kind == DELETE:
            return
        address, last = self._end
        force = self._proven(address if last.kind == KEYS else last.trust, ref_name(branch))
        if not force.keys:
            raise Found(
                "unsigned",
                object_name(address),
                f"branch `{branch}` is not signed at its end, so {self._trusted[:SHORT]}… does not vouch for it",
            )
        if self._trusted not in force.signers | self._signers:
            raise Found("untrusted", object_name(address), f"{self._trusted[:SHORT]}… vouches for nothing on branch `{branch}`")

    def _proven(self, address: str, led: str) -> _Proven:
        """What a `keys` snapshot comes to, after the whole chain behind it has been found good."""
        links: list[tuple[str, Snapshot]] = []
        at = address
        while at not in self._proofs:
            snapshot = self._read(at, led)
            if snapshot.kind != KEYS:
                raise Found("misplaced", object_name(at), f"{led} names it for its keys, and it is a {snapshot.kind}")
            links.append((at, snapshot))
            at, led = snapshot.trust, object_name(at)
        force = self._proofs[at]
        for link, snapshot in reversed(links):
            where = object_name(link)
            if snapshot.signature is None:
                raise Found("unsigned", where, "it says which keys may sign, and is not signed itself")
            self._check_keys(where, snapshot)
            self._check_signature(where, snapshot, force)
            signer = snapshot.signature.key
            if not force.keys:
                self.first_keys.add(signer)
            force = _Proven(snapshot.keys, force.ever | {*snapshot.keys}, force.signers | {signer}, force.links | {link})
            self._proofs[link] = force
        return force

    @staticmethod
    def _check_keys(where: str, snapshot: Snapshot) -> None:
        keys = snapshot.keys
        if keys and snapshot.kind != KEYS:
            raise Found("malformed", where, f"a {snapshot.kind} names no keys")
        if list(keys) != sorted(set(keys)) or not all(KEY.fullmatch(key) for key in keys):
            raise Found("malformed", where, "its keys are not public keys in order")

    @staticmethod
    def _check_signature(where: str, snapshot: Snapshot, force: _Proven) -> None:
        signature = snapshot.signature
        assert signature is not None
        allowed = force.keys or (snapshot.keys if snapshot.kind == KEYS else ())
        if signature.key not in allowed:
            was = "which had been retired" if signature.key in force.ever else "which was not trusted"
            raise Found("untrusted", where, f"it is signed with the key {signature.key[:SHORT]}…, {was} at this place")
        if not is_genuine(snapshot):
            raise Found("forged", where, f"its signature is not one that the key {signature.key[:SHORT]}… made of it")
