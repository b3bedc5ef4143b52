"""What `make run` points at when its job has ended: something that the job made, whatever the job was. Asked of the real API behind a socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.cli.app_server import serving
from tests.unit.lineage.world import Shop
from tools.stack.made import worth_a_look


@pytest.fixture(scope="module")
def app() -> Iterator[tuple[Shop, str]]:
    shop = Shop()
    for job in ("bronze.orders", "+silver.per_shop", "+gold.total", "+gold.total"):
        assert shop.run(job)["status"] == "succeeded"
    with serving(shop) as url:
        yield shop, url


@pytest.mark.parametrize(
    ("job", "made"),
    [
        ("bronze.orders", "bronze.orders"),
        ("+silver.per_shop", "silver.per_shop"),
        ("+gold.total", "gold.total"),  # its latest run found everything up to date
        ("nobody.ran.this", ""),
    ],
)
def test_it_is_what_the_job_made(app: tuple[Shop, str], job: str, made: str) -> None:
    assert worth_a_look(app[1], job) == made


def test_of_a_run_that_failed_it_is_what_can_be_read() -> None:
    shop = Shop()
    shop.broken = True
    assert shop.run("+gold.total")["status"] == "failed"
    with serving(shop) as url:
        assert worth_a_look(url, "+gold.total") == "", "a run is published whole or not at all"
        shop.run("bronze.orders")
        assert shop.run("+gold.total")["status"] == "failed"
        assert worth_a_look(url, "+gold.total") == "bronze.orders"


def test_an_app_that_does_not_say_gives_no_hint(app: tuple[Shop, str]) -> None:
    assert worth_a_look("http://127.0.0.1:1", "x") == ""
    assert worth_a_look(f"{app[1]}/not-there", "x") == ""
