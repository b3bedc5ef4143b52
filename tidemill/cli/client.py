"""The app's HTTP API as Python calls: structs in, structs out, every failure one of our errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from tidemill.api.catalog_payloads import (
    BranchList,
    BranchView,
    CatalogMoved,
    DiffView,
    History,
    MergeRequest,
    NewBranch,
    RollbackRequest,
    WhyNotView,
    WhyView,
)
from tidemill.api.payloads import (
    AssetList,
    AssetView,
    Cancellation,
    GraphView,
    NewRun,
    PartitionList,
    Rows,
    RunList,
    RunStarted,
    RunView,
)
from tidemill.api.problem import MEDIA_TYPE, Problem
from tidemill.cli.errors import AccessDenied, AppProblem, AppUnreachable, NotTidemill
from tidemill.lineage.values import ColumnLineage, Lineage, RunEvents

StructT = TypeVar("StructT", bound=msgspec.Struct)

_SECONDS = 60.0
_CONNECT_SECONDS = 5.0


class AppClient:
    """Speaks to one app.

    Every method may raise `AppUnreachable` (nothing answers), `NotTidemill` (something else does) and `AppProblem` (it refuses, and says why).
    """

    def __init__(self, url: str, *, key: str = "", transport: httpx.BaseTransport | None = None) -> None:
        """Opens no connection yet.

        Args:
            url: the app's address.
            key: a function key of the app; empty for a host that asks for none.
            transport: instead of the network.
        """
        self.url = url
        # A proxy in the environment is for the outside world, not for an app on this machine.
        outside = (urlsplit(url).hostname or "") not in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(
            base_url=url,
            headers={"x-functions-key": key} if key else {},
            transport=transport,
            timeout=httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS),
            trust_env=outside and transport is None,
        )

    def start_run(self, wanted: NewRun) -> RunStarted:
        """Starts a run. With an idempotency key it may be sent again after `AppUnreachable`."""
        return self._call("POST", "/runs", RunStarted, body=wanted)

    def run(self, run: str) -> RunView:
        """One run."""
        return self._call("GET", f"/runs/{_segment(run)}", RunView)

    def runs(self, limit: int = 20, cursor: str = "") -> RunList:
        """The newest runs."""
        return self._call("GET", "/runs", RunList, query={"limit": str(limit), "cursor": cursor})

    def cancel(self, run: str, why: Cancellation) -> RunStarted:
        """Cancels a run."""
        return self._call("POST", f"/runs/{_segment(run)}/cancel", RunStarted, body=why)

    def assets(self, *, as_of: str = "", branch: str = "") -> AssetList:
        """Every asset."""
        return self._call("GET", "/assets", AssetList, query={"as_of": as_of, "branch": branch})

    def asset(self, key: str, *, as_of: str = "", branch: str = "") -> AssetView:
        """One asset."""
        return self._call("GET", f"/assets/{_segment(key)}", AssetView, query={"as_of": as_of, "branch": branch})

    def partitions(self, key: str, limit: int = 500, cursor: str = "", *, as_of: str = "", branch: str = "") -> PartitionList:
        """Partitions of an asset."""
        query = {"limit": str(limit), "cursor": cursor, "as_of": as_of, "branch": branch}
        return self._call("GET", f"/assets/{_segment(key)}/partitions", PartitionList, query=query)

    def rows(self, key: str, *, partition: str = "", columns: str = "", limit: int = 20, as_of: str = "", branch: str = "") -> Rows:
        """Rows of an asset."""
        query = {"partition": partition, "columns": columns, "limit": str(limit), "format": "json", "as_of": as_of, "branch": branch}
        return self._call("GET", f"/assets/{_segment(key)}/data", Rows, query=query)

    def why(self, key: str, *, partition: str = "", as_of: str = "", branch: str = "", limit: int = 200) -> WhyView:
        """What a unit was made from."""
        query = {"partition": partition, "as_of": as_of, "branch": branch, "limit": str(limit)}
        return self._call("GET", f"/assets/{_segment(key)}/why", WhyView, query=query)

    def why_not(self, key: str, *, partition: str = "", as_of: str = "", branch: str = "") -> WhyNotView:
        """Why the next plan would or would not run a unit."""
        query = {"partition": partition, "as_of": as_of, "branch": branch}
        return self._call("GET", f"/assets/{_segment(key)}/why-not", WhyNotView, query=query)

    def history(self, limit: int = 50, *, branch: str = "", cursor: str = "") -> History:
        """The latest entries of a branch's log."""
        return self._call("GET", "/history", History, query={"limit": str(limit), "branch": branch, "cursor": cursor})

    def diff(self, before: str, after: str = "", *, branch: str = "", limit: int = 1000) -> DiffView:
        """What differs between two places of a branch's log."""
        query = {"before": before, "after": after, "branch": branch, "limit": str(limit)}
        return self._call("GET", "/diff", DiffView, query=query)

    def rollback(self, wanted: RollbackRequest) -> CatalogMoved:
        """Goes back. May be sent again after `AppUnreachable`."""
        return self._call("POST", "/rollback", CatalogMoved, body=wanted)

    def branches(self) -> BranchList:
        """Every branch."""
        return self._call("GET", "/branches", BranchList)

    def create_branch(self, wanted: NewBranch) -> BranchView:
        """Makes a branch."""
        return self._call("POST", "/branches", BranchView, body=wanted)

    def diff_branch(self, name: str, *, against: str = "", limit: int = 1000) -> DiffView:
        """What differs between another branch and this one."""
        return self._call("GET", f"/branches/{_segment(name)}/diff", DiffView, query={"against": against, "limit": str(limit)})

    def merge_branch(self, name: str, wanted: MergeRequest) -> CatalogMoved:
        """Merges a branch into another. May be sent again after `AppUnreachable`."""
        return self._call("POST", f"/branches/{_segment(name)}/merge", CatalogMoved, body=wanted)

    def delete_branch(self, name: str, *, author: str = "", reason: str = "") -> CatalogMoved:
        """Ends a branch."""
        return self._call("DELETE", f"/branches/{_segment(name)}", CatalogMoved, query={"author": author, "reason": reason})

    def graph(self) -> GraphView:
        """Which asset reads which."""
        return self._call("GET", "/graph", GraphView, query={"format": "json"})

    def lineage(self, asset: str, *, partition: str, direction: str, depth: int | None, as_of: str) -> Lineage:
        """Which versions were made from which; `depth` None goes to the end."""
        query = {"asset": asset, "partition": partition, "direction": direction, "as_of": as_of}
        return self._call("GET", "/lineage", Lineage, query=query | ({} if depth is None else {"depth": str(depth)}))

    def column_lineage(self, asset: str, *, as_of: str) -> ColumnLineage:
        """Where the columns of an asset come from."""
        return self._call("GET", f"/assets/{_segment(asset)}/columns", ColumnLineage, query={"as_of": as_of})

    def run_events(self, run: str, *, namespace: str, cursor: str = "") -> RunEvents:
        """One page of a run as OpenLineage events."""
        return self._call("GET", f"/runs/{_segment(run)}/events", RunEvents, query={"namespace": namespace, "cursor": cursor})

    def close(self) -> None:
        """Lets the connections go."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _call(
        self, method: str, path: str, kind: type[StructT], *, query: Mapping[str, str] | None = None, body: msgspec.Struct | None = None
    ) -> StructT:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if content else {})
        try:
            reply = self._http.request(
                method,
                f"/api{path}",
                params={name: value for name, value in (query or {}).items() if value},
                content=content,
                headers=headers,
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise AppUnreachable(self.url, f"that is no address: {error}") from None
        except httpx.TransportError as error:
            raise AppUnreachable(self.url, _reason(error)) from None
        if reply.status_code >= 400:
            raise self._refusal(reply)
        try:
            return msgspec.json.decode(reply.content, type=kind)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise NotTidemill(self.url, f"{method} /api{path} gave something unexpected ({error})") from None

    def _refusal(self, reply: httpx.Response) -> AppProblem | NotTidemill | AppUnreachable | AccessDenied:
        if reply.headers.get("content-type", "").split(";")[0] == MEDIA_TYPE:
            try:
                return AppProblem(msgspec.json.decode(reply.content, type=Problem))
            except (msgspec.ValidationError, msgspec.DecodeError):
                pass
        if reply.status_code in (401, 403):
            return AccessDenied(self.url, reply.status_code)
        # An empty 500 is the Functions host's answer to a call whose worker died under it; the next one has a new worker.
        if reply.status_code in (502, 503, 504) or (reply.status_code == 500 and not reply.content):
            return AppUnreachable(self.url, f"HTTP {reply.status_code}")
        return NotTidemill(self.url, f"it answers HTTP {reply.status_code} without a reason")


def _segment(text: str) -> str:
    return quote(text, safe="") or "-"


def _reason(error: httpx.TransportError) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "connecting takes too long"
        case httpx.TimeoutException():
            return f"no answer within {_SECONDS:.0f} s"
        case httpx.ConnectError():
            return "connection refused" if "refused" in str(error).lower() else str(error) or "cannot connect"
        case _:
            return str(error) or type(error).__name__
