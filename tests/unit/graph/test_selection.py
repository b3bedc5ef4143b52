from __future__ import annotations

from typing import Any

import pytest

from tidemill import AssetSpec, Definitions, asset
from tidemill.definitions.resolve import Declared, resolve
from tidemill.errors import InvalidSelection, UnknownAsset
from tidemill.graph.asset_graph import AssetGraph
from tidemill.graph.selection import Both, Either, InGroup, Matching, OwnedBy, Reaching, Tagged, Without, parse_selection


def declared(key: str, *reads: str, **options: Any) -> AssetSpec[..., Any]:
    def load() -> None: ...

    names = [f"a{index}" for index, _ in enumerate(reads)]
    scope: dict[str, Any] = {}
    exec(f"def load({', '.join(names)}): ...", scope)
    return asset(key=key, inputs=dict(zip(names, reads, strict=True)), code_version="1", **options)(scope["load"] if reads else load)


@pytest.fixture(scope="module")
def graph() -> AssetGraph:
    flights = [
        declared("raw.flights", owners=["Jane Doe", "ops@example.org"]),
        declared("bronze.flights", "raw.flights", tags={"layer": "bronze", "pii": "yes"}),
        declared("silver.flights", "bronze.flights", "raw.planes", tags={"layer": "silver"}),
        declared("gold.month", "silver.flights", group="reports", tags={"layer": "gold"}),
        declared("gold.day", "silver.flights", tags={"layer": "gold", "a=b": "c d"}),
    ]
    planes = [declared("raw.planes", owners=["ops@example.org"])]
    found = [Declared(each, "flights", "f.py:1") for each in flights] + [Declared(each, "planes", "p.py:1") for each in planes]
    assets, problems = resolve(found)
    assert problems == []
    return AssetGraph(Definitions.resolved(assets))


EVERYTHING = "bronze.flights gold.day gold.month raw.flights raw.planes silver.flights"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", EVERYTHING),
        ("  *\n", EVERYTHING),
        ("gold.month", "gold.month"),
        ("flights/gold.month", "gold.month"),
        ("gold.*", "gold.day gold.month"),
        ("*.flights", "bronze.flights raw.flights silver.flights"),
        ("flights/*", "bronze.flights gold.day gold.month raw.flights silver.flights"),
        ("planes/*", "raw.planes"),
        ("flights/raw.*", "raw.flights"),
        ("+gold.month", "bronze.flights gold.month raw.flights raw.planes silver.flights"),
        ("1+gold.month", "gold.month silver.flights"),
        ("2+gold.month", "bronze.flights gold.month raw.planes silver.flights"),
        ("raw.planes+", "gold.day gold.month raw.planes silver.flights"),
        ("raw.planes+1", "raw.planes silver.flights"),
        ("1+silver.flights+1", "bronze.flights gold.day gold.month raw.planes silver.flights"),
        ("+silver.flights+", EVERYTHING),
        ("1 + silver.flights + 1", "bronze.flights gold.day gold.month raw.planes silver.flights"),
        ("(gold.day or raw.planes)+", "gold.day gold.month raw.planes silver.flights"),
        ("group:reports", "gold.month"),
        ("group:gold", "gold.day"),
        ("tag:layer=gold", "gold.day gold.month"),
        ("tag:layer", "bronze.flights gold.day gold.month silver.flights"),
        ("tag:pii=yes", "bronze.flights"),
        ('tag:"a=b"="c d"', "gold.day"),
        ("owner:ops@example.org", "raw.flights raw.planes"),
        ('owner:"Jane Doe"', "raw.flights"),
        ("gold.day, raw.planes", "gold.day raw.planes"),
        ("gold.day or raw.planes", "gold.day raw.planes"),
        ("gold.* and not gold.day", "gold.month"),
        ("not not gold.day", "gold.day"),
        ("not gold.* and not raw.*", "bronze.flights silver.flights"),
        ("gold.day or gold.month and raw.planes", "gold.day"),
        ("(gold.day or gold.month) and gold.month", "gold.month"),
        ("gold.day and raw.planes", ""),
        ("+gold.month and not +raw.planes", "bronze.flights gold.month raw.flights silver.flights"),
    ],
)
def test_a_selection_means_these_assets(graph: AssetGraph, text: str, expected: str) -> None:
    assert " ".join(sorted(parse_selection(text).resolve(graph))) == expected


