"""The main job computes what changed and nothing else, on the durable path and in process, with equal versions after every step.

One story is told once for the whole module, on a copy of the project whose code and data are edited in files; every test looks at a part of it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.app import App
from tests.e2e.conftest import KIND
from tests.e2e.two_paths import DurablePath, InProcessPath, Ran
from tools.project_copy import ProjectCopy
from tools.stack import Azurite, Host

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MONTHS = [f"2013-{month:02d}" for month in range(1, 13)]
UNITS = 5 * len(MONTHS) + 1
SOURCES = len(MONTHS) + 4


def month_and_above(month: str) -> set[str]:
    """One month of bronze, and everything that is made from it."""
    made = ("bronze.flights", "silver.flights", "gold.carrier_month", "gold.airport_delay", "gold.route_day")
    return {*(f"{asset}@{month}" for asset in made), "gold.delay_report"}


class Story:
    """What happened, step by step, on both paths."""

    def __init__(self) -> None:
        self.durable: dict[str, Ran] = {}
        self.in_process: dict[str, Ran] = {}
        self.merged: dict[str, int] = {}
        self.main_before: dict[str, Any] = {}
        self.main_after: dict[str, Any] = {}
        self.branch_differs: set[str] = set()

    def both(self, step: str) -> tuple[Ran, Ran]:
        """What a step did, once checked that both paths hold the same versions after it."""
        durable, in_process = self.durable[step], self.in_process[step]
        assert (durable.status, in_process.status) == ("succeeded", "succeeded")
        assert durable.versions == in_process.versions
        assert len(durable.versions) == UNITS + SOURCES
        return durable, in_process

    def only(self, step: str, executed: set[str], *, unchanged: int = 0) -> None:
        """Checks that a step computed exactly these units, on both paths, and that no activity was executed for any other."""
        for ran in self.both(step):
            assert ran.executed == executed
            assert ran.unchanged == unchanged
        durable = self.durable[step]
        assert durable.outcomes == len(executed)
        assert durable.activities.get("materialize_units", 0) <= len(executed)  # quick units of one asset share an activity


@pytest.fixture(scope="module")
def story(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The whole story: three starts of the host, because the app loads its code once."""
    folder = tmp_path_factory.mktemp("only-what-changed")
    project, told = ProjectCopy(folder), Story()
    with InProcessPath(project.app, folder / "store", project.settings) as in_process:

        @contextmanager
        def app(number: int) -> Iterator[DurablePath]:
            settings = {"TIDEMILL_CONTAINER": "only-what-changed", "AzureFunctionsJobHost__extensions__durableTask__hubName": "OnlyChanged"}
            log = folder / f"host-{number}.log"
            with (
                Host.start(
                    connection_string=azurite.connection_string, app=project.app, log=log, kind=KIND, settings=settings | project.settings
                ) as host,
                App(host.url) as running,
            ):
                yield DurablePath(running)

        def on_both(durable: DurablePath) -> Callable[..., None]:
            def tell(step: str, **request: Any) -> None:
                told.durable[step] = durable.run(**request)
                told.in_process[step] = in_process.run(**request)

            return tell

        with app(1) as durable:
            tell = on_both(durable)
            tell("the first run")
            tell("a second run")
            project.deliver(compression=zipfile.ZIP_STORED)
            tell("the source file written anew")
            tell("one month of bronze again", selection="bronze.flights", partitions="2013-03", rerun=True)
            tell("and then everything")
            project.deliver_in_another_order(4)
            tell("rows in another order")
            project.deliver_late(5, 20)
            tell("late rows")
        project.edit(
            "transforms/silver.py",
            "    cancelled = pc.is_null(flights",
            "    # No departure, no flight.\n    cancelled = pc.is_null(\n        flights",
        )
        project.edit("transforms/silver.py", '["dep_time"])\n', '["dep_time"]\n    )\n')
        project.edit("sql/airport_delay.sql", "from flights\n", "from flights -- silver, by month\n")
        with app(2) as durable:
            on_both(durable)("reformatted")
        project.edit(
            "sql/carrier_month.sql", "count(*) filter (arr_delay < 15) as on_time", "count(case when arr_delay < 15 then 1 end) as on_time"
        )
        with app(3) as durable:
            tell = on_both(durable)
            tell("another query")
            _branch(told, project, durable, in_process, tell)
    return told


