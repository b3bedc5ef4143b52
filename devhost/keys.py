"""Access keys: a master key, host keys, system keys of extensions, and each function's own."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devhost.document import Document
from devhost.jsonc import SettingsError, read_json_object

DURABLE_SYSTEM_KEY = "durabletask_extension"
_ALPHABET = string.ascii_letters + string.digits + "-_"


def new_key() -> str:
    """56 characters with Azure's key signature in its usual place."""

    def text(length: int) -> str:
        return "".join(secrets.choice(_ALPHABET) for _ in range(length))

    return f"{text(44)}AzFu{text(6)}=="


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whose key it is: `scope` is `master`, `host`, `system` or `function`; `name` is the system key's or the function's name."""

    scope: str
    name: str = ""


@dataclass
class Keys:
    """All keys of one host. With a path they are kept in a file that only its owner can read."""

    path: Path | None = None
    master: str = field(default_factory=new_key)
    host: dict[str, str] = field(default_factory=lambda: {"default": new_key()})
    system: dict[str, str] = field(default_factory=dict)
    functions: dict[str, dict[str, str]] = field(default_factory=dict)
    """Keys by lower-case function name."""

    @classmethod
    def load(cls, path: Path) -> Keys:
        """The keys in a file; new ones when there is no file yet.

        Raises:
            SettingsError: the file is there and cannot be used.
        """
        if not path.exists():
            keys = cls(path=path)
            keys.save()
            return keys
        document = Document(read_json_object(path), path.name)
        master = document.text("masterKey", default="")
        if not master:
            raise SettingsError(f"{path.name} has no masterKey; delete the file to get new keys")
        groups: dict[str, dict[str, Any]] = {
            name: dict(section.items()) for name, section in document.section("functions").sections().items()
        }
        return cls(path, master, dict(document.section("functionKeys").items()), dict(document.section("systemKeys").items()), groups)

    def save(self) -> None:
        if self.path is None:
            return
        document = {"masterKey": self.master, "functionKeys": self.host, "systemKeys": self.system, "functions": self.functions}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            temporary.touch(mode=0o600)
            temporary.write_text(json.dumps(document, indent=2), encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            raise SettingsError(f"the keys cannot be written to {self.path}: {error.strerror}; --keys names another file") from None

    def system_key(self, name: str) -> str:
        """An extension's key, made when there is none."""
        if name not in self.system:
            self.system[name] = new_key()
            self.save()
        return self.system[name]

    def of_function(self, function: str) -> dict[str, str]:
        """A function's own keys; it gets its `default` one when they are first asked for."""
        keys = self.functions.setdefault(function.lower(), {})
        if not keys:
            keys["default"] = new_key()
            self.save()
        return keys

    def holder(self, key: str, function: str | None = None) -> KeyHolder | None:
        """Whose key this is; of functions only `function`'s own are looked at, or all when it is None. None for an unknown key."""
        if not key:
            return None
        if _same(key, self.master):
            return KeyHolder("master")
        if any(_same(key, value) for value in self.host.values()):
            return KeyHolder("host")
        for name, value in self.system.items():
            if _same(key, value):
                return KeyHolder("system", name)
        names = list(self.functions) if function is None else [function.lower()]
        for name in names:
            if any(_same(key, value) for value in self.of_function(name).values()):
                return KeyHolder("function", name)
        return None


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
