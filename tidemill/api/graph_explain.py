"""The asset graph as indented text, as a database explains a query: what is read by nobody first, below it what that is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidemill.api.wording import mapping_in_words
from tidemill.definitions.assets import AssetDefinition, InputDefinition
from tidemill.graph.asset_graph import AssetGraph
from tidemill.model.keys import AssetKey

_HASH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What an asset holds."""

    units: int
    """Partitions that hold something."""
    of_units: int
    """Partitions that there are; 1 if it is not partitioned."""
    partition: str
    """The last one that holds something."""
    data_version: str
    """Its version; empty if none does."""
    row_count: int | None
    """Its rows; None for an observation."""


def explain(graph: AssetGraph, held: Mapping[AssetKey, Held]) -> str:
    """The whole graph, each asset unfolded where it is met first.

    Args:
        graph: the graph.
        held: what each asset holds.
    """
    shown: set[AssetKey] = set()
    lines: list[str] = []
    for key in reversed(graph.order):
        if not graph.children[key]:
            lines += _unfolded(graph, held, key, shown)
    return "\n".join(lines) + "\n" if lines else ""


def _unfolded(graph: AssetGraph, held: Mapping[AssetKey, Held], start: AssetKey, shown: set[AssetKey]) -> Iterator[str]:
    # A stack in place of recursion: a chain of assets may be longer than Python's stack.
    stack: list[tuple[AssetKey, InputDefinition | None, int]] = [(start, None, 0)]
    while stack:
        key, read, depth = stack.pop()
        definition = graph.assets[key]
        indent = "   " * depth
        arrow = "-> " if depth else ""
        how = f" as {read.name}, {mapping_in_words(read.mapping)}" if read else ""
        if key in shown:
            yield f"{indent}{arrow}{key}{how}  (see above)"
            continue
        shown.add(key)
        yield f"{indent}{arrow}{key}{how}"
        yield f"{indent}{'   ' if depth else '  '}{_facts(definition, held[key])}"
        stack += [(each.asset, each, depth + 1) for each in reversed(list(definition.inputs.values()))]


def _facts(definition: AssetDefinition, held: Held) -> str:
    kind = {"asset": "Python", "sql": "SQL", "external": "external"}[definition.kind.value]
    parts = [kind, f"group {definition.group}"]
    if definition.partitions:
        parts.append(definition.partitions.rule())
    if definition.kind.value != "external":
        parts.append(f"code {definition.code_version[:_HASH]}")
    if not held.data_version:
        parts.append("never made")
        return ", ".join(parts)
    if definition.partitions:
        parts.append(f"{held.units} of {held.of_units} partitions")
    version = held.data_version[:_HASH] if len(held.data_version) == 64 else held.data_version
    rows = "" if held.row_count is None else f", {held.row_count:,} rows"
    at = f" of {held.partition}" if held.partition else ""
    return f"{', '.join(parts)}; last version{at} {version}{rows}"
