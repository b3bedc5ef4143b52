"""The specification's own JSON schemas, without a network: every event and every facet is held to the schema that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]  # it ships none
from referencing import Registry, Resource

FOLDER = Path(__file__).parents[2] / "data" / "openlineage"


def _uuid(text: object) -> bool:
    return str(UUID(str(text))) == text


def _instant(text: object) -> bool:
    return datetime.fromisoformat(str(text)).tzinfo is not None


def _uri(text: object) -> bool:
    return bool(urlsplit(str(text)).scheme) and re.search(r"\s", str(text)) is None


_formats = FormatChecker(formats=())
for _name, _check in (("uuid", _uuid), ("date-time", _instant), ("uri", _uri)):
    _formats.checks(_name, raises=ValueError)(_check)


@cache
def _registry() -> Registry[Any]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.rglob("*.json"))]
    return Registry[Any]().with_resources([(each["$id"], Resource.from_contents(each)) for each in found])


@cache
def _validator(url: str) -> Any:
    return Draft202012Validator({"$ref": url}, registry=_registry(), format_checker=_formats)


def faults(event: dict[str, Any]) -> list[str]:
    """Everything in which an event, or one of its facets, is not what the schema that it names says."""
    found = [f"event: {error.json_path} {error.message}" for error in _validator(event["schemaURL"]).iter_errors(event)]
    for name, facet in facets(event):
        found += [f"{name}: {error.json_path} {error.message}" for error in _validator(facet["_schemaURL"]).iter_errors(facet)]
    return found


def facets(event: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every facet of an event by name."""
    holders = [event["run"]["facets"], event["job"]["facets"]]
    for dataset in event["inputs"] + event["outputs"]:
        holders += [dataset["facets"], dataset.get("inputFacets", {}), dataset.get("outputFacets", {})]
    for holder in holders:
        yield from holder.items()
