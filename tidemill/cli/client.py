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
from tidemill.api.lineage_payloads import MeasureRequest
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
from tidemill.api.plan_payloads import NewPlan, PlanView, Supposition, WhatIfView
from tidemill.api.problem import MEDIA_TYPE, Problem
from tidemill.cli.errors import AccessDenied, AppProblem, AppUnreachable, NotTidemill
from tidemill.lineage.values import ColumnLineage, ColumnTrace, Lineage, RunEvents

StructT = TypeVar("StructT", bound=msgspec.Struct)

_SECONDS = 60.0
_CONNECT_SECONDS = 5.0
_LONG_SECONDS = 240.0


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

    def make_plan(self, wanted: NewPlan) -> PlanView:
        """Makes a plan and puts it on record."""
        return self._call("POST", "/plans", PlanView, body=wanted)

    def plan(self, plan: str, *, cursor: str = "") -> PlanView:
        """A plan on record."""
        return self._call("GET", f"/plans/{_segment(plan)}", PlanView, query={"cursor": cursor, "limit": "10000"})

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

    def what_if(self, supposed: Supposition) -> WhatIfView:
        """What would come of a change."""
        return self._call("POST", "/what-if", WhatIfView, body=supposed)

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

    def graph_as(self, format_name: str, *, units: bool = False, as_of: str = "", branch: str = "") -> bytes:
        """The graph in another format, as it comes."""
        query = {"format": format_name, "units": "true" if units else "", "as_of": as_of, "branch": branch}
        return self._ask("GET", "/graph", query=query, accept="*/*").content

    def lineage(self, asset: str, *, partition: str, direction: str, depth: int | None, as_of: str, branch: str = "") -> Lineage:
        """Which versions were made from which; `depth` None goes to the end."""
        query = {"asset": asset, "partition": partition, "direction": direction, "as_of": as_of, "branch": branch}
        return self._call("GET", "/lineage", Lineage, query=query | ({} if depth is None else {"depth": str(depth)}))

    def column_lineage(self, asset: str, *, as_of: str = "", branch: str = "") -> ColumnLineage:
        """Where the columns of an asset come from."""
        return self._call("GET", f"/assets/{_segment(asset)}/columns", ColumnLineage, query={"as_of": as_of, "branch": branch})

    def column_trace(self, asset: str, *, column: str, direction: str, depth: int | None, as_of: str = "", branch: str = "") -> ColumnTrace:
        """Where a column comes from or what it bears on, across assets; `depth` None goes to the end."""
        query = {"asset": asset, "column": column, "direction": direction, "as_of": as_of, "branch": branch}
        return self._call("GET", "/lineage/columns", ColumnTrace, query=query | ({} if depth is None else {"depth": str(depth)}))

    def measure_columns(self, asset: str, *, partition: str = "", rows: int = 1000, branch: str = "") -> ColumnLineage:
        """Runs the asset's code on a sample, and tells where its columns come from; may take minutes. May be sent again."""
        wanted = MeasureRequest(partition=partition, rows=rows, branch=branch)
        return self._call("POST", f"/assets/{_segment(asset)}/columns/measure", ColumnLineage, body=wanted, seconds=_LONG_SECONDS)

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
        self,
        method: str,
        path: str,
        kind: type[StructT],
        *,
        query: Mapping[str, str] | None = None,
        body: msgspec.Struct | None = None,
        seconds: float = _SECONDS,
    ) -> StructT:
        reply = self._ask(method, path, query=query, body=body, seconds=seconds)
        try:
            return msgspec.json.decode(reply.content, type=kind)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise NotTidemill(self.url, f"{method} /api{path} gave something unexpected ({error})") from None

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        body: msgspec.Struct | None = None,
        accept: str = "application/json",
        seconds: float = _SECONDS,
    ) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Accept": accept} | ({"Content-Type": "application/json"} if content else {})
        try:
            reply = self._http.request(
                method,
                f"/api{path}",
                params={name: value for name, value in (query or {}).items() if value},
                content=content,
                headers=headers,
                timeout=httpx.Timeout(seconds, connect=_CONNECT_SECONDS),
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise AppUnreachable(self.url, f"that is no address: {error}") from None
        except httpx.TransportError as error:
            raise AppUnreachable(self.url, _reason(error, seconds)) from None
        if reply.status_code >= 400:
            raise self._refusal(reply)
        return reply

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


def _reason(error: httpx.TransportError, seconds: float) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "connecting takes too long"
        case httpx.TimeoutException():
            return f"no answer within {seconds:.0f} s"
        case httpx.ConnectError():
            return "connection refused" if "refused" in str(error).lower() else str(error) or "cannot connect"
        case _:
            return str(error) or type(error).__name__
