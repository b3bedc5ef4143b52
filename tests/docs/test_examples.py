"""The examples of the pages, run as they are written."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, blocks, name
from tests.docs.project import Project
from tools.bootstrap import ROOT

NEEDS_APP = "docs/how-to/run-and-follow.md"
NEEDS_HOST = "docs/how-to/use-the-local-host.md"
RUNNABLE = [page for page in PAGES if name(page) not in (NEEDS_APP, NEEDS_HOST) and any("run" in each.words for each in blocks(page))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", RUNNABLE, ids=name)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    assert Project(tmp_path).follow(blocks(page)) > 0


def test_the_main_job_gives_what_the_readme_shows(tmp_path: Path) -> None:
    shown = next(each for each in blocks(ROOT / "README.md") if each.language == "text")
    assert "336,776" in shown.text
    headline, *rows = shown.text.strip().splitlines()
    summary = headline.partition("succeeded")[2]
    lines = "\n".join([f"✔ … succeeded in … s{summary}", *(f"{row} …" for row in rows)])
    asked = replace(shown, words=frozenset({"run"}), text=f"$ tidemill apply 'flights/*' --local\n{lines}\n")
    assert Project(tmp_path).follow([asked]) == 1


def test_the_pages_that_teach_are_among_them() -> None:
    taught = {
        "README.md",
        "docs/tutorial.md",
        "docs/how-to/add-a-pipeline.md",
        "docs/how-to/partitions-and-mappings.md",
        "docs/how-to/recover-from-a-crash.md",
        "docs/concepts/plan-and-apply.md",
    }
    assert taught <= {name(page) for page in RUNNABLE}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_python_block_is_python(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text, block.place)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_block_says_only_what_is_understood(page: Path) -> None:
    for block in blocks(page):
        assert block.words <= {"run"}, block.place
        assert set(block.options) <= {"file", "exit"}, block.place
        assert "run" not in block.words or block.language == "console", block.place
