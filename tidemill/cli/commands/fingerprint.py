"""`tidemill fingerprint`: what of an asset counts when it is decided whether a unit has to run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.text import Text

from tidemill.cli.catalog_pictures import SHORT, table
from tidemill.cli.exits import OK
from tidemill.cli.in_process import open_runtime
from tidemill.cli.options import Json, Project
from tidemill.cli.output import open_output
from tidemill.cli.where import find_project, store_address
from tidemill.definitions.assets import AssetDefinition
from tidemill.model.facts import JsonScalar
from tidemill.model.keys import asset_key

Asset = Annotated[str, typer.Argument(metavar="ASSET", help="An asset.", show_default=False)]
Explain = Annotated[bool, typer.Option("--explain", help="Also show every part of the code version.")]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a code version is made of."""

    kind: str
    name: str
    digest: str


class ReadInput(msgspec.Struct, frozen=True, kw_only=True):
    """One input whose data versions count."""

    name: str
    asset: str
    with_partitions: bool
    """Whether the partition keys count too, since the code can see them."""


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into the fingerprints of an asset's units."""

    asset: str
    place: str
    code_version: str
    parts: tuple[Part, ...]
    parameters: dict[str, JsonScalar]
    """Their defaults; a run may give others."""
    reads_partition: bool
    """Whether the unit's own partition key counts."""
    inputs: tuple[ReadInput, ...]

    @classmethod
    def of(cls, asset: AssetDefinition) -> Fingerprint:
        """Of one asset."""
        return cls(
            asset=asset.key,
            place=asset.place,
            code_version=asset.code_version,
            parts=tuple(Part(kind=each.kind, name=each.name, digest=each.digest) for each in asset.code.parts),
            parameters=dict(asset.parameters),
            reads_partition=asset.reads_partition,
            inputs=tuple(ReadInput(name=each.name, asset=each.asset, with_partitions=each.as_mapping) for each in asset.inputs.values()),
        )


def fingerprint(asset: Asset, explain: Explain = False, project: Project = "", as_json: Json = False) -> int:
    """Show what counts when it is decided whether a unit has to run.

    Its code, its parameters, and the versions of its inputs; nothing else. Uses the definitions in this folder.
    """
    output = open_output(as_json=as_json)
    folder = find_project(Path.cwd(), project)
    found = Fingerprint.of(open_runtime(folder, store_address("", os.environ, folder)).graph.asset(asset_key(asset)))
    output.result(found, lambda: _picture(found, explain=explain))
    return OK


def _picture(found: Fingerprint, *, explain: bool) -> RenderableType:
    facts = table(("", ""))
    facts.show_header = False
    facts.add_row("code version", found.code_version[:SHORT] + ("" if explain else f", of {len(found.parts)} parts (--explain shows them)"))
    facts.add_row("parameters", ", ".join(f"{name}={value}" for name, value in found.parameters.items()) or "-")
    facts.add_row("own partition key", "counts" if found.reads_partition else "does not count")
    inputs = [f"{each.name}: {each.asset}" + (" with its partition keys" if each.with_partitions else "") for each in found.inputs]
    facts.add_row("inputs", ", ".join(inputs) or "-")
    parts: list[RenderableType] = [Text(f"{found.asset}  ({found.place})", style="bold"), facts]
    if explain:
        made = table(("kind", "name", "hash"))
        for each in found.parts:
            made.add_row(each.kind, each.name, each.digest[:SHORT] or "-")
        parts += [Text(""), made]
    return Group(*parts)
