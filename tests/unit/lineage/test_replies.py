from __future__ import annotations

from typing import Any

import pytest

from tests.docs.test_reference import _fits
from tests.unit.api.world import json_of
from tests.unit.lineage.world import Shop
from tools.reference.openapi import document


@pytest.mark.parametrize(
    ("path", "template", "query"),
    [
        ("/lineage", "/lineage", {"asset": "gold.total"}),
        ("/lineage", "/lineage", {"asset": "raw.orders", "direction": "downstream"}),
        ("/assets/gold.total/columns", "/assets/{asset}/columns", {}),
        ("/assets/silver.per_shop/columns", "/assets/{asset}/columns", {}),
        ("/runs/20260102t030405-00000001/events", "/runs/{run_id}/events", {}),
        ("/lineage", "/lineage", {"asset": "nobody"}),
    ],
)
def test_replies_are_what_the_document_says(path: str, template: str, query: dict[str, str]) -> None:
    shop = Shop()
    shop.run("+gold.total")
    reply = shop.get(path, **query)
    api: dict[str, Any] = document()
    responses = api["paths"][f"/api{template}"]["get"]["responses"]
    content = responses.get(str(reply.status), responses["default"])["content"]
    assert _fits(json_of(reply), content[reply.media_type]["schema"], api["components"]["schemas"])