def test_a_selection_is_a_value() -> None:
    assert parse_selection("2+flights/gold.* and not (tag:a=b, owner:x)+") == Both(
        (
            Reaching(Matching("gold.*", "flights"), up=2, down=0),
            Without(Reaching(Either((Tagged("a", "b"), OwnedBy("x"))), up=0, down=None)),
        )
    )
    assert parse_selection("group:a") == InGroup("a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The selection is empty. Write `*` for all assets, or a key such as `gold.daily_orders`."),
        ("  ", "The selection is empty. Write `*` for all assets, or a key such as `gold.daily_orders`."),
        ("gold.day raw.planes", "Selection `gold.day raw.planes` cannot be read at character 10, `raw.planes`. Put `and`, `or` or `,` between two parts."),
        ("gold.day and", "Selection `gold.day and` ends too early. An asset, a pattern, `group:`, `tag:` or `owner:` is expected here."),
        ("+", "Selection `+` ends too early. An asset, a pattern, `group:`, `tag:` or `owner:` is expected here."),
        ("and x", "Selection `and x` cannot be read at character 1, `and`. An asset, a pattern, `group:`, `tag:` or `owner:` is expected here."),
        ("(a or b", "Selection `(a or b` ends too early. A `)` is missing."),
        ("a)", "Selection `a)` cannot be read at character 2, `)`. There is no `(` for it."),
        ("a + + b", "Selection `a + + b` cannot be read at character 5, `+`. Put `and`, `or` or `,` between two parts."),
        ("a;b", 'Selection `a;b` cannot be read at character 2, `;`. Put text with such characters in double quotes, as in `owner:"Jane Doe"`.'),
        ('owner:"Jane', 'Selection `owner:"Jane` cannot be read at character 7, `"`. A closing `"` is missing.'),
        ("owner:", "Selection `owner:` cannot be read at character 1, `owner:`. Write what to look for after `owner:`."),
        ("kind:sql", "Selection `kind:sql` cannot be read at character 1, `kind:sql`. `kind:` is not known; use `group:`, `tag:` or `owner:`."),
        ("a/b/c", "Selection `a/b/c` cannot be read at character 1, `a/b/c`. Write an asset as `gold.daily_orders` or `pipeline/gold.daily_orders`; `*` stands for any characters."),
        ("a=b", "Selection `a=b` cannot be read at character 1, `a=b`. Write an asset as `gold.daily_orders` or `pipeline/gold.daily_orders`; `*` stands for any characters."),
        ("0+a", "Selection `0+a` cannot be read at character 1, `0`. A number of steps lies between 1 and 9999."),
        ("99999+a", "Selection `99999+a` cannot be read at character 1, `99999`. A number of steps lies between 1 and 9999."),
        ("a" * 10_001, "The selection is 10001 characters long. The limit is 10000; use patterns, groups or tags."),
        ("not " * 51 + "a", "Selection `" + "not " * 51 + "a` cannot be read at character 205, `a`. It is nested more than 50 deep."),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_pointed_at(text: str, message: str) -> None:
    with pytest.raises(InvalidSelection) as caught:
        parse_selection(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("gold.moth", UnknownAsset, "Asset `gold.moth` is not defined. Did you mean `gold.month`?"),
        ("planes/gold.month", UnknownAsset, "Asset `planes/gold.month` is not defined. Known: `planes/raw.planes`."),
        ("flihgts/*", InvalidSelection, "There is no pipeline `flihgts`. Did you mean `flights`?"),
        ("platinum.*", InvalidSelection, "`platinum.*` matches no asset. There are 6 assets, among them `bronze.flights`, `gold.day`, `gold.month`."),
        ("group:golden", InvalidSelection, "There is no group `golden`. Did you mean `gold`?"),
        ("tag:layer=golden", InvalidSelection, "No asset has the tag `layer=golden`. Did you mean `layer=gold`?"),
        ("owner:nobody", InvalidSelection, "No asset is owned by `nobody`. Known: `Jane Doe`, `ops@example.org`."),
        ("gold.day or not gold.moth", UnknownAsset, "Asset `gold.moth` is not defined. Did you mean `gold.month`?"),
    ],
)  # fmt: skip
def test_a_part_that_means_nothing_is_an_error_and_not_an_empty_answer(
    graph: AssetGraph, text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        parse_selection(text).resolve(graph)
    assert str(caught.value) == message


def test_everything_of_nothing_is_nothing() -> None:
    assert parse_selection("*").resolve(AssetGraph(Definitions([]))) == frozenset()
