"""A store in one container of Azure Blob Storage, or of Azurite.

`obstore` does the work: create-only and ETag-conditional puts, at several times the Azure SDK's rate for small objects. The SDK is imported only
to make the container, once in the life of a deployment. Both are extras; without them a sentence says what to install.

Retries here cover what is safe to repeat blindly and stay short, so that a store that is down is reported within seconds. What a lost reply
means for a conditional write is settled one level up, in `storage.conditional`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tidemill.errors import MissingExtra, SettingsError, StorageError, StoreUnavailable
from tidemill.storage.base import Versioned
from tidemill.storage.names import check_name, check_prefix

if TYPE_CHECKING:
    import obstore
    import obstore.exceptions
    import obstore.store

_CONTAINER = re.compile(r"[a-z0-9](-?[a-z0-9]){2,62}")
_AZURITE_ACCOUNT = "devstoreaccount1"
_AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The key every Azurite has: published by its makers, good for nothing else."""

_CLIENT = {"connect_timeout": timedelta(seconds=3), "timeout": timedelta(seconds=120), "allow_http": True}
_RETRY = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=5),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
}


class AzureBlobStore:
    """A `BlobStore` in a container; safe to share between threads, not across a fork.

    Use `from_connection_string` or `from_account_url`; neither speaks to the service, so an app starts, and can say what is wrong, while its store is
    down. The container is made by the first write that misses it.
    """

    def __init__(self, client: obstore.store.AzureStore, where: str, make_container: Callable[[], None]) -> None:
        import obstore  # noqa: PLC0415 - an extra: only those who store in Azure have it
        import obstore.exceptions  # noqa: PLC0415

        self._do = obstore
        self._errors = obstore.exceptions
        self._client = client
        self._where = where
        self._make_container = make_container

    @classmethod
    def from_connection_string(cls, text: str, container: str) -> AzureBlobStore:
        """Opens a container with an Azure Storage connection string.

        Understands account keys, shared access signatures, `BlobEndpoint` and `UseDevelopmentStorage=true`.

        Raises:
            SettingsError: the string or the container's name cannot be used.
            MissingExtra: the Azure packages are not installed.
        """
        parts = _parts(text)
        account = parts.get("accountname", "")
        endpoint = parts.get("blobendpoint") or _default_endpoint(parts, account)
        options: dict[str, Any] = {"endpoint": endpoint.rstrip("/"), "account_name": account or _account_of(endpoint)}
        if "accountkey" in parts:
            options["account_key"] = parts["accountkey"]
        elif "sharedaccesssignature" in parts:
            options["sas_key"] = parts["sharedaccesssignature"].lstrip("?")
        else:
            raise SettingsError(
                "The Azure Storage connection string holds neither an account key nor a shared access signature.", hint=_HINT
            )
        return cls._opened(container, options, credential=None)

    @classmethod
    def from_account_url(cls, url: str, container: str) -> AzureBlobStore:
        """Opens a container of `https://<account>.blob.core.windows.net` as the identity this process has.

        The identity is Azure's default chain: managed identity in Azure, the developer's own sign-in on a laptop.

        Raises:
            SettingsError: the address or the container's name cannot be used.
            MissingExtra: the Azure packages are not installed.
        """
        try:
            import azure.identity  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtra("Signing in to Azure Storage", "azure") from error
        options = {"endpoint": url.rstrip("/"), "account_name": _account_of(url)}
        return cls._opened(container, options, credential=azure.identity.DefaultAzureCredential())

    @classmethod
    def _opened(cls, container: str, options: dict[str, Any], credential: Any) -> AzureBlobStore:
        if not _CONTAINER.fullmatch(container):
            raise SettingsError(
                f"{container!r} is not a valid container name.", hint="Use 3 to 63 characters of a-z, 0-9 and single hyphens."
            )
        try:
            from obstore.store import AzureStore  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise MissingExtra("Storing in Azure Blob Storage", "azure") from error
        given = dict(options)
        if credential is not None:
            from obstore.auth.azure import AzureCredentialProvider  # noqa: PLC0415 - needs azure-identity, which key users lack

            given["credential_provider"] = AzureCredentialProvider(credential)
        try:
            client = AzureStore(container, client_options=_CLIENT, retry_config=_RETRY, **given)  # type: ignore[arg-type]
        except Exception as error:  # obstore has no class for a bad configuration
            raise SettingsError(f"Azure Storage cannot be opened: {_reason(error)}.", hint=_HINT) from error
        return cls(client, f"{options['endpoint']}/{container}", lambda: _make_container(options, container, credential))

    def get(self, name: str) -> Versioned | None:
        """See `BlobStore.get`."""
        check_name(name)
        try:
            with self._speaking("read", name):
                found = self._do.get(self._client, name)
                return Versioned(bytes(found.bytes()), found.meta["e_tag"] or "")
        except FileNotFoundError:
            return None

    def create(self, name: str, data: bytes) -> bool:
        """See `BlobStore.create`."""
        check_name(name)
        try:
            return self._create(name, data)
        except FileNotFoundError:
            self._make_container()
        try:
            return self._create(name, data)
        except FileNotFoundError as error:
            raise StoreUnavailable(f"The container {self._where} disappeared as it was made.", hint="Is it being deleted?") from error

    def _create(self, name: str, data: bytes) -> bool:
        try:
            with self._speaking("create", name):
                self._do.put(self._client, name, data, mode="create", use_multipart=False)
        except self._errors.AlreadyExistsError:
            return False
        return True

    def replace(self, name: str, data: bytes, etag: str) -> bool:
        """See `BlobStore.replace`."""
        check_name(name)
        try:
            with self._speaking("replace", name):
                self._do.put(self._client, name, data, mode={"e_tag": etag}, use_multipart=False)
        except (self._errors.PreconditionError, self._errors.AlreadyExistsError):
            return False
        except FileNotFoundError:
            return False  # the container is missing, so the name holds nothing
        return True

    def delete(self, name: str) -> None:
        """See `BlobStore.delete`."""
        check_name(name)
        with contextlib.suppress(FileNotFoundError), self._speaking("delete", name):
            self._do.delete(self._client, name)

    def settle(self) -> None:
        """See `BlobStore.settle`: nothing to do."""

    def names(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """See `BlobStore.names`. Pages of a thousand; order is ordinal in accounts without a hierarchical namespace."""
        check_prefix(prefix)
        # The service's prefix ends at a slash, and Azurite ignores the offset: both are settled by comparing again here.
        folder = prefix.rpartition("/")[0] or None
        with contextlib.suppress(FileNotFoundError), self._speaking("list", prefix or "/"):
            for page in self._do.list(self._client, prefix=folder, offset=after or None, chunk_size=1000):
                for found in page:
                    name = found["path"]
                    if name.startswith(prefix) and name > after:
                        yield name

    def __repr__(self) -> str:
        return f"AzureBlobStore({self._where!r})"

    @contextlib.contextmanager
    def _speaking(self, verb: str, name: str) -> Iterator[None]:
        """Turns obstore's refusals into ours; the answers that a caller decides on pass through."""
        try:
            yield
        except (self._errors.AlreadyExistsError, self._errors.PreconditionError, FileNotFoundError):
            raise
        except (self._errors.BaseError, OSError) as error:
            if "ContainerNotFound" in str(error):
                raise FileNotFoundError(name) from error
            raise self._translated(verb, f"`{name}`", error) from error

    def _translated(self, verb: str, what: str, error: Exception) -> StorageError:
        reason = _reason(error)
        if isinstance(error, (self._errors.PermissionDeniedError, self._errors.UnauthenticatedError)) or reason.startswith(("401", "403")):
            return StorageError(
                f"Not allowed to {verb} {what} in {self._where}: {reason}.",
                hint="Check the account key, or give this identity the role Storage Blob Data Contributor.",
            )
        return StoreUnavailable(f"The store at {self._where} did not answer (to {verb} {what}): {reason}.", hint=_DOWN)


_HINT = "Copy the connection string from the portal, or use `UseDevelopmentStorage=true` for Azurite."
_DOWN = "Is the address right, and is it running?"


def _parts(text: str) -> dict[str, str]:
    parts = {key.strip().lower(): value.strip() for key, sep, value in (part.partition("=") for part in text.split(";")) if sep}
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        return {"accountname": _AZURITE_ACCOUNT, "accountkey": _AZURITE_KEY, "blobendpoint": f"http://127.0.0.1:10000/{_AZURITE_ACCOUNT}"}
    if not parts:
        raise SettingsError("That is not an Azure Storage connection string.", hint=_HINT)
    return parts


def _default_endpoint(parts: dict[str, str], account: str) -> str:
    if not account:
        raise SettingsError("The Azure Storage connection string names no account.", hint=_HINT)
    return f"{parts.get('defaultendpointsprotocol', 'https')}://{account}.blob.{parts.get('endpointsuffix', 'core.windows.net')}"


def _account_of(url: str) -> str:
    """The account an address names: in its path where the host is an emulator, else in the host."""
    split = urlsplit(url)
    account = split.path.strip("/").split("/")[0] or (split.hostname or "").split(".")[0]
    if split.scheme not in {"http", "https"} or not split.hostname or not account:
        raise SettingsError(
            f"{url!r} is not the address of a storage account.", hint="It looks like https://<account>.blob.core.windows.net."
        )
    return account


def _make_container(options: dict[str, Any], container: str, credential: Any) -> None:
    try:
        from azure.core.exceptions import AzureError, ResourceExistsError  # noqa: PLC0415 - an extra
        from azure.storage.blob import ContainerClient  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtra(f"Making the container {container}", "azure") from error
    if credential is None:
        credential = (
            {"account_name": options["account_name"], "account_key": options["account_key"]}
            if "account_key" in options
            else options["sas_key"]
        )
    with ContainerClient(options["endpoint"], container, credential=credential, retry_total=1, connection_timeout=3) as client:
        try:
            client.create_container()
        except ResourceExistsError:
            return
        except AzureError as error:
            raise StoreUnavailable(
                f"The container {options['endpoint']}/{container} could not be made: {_reason(error)}.", hint=_DOWN
            ) from error


def _reason(error: Exception) -> str:
    """What an error says, in a few words: never its address (which may carry a signature) nor its debug dump."""
    text = str(error)
    status = re.search(r"status code: (\d{3} [\w ]+)", text)
    azure = re.search(r"<Code>(\w+)</Code>", text) or re.search(r"ErrorCode:(\w+)", text)
    if status or azure:
        return " ".join(found[1].strip() for found in (status, azure) if found)
    if "kind: Connect" in text or "refused" in text:
        return "no connection"
    if "kind: Timeout" in text or "timed out" in text:
        return "no answer in time"
    return re.sub(r"https?://\S+", "…", text.split("\n", 1)[0]).strip().rstrip(".:")[:200]
