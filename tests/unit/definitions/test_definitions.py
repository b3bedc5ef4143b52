"""Resolving declarations: what names mean, and every message word for word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tidemill import (
    AllPartitions,
    AssetContext,
    AssetSpec,
    DailyPartitions,
    DefinitionError,
    Definitions,
    Group,
    IdentityMapping,
    Input,
    MonthlyPartitions,
    MultiPartitions,
    Output,
    RetryPolicy,
    StaticPartitions,
    TimeRollUp,
    asset,
    external_asset,
    sql_asset,
)
from tidemill.errors import DefinitionProblem
from tidemill.model.keys import AssetKey

if TYPE_CHECKING:
    import collections.abc as kinds

MONTHS = MonthlyPartitions("2013-01", "2014-01")


@external_asset(key="raw.flights", partitions=MONTHS)
def raw_flights(context: AssetContext) -> pa.Table:
    """Loads a month.

    From a file.
    """
    return pa.table({"month": [context.partition_key]})


@asset(key="bronze.flights", partitions=MONTHS, tags={"layer": "bronze", "a": "b"}, owners=["data"])
def bronze_flights(raw_flights: pa.Table) -> pa.Table:
    return raw_flights


def problems(*assets: AssetSpec[..., Any]) -> list[str]:
    """The problems without their places, which are tested on their own."""
    with pytest.raises(DefinitionError) as caught:
        Definitions(assets)
    return [str(problem) for problem in caught.value.problems]


def only(declared: AssetSpec[..., Any], *others: AssetSpec[..., Any]) -> Any:
    return Definitions([declared, *others]).assets[AssetKey(declared.key)]


def test_a_definition_knows_everything_that_was_declared() -> None:
    definition = only(bronze_flights, raw_flights)
    assert (definition.key, definition.pipeline, definition.kind, definition.group) == ("bronze.flights", "", "asset", "bronze")
    assert definition.owners == ("data",)
    assert definition.tags == {"a": "b", "layer": "bronze"}
    assert definition.retry == RetryPolicy(max_attempts=1)
    assert definition.partitions is MONTHS
    assert definition.place.startswith("test_definitions.py:")
    assert [(each.name, each.asset, each.mapping, each.as_mapping) for each in definition.inputs.values()] == [
        ("raw_flights", "raw.flights", IdentityMapping(), False)
    ]
    assert definition.takes_context is None
    assert not definition.reads_partition


def test_an_external_asset_takes_the_context_and_has_its_docstring() -> None:
    definition = only(raw_flights)
    assert definition.kind == "external"
    assert definition.takes_context == "context"
    assert definition.reads_partition
    assert definition.description == "Loads a month.\n\nFrom a file."


def test_a_declared_asset_stays_a_function() -> None:
    table = pa.table({"a": [1]})
    assert bronze_flights(table) is table
    assert only(bronze_flights, raw_flights)(raw_flights=table) is table
    assert bronze_flights.__name__ == "bronze_flights"


def test_an_asset_without_arguments_is_called_after_its_function() -> None:
    @asset
    def orders() -> pa.Table:
        return pa.table({})

    definition = only(orders)
    assert (definition.key, definition.group, definition.partitions) == ("orders", "default", None)


def test_inputs_can_be_named_by_key_by_asset_and_with_a_mapping() -> None:
    @asset(partitions=MONTHS, inputs={"a": "raw.flights", "b": bronze_flights, "c": Input(bronze_flights, AllPartitions())})
    def joined(a: pa.Table, b: pa.Table, c: pa.Table, bronze_flights: pa.Table) -> Output:
        return Output(a)

    inputs = only(joined, raw_flights, bronze_flights).inputs
    assert {name: (each.asset, each.mapping) for name, each in inputs.items()} == {
        "a": ("raw.flights", IdentityMapping()),
        "b": ("bronze.flights", IdentityMapping()),
        "c": ("bronze.flights", AllPartitions()),
        "bronze_flights": ("bronze.flights", IdentityMapping()),
    }
    assert list(inputs) == ["a", "b", "c", "bronze_flights"]


def test_a_mapping_annotation_asks_for_one_table_per_partition() -> None:
    @asset(inputs=dict.fromkeys("abcdef", bronze_flights))
    def merged(  # type: ignore[no-untyped-def] # an annotation is not needed
        a: Mapping[str, pa.Table],
        b: dict[str, pa.Table],
        c: kinds.Mapping[str, pa.Table],
        d: pa.Table,
        e,  # noqa: ANN001
        f: Any,
    ) -> pa.Table:
        return d

    inputs = only(merged, raw_flights, bronze_flights).inputs
    assert {name: each.as_mapping for name, each in inputs.items()} == {"a": True, "b": True, "c": True, "d": False, "e": False, "f": False}


def test_the_context_is_known_by_name_or_annotation() -> None:
    @asset
    def one(context) -> pa.Table:  # type: ignore[no-untyped-def] # noqa: ANN001 - the name alone is enough
        return context

    @asset
    def two(unit: AssetContext) -> pa.Table:
        return unit

    assert only(one).takes_context == "context"
    assert only(two).takes_context == "unit"


def test_a_sql_asset_reads_its_inputs_as_tables() -> None:
    report = sql_asset(
        key="gold.report", sql="SELECT * FROM flights, bronze_flights WHERE x > $least", parameters={"least": 1},
        inputs={"flights": bronze_flights, "bronze_flights": Input("bronze.flights", AllPartitions())},
    )  # fmt: skip
    listed = sql_asset(
        key="gold.listed", sql="SELECT * FROM bronze_flights JOIN raw_flights USING (m)", inputs=[bronze_flights, "raw.flights"]
    )
    definitions = Definitions([raw_flights, bronze_flights, report, listed]).assets
    assert list(definitions[AssetKey("gold.listed")].inputs) == ["bronze_flights", "raw_flights"]
    assert definitions[AssetKey("gold.report")].reads_partition
    assert not definitions[AssetKey("gold.listed")].reads_partition
    with pytest.raises(TypeError, match="is a SQL asset"):
        report()


def test_all_problems_are_reported_at_once_each_with_its_place() -> None:
    @asset(key="Gold.Report")
    def one() -> pa.Table: ...

    @asset(key="gold.two")
    def two(bronze_flihgts: pa.Table) -> pa.Table: ...

    with pytest.raises(DefinitionError) as caught:
        Definitions([raw_flights, bronze_flights, one, two])
    lines = [problem.place.removeprefix("test_definitions.py:") for problem in caught.value.problems]
    assert lines == [str(one.line), str(two.line)]
    assert str(caught.value) == (
        "2 problems in the definitions:\n"
        f"  test_definitions.py:{one.line}: 'Gold.Report' is not a valid asset key. "
        "Write one to five words of a-z, 0-9 and _ joined by dots, each starting with a letter, such as `gold.daily_orders`.\n"
        f"  test_definitions.py:{two.line}: Asset `gold.two` takes `bronze_flihgts`, but no asset is called that. "
        "Did you mean `bronze_flights`?"
    )


def test_an_unknown_key_gets_the_nearest_one() -> None:
    @asset(inputs={"flights": "bronze.fligths"})
    def one(flights: pa.Table) -> pa.Table: ...

    @asset(inputs={"flights": bronze_flights})
    def two(flights: pa.Table) -> pa.Table: ...

    assert problems(one, raw_flights, bronze_flights) == [
        "Asset `one` reads `bronze.fligths` (input `flights`), which is not defined. Did you mean `bronze.flights`?"
    ]
    assert problems(two, raw_flights) == [
        "Asset `two` reads `bronze.flights` (input `flights`), which is not part of the project. Declare it in a module below `pipelines/`."
    ]


def test_a_key_may_be_declared_once() -> None:
    @asset(key="raw.flights")
    def again() -> pa.Table: ...

    assert problems(raw_flights, again) == [
        f"Asset `raw.flights` is declared here and in test_definitions.py:{raw_flights.line}. Keys are unique in the whole project."
    ]


def test_a_parameter_that_could_mean_two_assets_is_not_guessed() -> None:
    @asset(key="a.b_c")
    def one() -> pa.Table: ...

    @asset(key="a_b.c")
    def two() -> pa.Table: ...

    @asset(key="reader")
    def reader(a_b_c: pa.Table) -> pa.Table: ...

    assert problems(one, two, reader) == [
        "Asset `reader`: parameter `a_b_c` could mean `a.b_c` and `a_b.c`. Say which: `inputs={'a_b_c': 'a.b_c'}`."
    ]


def test_circles_are_printed_once_each_starting_with_the_smallest_key() -> None:
    @asset
    def a(c: pa.Table) -> pa.Table: ...

    @asset
    def b(a: pa.Table) -> pa.Table: ...

    @asset
    def c(b: pa.Table) -> pa.Table: ...

    @asset
    def selfish(selfish: pa.Table, a: pa.Table) -> pa.Table: ...

    assert problems(b, c, a, selfish) == [
        "Assets read each other in a circle: `a` → `c` → `b` → `a`. Take one of these inputs out.",
        "Assets read each other in a circle: `selfish` → `selfish`. Take one of these inputs out.",
    ]


def test_partitions_without_an_obvious_mapping_need_one() -> None:
    @asset(partitions=StaticPartitions(["EWR"]))
    def by_origin(bronze_flights: pa.Table) -> pa.Table: ...

    @asset(inputs={"flights": Input(bronze_flights, TimeRollUp())})
    def whole(flights: pa.Table) -> pa.Table: ...

    @asset(partitions=DailyPartitions("2013-01-01"), inputs={"flights": Input(bronze_flights, IdentityMapping())})
    def daily(flights: pa.Table) -> pa.Table: ...

    @asset(inputs={"flights": Input(bronze_flights, "all")})  # type: ignore[arg-type]
    def wrong(flights: pa.Table) -> pa.Table: ...

    assert problems(raw_flights, bronze_flights, by_origin, whole, daily, wrong) == [
        (
            "There is no obvious mapping from monthly partitions of `bronze.flights` to static partitions of `by_origin` (input `bronze_flights`). "
            "Give one of AllPartitions(), IdentityMapping(), TimeRollUp() or DimensionMapping(...), "
            "as in `inputs={'bronze_flights': Input('bronze.flights', mapping=AllPartitions())}`."
        ),
        (
            "TimeRollUp cannot map monthly partitions of `bronze.flights` to the unpartitioned `whole` (input `flights`), "
            "because an unpartitioned asset is not partitioned by time. Leave the mapping out: AllPartitions fits."
        ),
        (
            "IdentityMapping cannot map monthly partitions of `bronze.flights` to daily partitions of `daily` (input `flights`), "
            "because keys of monthly partitions mean something else than keys of daily partitions. Leave the mapping out: TimeRollUp fits."
        ),
        "Asset `wrong`: the mapping of input `flights` is 'all'. It must be a partition mapping, such as `AllPartitions()`.",
    ]


def declare(function: Callable[..., Any], **options: Any) -> AssetSpec[..., Any]:
    return asset(key="x", **options)(function)


def takes_nothing() -> None: ...


def takes_anything(*tables: pa.Table, **more: pa.Table) -> None: ...


def takes_a_default(context: AssetContext, least: int = 3) -> None: ...


def takes_a_list(bronze_flights: list[pa.Table]) -> None: ...


def takes_two_contexts(context: AssetContext, other: AssetContext) -> None: ...


def takes_a_parameter(least: pa.Table) -> None: ...


def takes_flights(flights: pa.Table) -> None: ...


async def waits() -> None: ...


def yields() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (declare(waits), "Asset `x`: The function `waits` is async. Write a plain `def` that returns a `pa.Table`; to stream, return a `pa.RecordBatchReader`."),
        (declare(yields), "Asset `x`: The function `yields` is a generator. Write a plain `def` that returns a `pa.Table`; to stream, return a `pa.RecordBatchReader`."),
        (declare(lambda: None), "Asset `x`: It is made by a lambda, which has no name and no lines of its own. Write a `def`."),
        (declare(3), "Asset `x`: It does not decorate a function. Put it above a `def`."),  # type: ignore[arg-type]
        (declare(dict), "Asset `x`: It does not decorate a function. Put it above a `def`."),
        (
            declare(takes_a_default),
            ("Asset `x`: Parameter `least` has a default value, but parameters are inputs. "
            "Declare `parameters={'least': 3}` and read `context.parameters['least']`."),
        ),
        (
            declare(takes_a_list),
            "Asset `x`: Input `bronze_flights` is annotated `list[pa.Table]`. An input arrives as `pa.Table` or as `Mapping[str, pa.Table]`.",
        ),
        (declare(takes_two_contexts), "Asset `x`: Both `context` and `other` ask for the context. One is enough."),
        (
            declare(takes_a_parameter, parameters={"least": 3}),
            "Asset `x`: `least` is a declared parameter, but function parameters are inputs. Read it from `context.parameters['least']`.",
        ),
        (
            declare(takes_flights, inputs={"flihgts": "raw.flights", "flights": "raw.flights"}),
            "Asset `x`: `inputs` names `flihgts`, which is not a parameter of its function. Did you mean `flights`?",
        ),
        (declare(takes_nothing, grupo="a"), "Asset `x`: There is no option `grupo`. Did you mean `group`?"),
        (declare(takes_nothing, group=3), "Asset `x`: `group` is 3. It must be a text, or a `Group(...)`."),
        (declare(takes_nothing, owners="me"), "Asset `x`: `owners` is 'me'. It must be a list of texts, such as `['data-team']`."),
        (declare(takes_nothing, tags=["a"]), "Asset `x`: `tags` is ['a']. It must be texts by name, such as `{'layer': 'gold'}`."),
        (declare(takes_nothing, tags={"a": 'say "b"'}), "Asset `x`: `tags` is {'a': 'say \"b\"'}. It must be texts by name, such as `{'layer': 'gold'}`."),
        (
            declare(takes_nothing, parameters={"a": float("nan")}),
            "Asset `x`: `parameters` is {'a': nan}. It must be texts, finite numbers, booleans or None by name.",
        ),
        (
            declare(takes_nothing, parameters={"a": [1]}),
            "Asset `x`: `parameters` is {'a': [1]}. It must be texts, finite numbers, booleans or None by name.",
        ),
        (declare(takes_nothing, retry=3), "Asset `x`: `retry` is 3. It must be a `RetryPolicy(...)`."),
        (declare(takes_nothing, schema=["a"]), "Asset `x`: `schema` is ['a']. It must be a `pa.schema([...])`."),
        (
            declare(takes_nothing, schema=pa.schema([("a", pa.int64()), ("a", pa.int64())])),
            "Asset `x`: its schema names column `a` more than once. Column names are unique.",
        ),
        (
            declare(takes_nothing, partitions="monthly"),
            "Asset `x`: `partitions` is 'monthly'. It must be a partitions definition such as `MonthlyPartitions('2013-01')`.",
        ),
        (declare(takes_nothing, code_version=2), "Asset `x`: `code_version` is 2. It must be a text such as `'2'`."),
        (declare(takes_nothing, inputs=["raw.flights"]), "Asset `x`: `inputs` is ['raw.flights']. It must be assets by name, such as `{'flights': 'silver.flights'}`."),
        (
            declare(takes_flights, inputs={"flights": 3}),
            "Asset `x`: `inputs['flights']` is 3. It must be an asset's key, an asset, or an `Input(...)`.",
        ),
        (
            external_asset(key="x", observe="no")(takes_nothing),  # type: ignore[arg-type]
            "Asset `x`: `observe` is 'no'. It must be a function that takes the context and returns a text.",
        ),
        (
            external_asset(key="x")(takes_flights),
            ("External asset `x` takes `flights`, but it exists elsewhere and reads no other asset. "
            "Let it take the context alone, or declare it with `@asset`."),
        ),
        (sql_asset(key="x", sql=" ", inputs=[]), "Asset `x`: The query is empty. Write a SELECT."),
        (
            sql_asset(key="x", sql=3, inputs=[]),  # type: ignore[arg-type]
            "Asset `x`: `sql` is 3. It must be the text of a query, or the path of a `.sql` file beside this module.",
        ),
        (sql_asset(key="x", sql="missing.sql", inputs=[]), "Asset `x`: There is no file `missing.sql`. The path is relative to this module."),
        (
            sql_asset(key="x", sql="SELECT 1", inputs=["raw.flights"]),
            "Asset `x`: its query never mentions its input `raw_flights`. Take it out of `inputs`, or read it.",
        ),
        (
            sql_asset(key="x", sql="SELECT * FROM raw_flights", inputs=[]),
            "Asset `x`: its query reads `raw_flights`, which is not among its inputs. Add `raw.flights` to `inputs`.",
        ),
        (
            sql_asset(key="x", sql='SELECT * FROM "a b"', inputs={"a b": "raw.flights"}),
            "Asset `x`: input `a b` is not a table name. Use letters, digits and `_`.",
        ),
        (
            sql_asset(key="x", sql="SELECT $lest", inputs=[], parameters={"least": 1}),
            "Asset `x`: its query binds `$lest`, which it does not have. Did you mean `least`?",
        ),
        (
            sql_asset(key="x", sql="SELECT $origin", inputs=[], parameters={"origin": 1}, partitions=MultiPartitions({"month": MONTHS, "origin": StaticPartitions(["a"])})),
            "Asset `x`: its parameter `origin` hides `$origin`, the unit's own. Give the parameter another name.",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_to_write_instead(declared: AssetSpec[..., Any], message: str) -> None:
    assert message in problems(declared, raw_flights, bronze_flights)


def test_variable_parameters_are_refused_each() -> None:
    assert problems(declare(takes_anything)) == [
        "Asset `x`: The function `takes_anything` takes `**more`. Name every input as an ordinary parameter.",
        "Asset `x`: The function `takes_anything` takes `*tables`. Name every input as an ordinary parameter.",
    ]


def test_a_captured_value_without_a_version_needs_an_explicit_one() -> None:
    held = object()

    @asset(key="holds")
    def holds() -> pa.Table:
        return held

    @asset(key="says", code_version="1")
    def says() -> pa.Table:
        return held

    assert problems(holds, says) == [
        (
            "Asset `holds`: its code version cannot be derived, because it captures `held`, a value of type object, from the function around it. "
            "Give `code_version='1'` and change it whenever the result should be made again."
        )
    ]


def test_what_reads_a_broken_asset_is_not_blamed_for_it() -> None:
    @asset(key="Bad.Key")
    def bad() -> pa.Table: ...

    @asset(key="broken", retry=3)  # type: ignore[call-overload,untyped-decorator]
    def broken() -> pa.Table: ...

    @asset(inputs={"other": "Bad.Key"})
    def reader(Bad_Key: pa.Table, other: pa.Table, broken: pa.Table) -> pa.Table: ...

    assert [problem.split(".")[0] for problem in problems(bad, broken, reader)] == ["'Bad", "Asset `broken`: `retry` is 3"]


def test_a_hundred_thousand_characters_of_names_are_checked_quickly() -> None:
    def numbered(number: int) -> AssetSpec[..., Any]:
        def load() -> pa.Table:
            return number

        return asset(key=f"raw.table_{number:04d}")(load)

    many = [numbered(number) for number in range(2_000)]
    assert len(Definitions(many).assets) == 2_000


def grouped(key: str, group: str | Group | None, reads: str = "") -> AssetSpec[..., Any]:
    """An asset of a group that reads another, or the source."""

    @asset(key=key, partitions=MONTHS, group=group, inputs={"source": reads or "raw.flights"}, code_version="1")
    def made(source: pa.Table) -> pa.Table:
        return source

    return made


def test_what_one_asset_says_of_its_group_counts_for_all_of_it() -> None:
    window = Group("bronze", commit="window")
    definitions = Definitions(
        [raw_flights, grouped("bronze.a", None), grouped("bronze.b", window), grouped("x", "bronze"), grouped("gold.c", None)]
    )
    assert {key: each.commit.value for key, each in definitions.assets.items() if key != "raw.flights"} == {
        "bronze.a": "window", "bronze.b": "window", "x": "window", "gold.c": "run",
    }  # fmt: skip
    assert definitions.assets[AssetKey("x")].group == "bronze"


def test_assets_that_disagree_about_their_group_are_told_of_each_other() -> None:
    found = problems(
        raw_flights, grouped("bronze.a", Group("bronze", commit="window")), grouped("bronze.b", Group("bronze", commit="unit"))
    )
    assert len(found) == 1
    assert (
        "Group `bronze` is published once a unit according to `bronze.b`, but once a window according to `bronze.a` in test_definitions.py:"
        in found[0]
    )
    assert "Make one `Group(...)` and give it to all of them." in found[0]


def test_nothing_is_published_before_what_it_was_made_from() -> None:
    found = problems(raw_flights, grouped("bronze.a", None), grouped("gold.b", Group("gold", commit="unit"), reads="bronze.a"))
    assert found == [
        (
            "Asset `gold.b` is published once a unit, but `bronze.a`, which it reads, once a run: for a while, nobody could see what it was made "
            "from. Publish group `gold` once a run too, or group `bronze` once a unit."
        )
    ]
    for early, late in (("unit", "window"), ("unit", "run"), ("window", "run"), ("window", "window")):
        made = [grouped("bronze.a", Group("bronze", commit=early)), grouped("gold.b", Group("gold", commit=late), reads="bronze.a")]
        assert Definitions([raw_flights, *made]).assets[AssetKey("gold.b")].commit == late


def test_a_group_knows_three_ways_to_be_published() -> None:
    with pytest.raises(
        DefinitionProblem, match=r"Group: commit must be one of `run`, `window` and `unit`, not 'windows'. Did you mean `window`\?"
    ):
        Group("bronze", commit="windows")
