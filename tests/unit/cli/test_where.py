from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.cli.where import app_url, find_project, store_address


def stack(project: Path, text: str) -> None:
    (project / ".tidemill").mkdir()
    (project / ".tidemill" / "stack.json").write_text(text)


def test_the_option_wins_over_the_environment_and_that_over_the_running_stack(tmp_path: Path) -> None:
    stack(tmp_path, '{"url": "http://127.0.0.1:9001"}')
    environment = {"TIDEMILL_URL": "http://there:1"}
    assert app_url("http://here:2", environment, tmp_path) == "http://here:2"
    assert app_url("", environment, tmp_path) == "http://there:1"
    assert app_url("", {}, tmp_path) == "http://127.0.0.1:9001"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": 3}', "{}", '{"url": ""}'])
def test_a_stack_file_that_says_nothing_leaves_the_usual_address(tmp_path: Path, text: str) -> None:
    stack(tmp_path, text)
    assert app_url("", {}, tmp_path) == "http://127.0.0.1:7071"


def test_without_a_stack_file_it_is_the_usual_address(tmp_path: Path) -> None:
    assert app_url("", {}, tmp_path) == "http://127.0.0.1:7071"


@pytest.mark.parametrize("given", ["http://h:1/", "http://h:1/api", "http://h:1/api/", "h:1"])
def test_addresses_are_taken_as_people_write_them(given: str, tmp_path: Path) -> None:
    assert app_url(given, {}, tmp_path) == "http://h:1"


def test_the_project_is_found_upwards(tmp_path: Path) -> None:
    (tmp_path / "pipelines" / "x").mkdir(parents=True)
    assert find_project(tmp_path / "pipelines" / "x") == tmp_path
    assert find_project(tmp_path, str(tmp_path / "other")) == tmp_path / "other"


def test_outside_a_project_it_is_where_we_are(tmp_path: Path) -> None:
    assert find_project(tmp_path) == tmp_path


def test_the_local_store(tmp_path: Path) -> None:
    assert store_address("x", {"TIDEMILL_STORAGE": "y"}, tmp_path) == "x"
    assert store_address("", {"TIDEMILL_STORAGE": "y"}, tmp_path) == "y"
    assert store_address("", {}, tmp_path) == str(tmp_path / ".tidemill" / "local")