def _branch(told: Story, project: ProjectCopy, durable: DurablePath, in_process: InProcessPath, tell: Callable[..., None]) -> None:
    """Late rows are tried on a branch, looked at, and merged."""
    durable.branch("trial")
    in_process.branch("trial")
    project.deliver_late(9, 20)
    told.main_before = _head(durable.app)
    tell("on a branch", branch="trial")
    told.main_after = _head(durable.app)
    changes = durable.app.http.get("/branches/trial/diff").json()["changes"]
    told.branch_differs = {f"{each['asset']}@{each['partition']}".removesuffix("@") for each in changes}
    told.merged = {"durable": durable.merge("trial"), "in process": in_process.merge("trial")}
    tell("after the merge")


def _head(app: App) -> dict[str, Any]:
    """Where main is, and its last log entry."""
    return {"branch": app.http.get("/branches/main").json(), "entry": app.http.get("/history", params={"limit": 1}).json()["entries"]}


def test_the_first_run_makes_everything(story: Story) -> None:
    made = {unit for unit in story.durable["the first run"].versions if not unit.startswith("raw.")}
    assert len(made) == UNITS
    story.only("the first run", made)


def test_a_second_run_executes_no_unit_and_commits_nothing(story: Story) -> None:
    story.only("a second run", set())
    assert [ran.changed for ran in story.both("a second run")] == [0, 0]
    assert set(story.durable["a second run"].activities) == {"build_plan", "record_tranche", "commit_run"}


def test_a_source_written_anew_with_equal_content_executes_nothing(story: Story) -> None:
    story.only("the source file written anew", set())


def test_one_month_of_bronze_made_again_is_one_unit_and_nothing_follows_from_it(story: Story) -> None:
    story.only("one month of bronze again", {"bronze.flights@2013-03"})
    assert [ran.changed for ran in story.both("one month of bronze again")] == [1, 1]
    story.only("and then everything", set())
    assert story.durable["and then everything"].versions == story.durable["a second run"].versions


def test_a_month_whose_content_comes_out_as_before_ends_the_wave_there(story: Story) -> None:
    # Bronze keeps the order in which rows came, silver has its own: three golds of the month and the report are cut off.
    story.only("rows in another order", {"bronze.flights@2013-04", "silver.flights@2013-04"}, unchanged=4)


def test_late_rows_of_one_month_execute_that_month_and_what_stands_above_it(story: Story) -> None:
    story.only("late rows", month_and_above("2013-05"))
    before, after = story.durable["rows in another order"].versions, story.durable["late rows"].versions
    assert {unit for unit in after if before[unit] != after[unit]} == {*month_and_above("2013-05"), "raw.flights@2013-05"}


def test_reformatting_a_transform_or_editing_a_comment_executes_nothing(story: Story) -> None:
    story.only("reformatted", set())


def test_another_query_for_one_gold_executes_that_gold_alone(story: Story) -> None:
    # Every airline's month comes out as before, so the report that reads it is cut off.
    story.only("another query", {f"gold.carrier_month@{month}" for month in MONTHS}, unchanged=1)


def test_a_run_on_a_branch_changes_that_branch_alone(story: Story) -> None:
    story.only("on a branch", month_and_above("2013-09"))
    assert story.main_after == story.main_before
    assert story.branch_differs == {*month_and_above("2013-09"), "raw.flights@2013-09"}


def test_what_a_branch_made_is_not_made_again_after_the_merge(story: Story) -> None:
    assert story.merged == dict.fromkeys(("durable", "in process"), len(month_and_above("2013-09")) + 1)
    story.only("after the merge", set())
    assert story.durable["after the merge"].versions == story.durable["on a branch"].versions
    assert [ran.changed for ran in story.both("after the merge")] == [0, 0]
