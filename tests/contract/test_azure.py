"""What only the Azure store can meet: containers that come and go, keys that are wrong, and signatures instead of keys."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import AccountSasPermissions, BlobServiceClient, ResourceTypes, generate_account_sas

from tidemill.errors import StorageError
from tidemill.storage import open_store


@pytest.fixture
def container() -> str:
    return f"test-{uuid.uuid4().hex}"


def test_opening_makes_nothing_and_the_first_write_makes_the_container(azurite: str, container: str) -> None:
    store = open_store(azurite, container=container)
    service = BlobServiceClient.from_connection_string(azurite)
    assert store.get("a") is None
    assert list(store.names("")) == []
    store.delete("a")
    assert not store.replace("a", b"x", '"0x1"')
    assert not service.get_container_client(container).exists()
    assert store.create("a", b"x")
    assert service.get_container_client(container).exists()


def test_two_that_make_the_container_at_once_both_succeed(azurite: str, container: str) -> None:
    first, second = (open_store(azurite, container=container) for _ in range(2))
    assert first.create("a", b"x")
    second._make_container()  # type: ignore[attr-defined]
    assert not second.create("a", b"y")
    assert second.get("a").data == b"x"  # type: ignore[union-attr]


def test_a_wrong_key_is_refused_with_a_word_about_roles_and_without_the_key(azurite: str, container: str) -> None:
    key = "d3Jvbmcgd3Jvbmcgd3Jvbmc="
    store = open_store(re.sub(r"AccountKey=[^;]*", f"AccountKey={key}", azurite), container=container)
    for call in (lambda: store.get("a"), lambda: store.create("a", b""), lambda: list(store.names(""))):
        with pytest.raises(StorageError, match=r"Not allowed to .* 403 .*Storage Blob Data Contributor") as caught:
            call()
        assert key not in str(caught.value)


def test_a_shared_access_signature_does_as_well_as_a_key(azurite: str, container: str) -> None:
    assert open_store(azurite, container=container).create("before", b"1")
    service = BlobServiceClient.from_connection_string(azurite)
    signature = generate_account_sas(
        str(service.account_name),
        service.credential.account_key,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    endpoint = re.search(r"BlobEndpoint=([^;]*)", azurite)
    assert endpoint is not None
    store = open_store(f"BlobEndpoint={endpoint[1]};SharedAccessSignature={signature}", container=container)
    assert store.get("before").data == b"1"  # type: ignore[union-attr]
    assert store.create("a/b", b"2")
    assert not store.create("a/b", b"3")
    found = store.get("a/b")
    assert found is not None
    assert store.replace("a/b", b"4", found.etag)
    assert list(store.names("a")) == ["a/b"]  # deleting goes by batch requests, which Azurite answers with 500 under a signature
