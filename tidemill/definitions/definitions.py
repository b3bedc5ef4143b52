"""Definitions: all assets of a project, resolved and checked together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tidemill.definitions.assets import AssetDefinition, AssetSpec
from tidemill.definitions.resolve import Declared, resolve
from tidemill.errors import DefinitionError
from tidemill.model.keys import AssetKey


class Definitions:
    """Every asset by key, with its inputs known and its code versioned. Immutable; nothing in it is wrong."""

    assets: Mapping[AssetKey, AssetDefinition]
    """Sorted by key."""

    def __init__(self, assets: Iterable[AssetSpec[..., Any]]) -> None:
        """Resolves declarations that were not collected from a project's folder.

        Raises:
            DefinitionError: with everything that is wrong in any of them.
        """
        found = [Declared(spec, "", f"{Path(spec.file).name}:{spec.line}") for spec in assets]
        resolved, problems = resolve(found)
        if problems:
            raise DefinitionError(problems)
        self.assets = resolved

    @classmethod
    def resolved(cls, assets: Mapping[AssetKey, AssetDefinition]) -> Definitions:
        """Wraps assets that `resolve` found nothing wrong with."""
        definitions = cls([])
        definitions.assets = assets
        return definitions
