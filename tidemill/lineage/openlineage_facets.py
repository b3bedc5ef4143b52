"""Facets: the parts of OpenLineage events that say more of a run, a job or a dataset. Each names the released schema that it follows.

See https://github.com/OpenLineage/OpenLineage/tree/1.52.0/spec/facets. The tests hold every facet to that schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tidemill.definitions.assets import AssetDefinition
from tidemill.lineage.values import ColumnLineage
from tidemill.model.columns import ColumnUse
from tidemill.model.facts import Column, Materialization, Record
from tidemill.model.outcomes import ErrorInfo, Failed, Succeeded, UnitOutcome
from tidemill.version import VERSION

PRODUCER = f"urn:tidemill:{VERSION}"
SPEC = "https://openlineage.io/spec"

Facet = dict[str, Any]

_OWN_RUN_FACET = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunFacet"
_OWN_DATASET_FACET = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/DatasetFacet"


def parent(run: Mapping[str, Any], job: Mapping[str, Any]) -> Facet:
    """The run that a unit belongs to; it is the root as well."""
    bare_run = {"runId": run["runId"]}
    bare_job = {"namespace": job["namespace"], "name": job["name"]}
    return _facet("ParentRunFacet", "1-2-0", run=bare_run, job=bare_job, root={"run": bare_run, "job": bare_job})


def error_message(error: ErrorInfo) -> Facet:
    """Why a run or a unit failed."""
    stack = {"stackTrace": error.stack} if error.stack else {}
    return _facet("ErrorMessageRunFacet", "1-0-1", message=error.message, programmingLanguage="python", **stack)


def unit(outcome: UnitOutcome, *, run: str, asset: str, partition: str) -> Facet:
    """Our own: which unit of which run, and how it went."""
    own: Facet = {"_producer": PRODUCER, "_schemaURL": _OWN_RUN_FACET, "run": run, "asset": asset, "partition": partition}
    match outcome:
        case Succeeded():
            return own | {
                "attempts": outcome.attempts,
                "found": outcome.found,
                "seconds": outcome.seconds,
                "fingerprint": outcome.entry.fingerprint,
            }
        case Failed():
            return own | {"attempts": outcome.attempts, "found": False}
        case _:
            return own


def job_type(kind: str) -> Facet:
    """What kind of job: `RUN`, or `ASSET` for one of its units."""
    return _facet("JobTypeJobFacet", "2-0-4", processingType="BATCH", integration="TIDEMILL", jobType=kind)


def job(code_version: str, definition: AssetDefinition | None) -> dict[str, Facet]:
    """What is known of the code of an asset.

    Args:
        code_version: the code that ran.
        definition: the asset as deployed, if that is the same code; else None.
    """
    found = {"jobType": job_type("ASSET")}
    if code_version:
        path = {"path": definition.place} if definition else {}
        url = f"urn:tidemill:code:{code_version}"
        found["sourceCodeLocation"] = _facet("SourceCodeLocationJobFacet", "1-1-0", type="tidemill", url=url, version=code_version, **path)
    if definition is not None and definition.sql is not None:
        found["sql"] = _facet("SQLJobFacet", "1-1-0", query=definition.sql.text, dialect="duckdb")
    return found


def dataset(records: Sequence[Record]) -> dict[str, Facet]:
    """Which versions of which partitions, and the columns of the last of them."""
    versions = [{"partition": each.partition, "dataVersion": each.data_version} for each in records]
    found: dict[str, Facet] = {"tidemill_versions": {"_producer": PRODUCER, "_schemaURL": _OWN_DATASET_FACET, "versions": versions}}
    if len(versions) == 1:
        found["version"] = _facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=versions[0]["dataVersion"])
    last = records[-1]
    if isinstance(last, Materialization):
        fields = [{"name": each.name, "type": each.type, "fields": []} for each in last.columns]
        found["schema"] = _facet("SchemaDatasetFacet", "1-2-0", fields=fields)
    return found


def read(records: Sequence[Record]) -> dict[str, Facet]:
    """How much was read, and what is known of its values. Nothing, of an external asset: no rows of it are kept."""
    made = [each for each in records if isinstance(each, Materialization)]
    if not made or len(made) < len(records):
        return {}
    found = {
        "inputStatistics": _facet("InputStatisticsInputDatasetFacet", "1-0-0", **_amount(made)),
        "dataQualityMetrics": _facet("DataQualityMetricsInputDatasetFacet", "1-0-3", **_metrics(made)),
    }
    assertions = _assertions(made)
    if assertions:
        found["dataQualityAssertions"] = _facet("DataQualityAssertionsDatasetFacet", "1-1-0", assertions=assertions)
    return found


def written(record: Materialization) -> Facet:
    """How much was written."""
    return _facet("OutputStatisticsOutputDatasetFacet", "1-0-2", **_amount([record]))


def quality(record: Materialization) -> Facet:
    """What is known of the values that were written."""
    return _facet("DataQualityMetricsDatasetFacet", "1-0-0", **_metrics([record]))


def columns(lineage: ColumnLineage, namespace: str) -> Facet:
    """Where the columns come from."""

    def sources(column: str) -> list[dict[str, Any]]:
        uses: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for edge in lineage.edges:
            if edge.column == column:
                uses.setdefault((edge.source_asset, edge.source_column), []).append(_transformation(edge.use, edge.known))
        return [{"namespace": namespace, "name": asset, "field": name, "transformations": each} for (asset, name), each in uses.items()]

    fields = {column: {"inputFields": found} for column in lineage.columns if (found := sources(column))}
    return _facet("ColumnLineageDatasetFacet", "1-2-0", fields=fields, dataset=sources(""))


def _transformation(use: ColumnUse, known: str) -> dict[str, Any]:
    kind = "DIRECT" if use.is_direct else "INDIRECT"
    return {"type": kind, "subtype": use.value.upper(), "description": "" if known == "parsed" else known, "masking": False}


def _amount(records: Sequence[Materialization]) -> dict[str, int]:
    return {
        "rowCount": sum(each.row_count for each in records),
        "size": sum(each.size_bytes for each in records),
        "fileCount": sum(len(each.files) for each in records),
    }


def _metrics(records: Sequence[Materialization]) -> dict[str, Any]:
    amount = _amount(records)
    by_name: dict[str, list[tuple[Column, int]]] = {}
    for record in records:
        for column in record.columns:
            by_name.setdefault(column.name, []).append((column, record.row_count))
    # Of a column that some partitions lack, nothing is said: the figures would be about fewer rows than the others.
    whole = {name: found for name, found in by_name.items() if len(found) == len(records)}
    return {
        "rowCount": amount["rowCount"],
        "bytes": amount["size"],
        "fileCount": amount["fileCount"],
        "columnMetrics": {name: _column_metrics(found, amount["rowCount"]) for name, found in whole.items()},
    }


def _column_metrics(found: Sequence[tuple[Column, int]], rows: int) -> dict[str, Any]:
    nulls = sum(column.null_count for column, _ in found)
    metrics: dict[str, Any] = {"nullCount": nulls, "count": rows - nulls}
    filled = [column for column, count in found if column.null_count < count]
    # The specification has numbers here and nothing else: bounds of texts and instants stay in our own record.
    if filled and all(_is_number(column.minimum) and _is_number(column.maximum) for column in filled):
        metrics |= {"min": min(column.minimum for column in filled), "max": max(column.maximum for column in filled)}  # type: ignore[type-var]
    return metrics


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _assertions(records: Sequence[Materialization]) -> list[dict[str, Any]]:
    """Columns that are declared to hold no nulls, and whether they do."""
    nulls: dict[str, int] = {}
    for record in records:
        for column in record.columns:
            if not column.nullable:
                nulls[column.name] = nulls.get(column.name, 0) + column.null_count
    return [
        {"assertion": "not_null", "success": count == 0, "column": name, "severity": "error", "expected": "0", "actual": str(count)}
        for name, count in nulls.items()
    ]


def _facet(name: str, release: str, /, **fields: Any) -> Facet:
    """A facet of the specification."""
    return {"_producer": PRODUCER, "_schemaURL": f"{SPEC}/facets/{release}/{name}.json#/$defs/{name}", **fields}
