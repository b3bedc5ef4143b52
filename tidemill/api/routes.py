"""Every route of the API: what is not in this table is not served."""

from __future__ import annotations

from typing import Any

from tidemill.api.assets import PartitionsQuery, get_asset, list_assets, list_partitions
from tidemill.api.data import ARROW, DataQuery, get_data
from tidemill.api.graph import MERMAID, GraphQuery, get_graph
from tidemill.api.health import get_health
from tidemill.api.payloads import (
    AssetList,
    AssetView,
    Cancellation,
    GraphView,
    Health,
    NewRun,
    PartitionList,
    Rows,
    RunList,
    RunStarted,
    RunView,
)
from tidemill.api.route import Nothing, Reply, Role, Route
from tidemill.api.run_reports import RunsQuery, get_run, list_runs
from tidemill.api.runs import cancel_run, start_run
from tidemill.storage.formats import parquet

ROUTES: tuple[Route[Any, Any], ...] = (
    Route(
        name="start_run",
        method="POST",
        template="/runs",
        role=Role.OPERATOR,
        summary="Start a run",
        handler=start_run,
        replies=(Reply(202, "The run is on record and will be executed.", RunStarted),),
        query=Nothing,
        body=NewRun,
    ),
    Route(
        name="list_runs",
        method="GET",
        template="/runs",
        role=Role.VIEWER,
        summary="List runs, newest first",
        handler=list_runs,
        replies=(Reply(200, "One page of runs.", RunList),),
        query=RunsQuery,
        body=Nothing,
    ),
    Route(
        name="get_run",
        method="GET",
        template="/runs/{run_id}",
        role=Role.VIEWER,
        summary="Show one run",
        handler=get_run,
        replies=(Reply(200, "The run has ended.", RunView), Reply(202, "The run goes on; ask again after `Retry-After` seconds.", RunView)),
        query=Nothing,
        body=Nothing,
    ),
    Route(
        name="cancel_run",
        method="POST",
        template="/runs/{run_id}/cancel",
        role=Role.OPERATOR,
        summary="Cancel a run",
        handler=cancel_run,
        replies=(Reply(202, "Nothing of the run will be published from now on; it is winding down.", RunStarted),),
        query=Nothing,
        body=Cancellation,
    ),
    Route(
        name="list_assets",
        method="GET",
        template="/assets",
        role=Role.VIEWER,
        summary="List assets",
        handler=list_assets,
        replies=(Reply(200, "Every asset, each after those it reads.", AssetList),),
        query=Nothing,
        body=Nothing,
    ),
    Route(
        name="get_asset",
        method="GET",
        template="/assets/{asset}",
        role=Role.VIEWER,
        summary="Show one asset",
        handler=get_asset,
        replies=(Reply(200, "The asset.", AssetView),),
        query=Nothing,
        body=Nothing,
    ),
    Route(
        name="list_partitions",
        method="GET",
        template="/assets/{asset}/partitions",
        role=Role.VIEWER,
        summary="List the partitions of an asset",
        handler=list_partitions,
        replies=(Reply(200, "One page of partitions, in order.", PartitionList),),
        query=PartitionsQuery,
        body=Nothing,
    ),
    Route(
        name="get_data",
        method="GET",
        template="/assets/{asset}/data",
        role=Role.VIEWER,
        summary="Read rows of an asset",
        handler=get_data,
        replies=(Reply(200, "Rows.", Rows, (parquet.MEDIA_TYPE, ARROW)),),
        query=DataQuery,
        body=Nothing,
    ),
    Route(
        name="get_graph",
        method="GET",
        template="/graph",
        role=Role.VIEWER,
        summary="Show the asset graph",
        handler=get_graph,
        replies=(Reply(200, "The graph.", GraphView, (MERMAID,)),),
        query=GraphQuery,
        body=Nothing,
    ),
    Route(
        name="get_health",
        method="GET",
        template="/health",
        role=Role.ANYONE,
        summary="Ask whether the app can do its work",
        handler=get_health,
        replies=(Reply(200, "It can.", Health), Reply(503, "It cannot; the checks say why.", Health)),
        query=Nothing,
        body=Nothing,
    ),
)
