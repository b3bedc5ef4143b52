"""The README's picture of the asset graph: what `GET /api/graph?format=mermaid` answers for the pipelines of this checkout."""

from __future__ import annotations

import re

from tidemill.api.drawing import to_mermaid
from tidemill.api.graph import describe_graph
from tidemill.definitions.collect import load_definitions
from tidemill.graph.asset_graph import AssetGraph
from tools.bootstrap import ROOT

_PICTURE = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)


def readme() -> str:
    """The README with a current picture; everything else stays as it is written."""
    picture = to_mermaid(describe_graph(AssetGraph(load_definitions(ROOT))))
    return _PICTURE.sub(lambda _: picture, (ROOT / "README.md").read_text(encoding="utf-8"), count=1)
