"""What the pages say exists: links, commands, options, names, settings, tests; and what they must not say."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from typer.core import TyperOption

import tidemill
import tidemill.version
from orchestrators import ORCHESTRATORS
from tests.docs.markdown import PAGES, anchors, commands, links, name, text_of
from tidemill.cli.main import COMMANDS, load_command
from tidemill.definitions.assets import AssetKind
from tidemill.model import outcomes
from tidemill.model.runs import RunStatus
from tidemill.plan.plan import Action
from tools.bootstrap import ROOT

HOMES = ("tidemill", "orchestrators", "activities", "devhost", "durable_quick_replay.py", "function_app.py", "pipelines", "tools")


@cache
def python_files() -> tuple[Path, ...]:
    found = [path for home in HOMES for path in ([ROOT / home] if home.endswith(".py") else (ROOT / home).rglob("*.py"))]
    return tuple(path for path in found if "node_modules" not in path.parts)


@cache
def names_in_code() -> frozenset[str]:
    """Every class, function and module-level name."""
    found: set[str] = set()
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Assign):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return frozenset(found)


@cache
def make_targets() -> dict[str, str]:
    """Targets of the Makefile, and the variables that people may set."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
    variables = set(re.findall(r"\$[({]([A-Z_]+)", text)) | set(re.findall(r"^([A-Z_]+) [?:]?=", text, re.MULTILINE))
    return dict.fromkeys(targets, "target") | dict.fromkeys(variables, "variable")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link} leads nowhere"
        assert path.is_relative_to(ROOT), f"{link} leaves the checkout"
        assert not anchor or anchor in anchors(path), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_command_can_be_given(page: Path) -> None:
    for command in commands(page):
        if not re.match(r"([A-Z0-9_]+=\S* )*make\b", command):
            continue
        known = make_targets()
        for word in shlex.split(command.partition("make")[2]):
            variable = re.match(r"([A-Z_]+)=", word)
            assert known.get(variable[1] if variable else word) == ("variable" if variable else "target"), command


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_tidemill_command_and_option_exists(page: Path) -> None:
    for command in commands(page):
        for part in re.findall(r"(?:^|\$\(|= )(tidemill [^|)>]*)", re.sub(r"^([A-Z_]+=\S* )+", "", command)):
            words = shlex.split(part)[1:]
            if words and words[0].startswith("--"):
                assert set(words) <= {"--help", "--version"}, command
            elif words:
                assert words[0] in COMMANDS, command
                known = {text for each in load_command(words[0]).params if isinstance(each, TyperOption) for text in each.opts}
                assert {word for word in words[1:] if word.startswith("-")} <= known | {"--help"}, command


def test_the_checks_above_read_commands() -> None:
    found = [command for page in PAGES for command in commands(page)]
    assert {"make run", "make test"} <= set(found)
    assert sum(command.startswith("tidemill ") for command in found) > 30


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_machine_or_a_registry(page: Path) -> None:
    text = text_of(page)
    assert re.findall(r"(?<![\w.])/(?:work|tmp|root|home|Users|mnt|opt)/", text) == []
    assert re.findall(r"pypi\.org|pythonhosted|npmjs|[\w.-]+\.internal\b|artifactory|nexus", text, re.IGNORECASE) == []
    assert re.findall(r"AccountKey=|SharedAccessSignature|[?&]sig=", text) == []


def test_every_promise_names_a_test_that_exists() -> None:
    promised = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of(ROOT / "docs/reliability.md"))
    assert len(promised) > 25
    missing = []
    for file, test in promised:
        path = ROOT / file
        source = path.read_text(encoding="utf-8") if path.exists() else ""
        if not re.search(rf"^ *(async )?def {test}\(", source, re.MULTILINE):
            missing.append(f"{file}::{test}")
    assert missing == []


def test_every_promise_has_a_proof() -> None:
    rows = [
        line for line in text_of(ROOT / "docs/reliability.md").splitlines() if line.startswith("| ") and not line.startswith("| promise")
    ]
    assert rows
    assert [row for row in rows if "::test_" not in row] == []


def glossary() -> dict[str, set[str]]:
    """Word to the names in its last column."""
    rows = [line.strip("| ").split(" | ") for line in text_of(ROOT / "docs/glossary.md").splitlines() if line.startswith("| ")]
    return {row[0]: set(re.findall(r"`([^`]+)`", row[-1])) for row in rows if row[0] != "word"}


def test_every_name_in_the_glossary_is_in_the_code() -> None:
    assert {word: unknown for word, names in glossary().items() if (unknown := names - names_in_code())} == {}
    assert all(glossary().values())


def test_the_glossary_has_every_word_that_a_state_is_called_by() -> None:
    text = text_of(ROOT / "docs/glossary.md").lower()
    tags = [each.__name__ for each in outcomes.UnitOutcome.__args__]
    words = {*RunStatus, *Action, *(tag.lower() for tag in tags)}
    assert {word for word in words if f"`{word}`" not in text} == set()
    assert {kind for kind in AssetKind if kind not in text} == set()
    assert {each for each in ORCHESTRATORS if f"`{each}`" not in text} == set()


def test_words_that_are_kept_free_are_free() -> None:
    kept = re.findall(r"\*([^*]+)\*: not built yet", text_of(ROOT / "docs/glossary.md"))[0].lower().split(", ")
    assert len(kept) > 5
    public = {each.lower() for each in tidemill.__all__}
    assert {word for word in kept if any(each.startswith(word.replace(" ", "").replace("/", "")) for each in public)} == set()


def test_every_variable_that_the_code_reads_is_documented() -> None:
    page = text_of(ROOT / "docs/reference/settings.md")
    read = {
        found
        for path in python_files()
        if path.is_relative_to(ROOT / "tidemill") or path.is_relative_to(ROOT / "pipelines")
        for found in re.findall(r"\b(?:TIDEMILL|FLIGHTS)_[A-Z]+(?:_[A-Z]+)*\b", path.read_text(encoding="utf-8"))
    }
    assert {variable for variable in read if f"`{variable}`" not in page} == set()
    local = (ROOT / "local.settings.json").read_text(encoding="utf-8")
    assert {key for key in re.findall(r'"([A-Za-z_]+)": "', local) if f"`{key}`" not in page} == set()


def test_every_code_that_a_run_may_end_with_is_explained() -> None:
    page = text_of(ROOT / "docs/reference/errors.md")
    given = {
        code
        for path in (ROOT / "tidemill").rglob("*.py")
        for code in re.findall(
            r'(?:\bcode=|Rejected\(\s*|^    code = )"([a-z]+(?:-[a-z]+)+)"', path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {"units-failed", "wrong-schema", "user-code-failed", "asset-not-found"} <= given
    assert {code for code in given if f"`{code}`" not in page} == set()


def test_every_public_name_is_documented() -> None:
    page = text_of(ROOT / "docs/reference/authoring.md")
    assert {each for each in tidemill.__all__ if not re.search(rf"\b{each}\b", page)} == set()


def test_readme_shows_the_product_in_one_screen() -> None:
    text = text_of(ROOT / "README.md")
    picture = re.search(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert picture is not None
    assert "silver__flights --> gold__carrier_month" in picture[1]
    assert len(text.replace(picture[1], "").splitlines()) < 115


def test_readme_names_what_was_not_verified() -> None:
    status = text_of(ROOT / "README.md").partition("## Status")[2]
    for honest in ("never deployed to Azure", "compiled by nothing", "`func` was not run"):
        assert honest in status


def test_changes_has_a_section_for_this_version() -> None:
    assert f"## {tidemill.version.VERSION}" in text_of(ROOT / "CHANGELOG.md")
