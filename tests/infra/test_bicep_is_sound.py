"""infra/ parses, and what its files say to each other fits: the part of a compiler's work that can be done without one."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from tests.infra.bicep import File, read, syntax_errors

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "infra").rglob("*.bicep"))
IDS = [str(path.relative_to(ROOT)) for path in FILES]
FUNCTIONS = {"empty", "guid", "subscription", "subscriptionResourceId", "toLower", "union", "uniqueString"}
DECORATORS = {"allowed", "description", "maxLength", "maxValue", "minLength", "minValue"}


def dangling(file: File) -> list[str]:
    """Names the file uses and does not declare, and things it declares and does not use."""
    declared = {each.name for each in file.declarations if each.kind != "output"}
    used = {name for name, _ in file.used}
    problems = [f"line {line}: {name} is not declared" for name, line in file.used if name not in declared]
    problems += [
        f"line {each.line}: {each.name} is not used" for kind in ("param", "var") for each in file.of(kind) if each.name not in used
    ]
    return sorted(problems)


def misfits(main: File, modules: dict[str, File]) -> list[str]:
    """Where `main` and its modules disagree about parameters and outputs."""
    problems = []
    for module in main.of("module"):
        if module.type not in modules:
            problems.append(f"{module.name}: no file {module.type}")
            continue
        given = set(module.body.get("params", {}))
        params = modules[module.type].of("param")
        problems += [f"{module.name}: {each.name} is required" for each in params if not each.has_default and each.name not in given]
        problems += [f"{module.name}: no parameter {name}" for name in given - {each.name for each in params}]
        outputs = {each.name for each in modules[module.type].of("output")}
        problems += [
            f"{module.name}: no output {name}" for owner, name in main.outputs_read if owner == module.name and name not in outputs
        ]
    return sorted(problems)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_syntax(path: Path) -> None:
    assert syntax_errors(path.read_bytes()) == []


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_an_injected_syntax_error_is_found(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if line.rstrip().endswith("{"))
    broken = "\n".join([*lines[: at + 1], "  name = 'an equals sign where a colon belongs'", *lines[at + 1 :]])
    assert syntax_errors(broken.encode()) != []


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_name_is_declared_and_every_declaration_used(path: Path) -> None:
    assert dangling(read(path)) == []


def test_a_misspelt_name_is_found() -> None:
    source = b"param location string\nparam idle string\noutput place string = locaton\n"
    assert dangling(read(Path("wrong.bicep"), source)) == [
        "line 1: location is not used",
        "line 2: idle is not used",
        "line 3: locaton is not declared",
    ]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_bicep_is_plain(path: Path) -> None:
    """Only functions we know, and none of the syntax that the scanner's parser silently gives up on."""
    file = read(path)
    assert file.called <= FUNCTIONS | DECORATORS
    assert re.findall(r"^(?:type|func|import|assert)\b", path.read_text(encoding="utf-8"), re.MULTILINE) == []


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_every_parameter_is_described(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    bare = [line for before, line in itertools.pairwise(lines) if line.startswith("param ") and not before.startswith("@description(")]
    assert bare == []


def test_modules_are_given_what_they_ask_for_and_offer_what_is_read() -> None:
    main, modules = project()
    assert len(main.of("module")) == len(FILES) - 1
    assert misfits(main, modules) == []


def test_a_misfit_between_files_is_found() -> None:
    main, modules = project()
    source = (
        main.path.read_text(encoding="utf-8")
        .replace("sku: storageSku", "skew: storageSku")
        .replace("identity.outputs.id\n", "identity.outputs.key\n")
    )
    assert misfits(read(main.path, source.encode()), modules) == [
        "identity: no output key",
        "storage: no parameter skew",
        "storage: sku is required",
    ]


def test_azd_gives_every_required_parameter_and_no_other() -> None:
    main, _ = project()
    document = json.loads((ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8"))
    given = set(document["parameters"])
    assert {each.name for each in main.of("param") if not each.has_default} <= given
    assert given <= {each.name for each in main.of("param")}


def project() -> tuple[File, dict[str, File]]:
    """main.bicep, and its modules by the path main.bicep calls them."""
    folder = ROOT / "infra"
    return read(folder / "main.bicep"), {str(path.relative_to(folder)): read(path) for path in FILES if path.name != "main.bicep"}
