"""Signing: Ed25519 keys and what they say of a snapshot. Who may sign is another question, answered by `keys`.

A signature covers the canonical bytes of the snapshot without its field `signature`. Ed25519 is deterministic, so a commit that is tried again has
the same bytes again. The private key is held by the object that signs and shown by nobody: not in messages, not by `repr`, not in what is stored.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.catalog.objects import Signature, Snapshot
from tidemill.errors import MissingExtra, SettingsError
from tidemill.model.versions import canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = re.compile(r"[0-9a-f]{64}")
"""A public key as it is written everywhere: its 32 bytes in hexadecimal digits."""

_VALUE = re.compile(r"[0-9a-f]{128}")
_RAW = re.compile(r"[0-9a-fA-F]{64}")
_HINT = "It takes the path of a key file (`tidemill keys create FILE` makes one), the text of one (PEM), or 64 hexadecimal digits."


class Signer:
    """A private key, ready to sign. Safe to share between threads."""

    __slots__ = ("_private", "key")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.key: str = private.public_key().public_bytes_raw().hex()
        """The public key, 64 hex digits."""

    @classmethod
    def load(cls, text: str) -> Signer:
        r"""The key that a setting means.

        Args:
            text: the path of a PEM file, its text, or the key's 32 bytes in hexadecimal digits. `\n` in the text of a PEM may stand for a line break, as
                in settings that hold one line.

        Raises:
            SettingsError: it is none of these, or not an Ed25519 key. The message never quotes it.
            MissingExtra: the package for signatures is not installed.
        """
        found = _ed25519()
        text = text.strip()
        if _RAW.fullmatch(text):
            return cls(found.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text)))
        return cls(_from_pem(found, text if text.startswith("-----") else _file(text)))

    def sign(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot, signed."""
        value = self._private.sign(_covered(snapshot)).hex()
        return msgspec.structs.replace(snapshot, signature=Signature(key=self.key, value=value))

    def __repr__(self) -> str:
        return f"Signer(key={self.key!r})"


def create_key_file(path: Path) -> Signer:
    """Makes a new key and writes it to a new file that only its owner may read.

    Raises:
        SettingsError: the file exists, or cannot be written.
        MissingExtra: the package for signatures is not installed.
    """
    signer = Signer(_ed25519().Ed25519PrivateKey.generate())
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra

    pem = signer._private.private_bytes(  # noqa: SLF001 - its own module
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        hint = "Choose another name: a key that is overwritten is lost." if isinstance(error, FileExistsError) else ""
        raise SettingsError(f"The key file {path} cannot be made: {error.strerror}.", hint=hint) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return signer


def is_genuine(snapshot: Snapshot) -> bool:
    """Whether a snapshot carries a signature that its key made over exactly this snapshot. Says nothing about whether the key may.

    Raises:
        MissingExtra: the package for signatures is not installed.
    """
    signature = snapshot.signature
    if signature is None or not KEY.fullmatch(signature.key) or not _VALUE.fullmatch(signature.value):
        return False
    found = _ed25519()
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra

    try:
        found.Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.key)).verify(bytes.fromhex(signature.value), _covered(snapshot))
    except (InvalidSignature, ValueError):
        return False
    return True


def _covered(snapshot: Snapshot) -> bytes:
    return canonical(msgspec.structs.replace(snapshot, signature=None))


def _file(text: str) -> str:
    try:
        return Path(text).expanduser().read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError, ValueError):
        # What does not exist may be a secret with a typing mistake in it: it is not repeated.
        raise SettingsError("The signing key names no file that can be read.", hint=_HINT) from None


def _from_pem(found: Any, text: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - an extra

    try:
        private = load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, found.Ed25519PrivateKey):
        raise SettingsError("The signing key is not an unencrypted Ed25519 private key.", hint=_HINT)
    return private


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra("Signing snapshots and checking signatures", "signing") from error
    return ed25519
