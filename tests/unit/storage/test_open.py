"""One setting says where the store is; what cannot be a store is refused with a sentence, and no secret is ever in one."""

from __future__ import annotations

import builtins
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tidemill.errors import MissingExtra, SettingsError, StoreUnavailable
from tidemill.storage import open_store
from tidemill.storage.local import LocalStore
from tidemill.storage.memory import MemoryStore

KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


def test_memory() -> None:
    assert isinstance(open_store("memory:"), MemoryStore)


def test_a_folder_as_path_and_as_url(tmp_path: Path) -> None:
    for address in (str(tmp_path), f"file://{tmp_path}", f"file:{tmp_path}"):
        store = open_store(address)
        assert isinstance(store, LocalStore)
        assert store.root == tmp_path


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "'' is not the address of a store"),
        ("ftp://host/x", "'ftp://host/x' is not the address of a store"),
        ("file:", "'file:' names no folder"),
        ("AccountName=abc", "neither an account key nor a shared access signature"),
        ("DefaultEndpointsProtocol=https;AccountKey=" + KEY, "names no account"),
        ("https:///nothing", "is not the address of a storage account"),
    ],
)
def test_what_is_no_store_is_refused(address: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        open_store(address)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("container", ["ab", "Upper", "a--b", "-ab", "a_b", "a" * 64])
def test_a_bad_container_name_is_refused(container: str) -> None:
    with pytest.raises(SettingsError, match="not a valid container name"):
        open_store("UseDevelopmentStorage=true", container=container)


def test_a_store_that_is_down_is_reported_within_seconds_and_without_its_key() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    address = f"DefaultEndpointsProtocol=http;AccountName=abc;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{port}/abc;"
    started = time.monotonic()
    with pytest.raises(
        StoreUnavailable, match=rf"The store at http://127.0.0.1:{port}/abc/tidemill did not answer .*no connection"
    ) as caught:
        open_store(address).get("refs/main")
    assert time.monotonic() - started < 10
    assert KEY not in str(caught.value)


def test_a_signature_is_not_shown_either() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(StoreUnavailable) as caught:
        open_store(f"BlobEndpoint=http://127.0.0.1:{port}/abc;SharedAccessSignature=sv=2022&sig={KEY}").create("refs/main", b"")
    assert KEY not in str(caught.value)
    assert "sig=" not in str(caught.value)


def test_without_the_azure_packages_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in {"obstore", "azure"}:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for address in ("UseDevelopmentStorage=true", "https://abc.blob.core.windows.net"):
        with pytest.raises(MissingExtra, match=r"pip install 'tidemill\[azure\]'"):
            open_store(address)
