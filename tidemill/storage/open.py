"""Where the store is: one setting, read here, for memory, a folder and Azure."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from tidemill.errors import SettingsError
from tidemill.storage.azure import AzureBlobStore
from tidemill.storage.base import BlobStore
from tidemill.storage.local import LocalStore
from tidemill.storage.memory import MemoryStore

_CONNECTION = ("usedevelopmentstorage=", "defaultendpointsprotocol=", "accountname=", "blobendpoint=", "sharedaccesssignature=")


def open_store(address: str, *, container: str = "tidemill") -> BlobStore:
    """Opens the store at an address without speaking to it; a container or folder that is missing is made by the first write.

    Args:
        address: one of
            `memory:` (a new, empty store in this process) ·
            a folder, as a path or a `file:` URL ·
            an Azure Storage connection string, `UseDevelopmentStorage=true` included ·
            `https://<account>.blob.core.windows.net`, optionally with `/<container>`, opened as the identity this process has.
        container: the container, for Azure addresses that name none.

    Raises:
        SettingsError: the address says none of these.
        MissingExtra: it is in Azure and the Azure packages are not installed.
    """
    address = address.strip()
    lower = address.lower()
    if lower == "memory:":
        return MemoryStore()
    if lower.startswith(_CONNECTION) or (";" in address and any(key in lower for key in _CONNECTION)):
        return AzureBlobStore.from_connection_string(address, container)
    if lower.startswith(("https://", "http://")):
        url, _, named = address.rstrip("/").partition(".blob.")
        host, _, path = named.partition("/")
        return AzureBlobStore.from_account_url(f"{url}.blob.{host}" if named else address, path or container)
    if lower.startswith("file:"):
        folder = unquote(urlsplit(address).path)
        if not folder:
            raise SettingsError(f"{address!r} names no folder.", hint="Write file:///path/to/folder.")
        return LocalStore(folder)
    if not address or "://" in address:
        raise SettingsError(
            f"{address!r} is not the address of a store.", hint="Use a folder, an Azure Storage connection string, or memory:."
        )
    return LocalStore(address)
