"""The lock files fit pyproject.toml, and the check that says so can say otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.locks import REGISTRY_ADDRESS, Pin, check, check_npm_lock, compare, overridden, read_lock, wanted

ROOT = Path(__file__).resolve().parents[2]
LOCK = """\
apple==1.2 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
# a comment
Pear_tree==2.0 ; python_full_version < '3.0' \\
    --hash=sha256:cc
pear-tree==3.0 ; python_full_version >= '3.0' \\
    --hash=sha256:dd
"""


def walk(roots: list[str], lock: str, packages: Mapping[str, list[str]]) -> list[str]:
    def requires(name: str) -> list[str]:
        if name not in packages:
            raise metadata.PackageNotFoundError(name)
        return packages[name]

    return compare(list(map(Requirement, roots)), read_lock(lock), {}, requires)


def test_the_checkout_is_in_step() -> None:
    assert check(ROOT) == []


def test_a_lock_is_read_whole() -> None:
    apple, old, new = read_lock(LOCK)
    assert apple == Pin("apple", "1.2", None, frozenset({"sha256:aa", "sha256:bb"}))
    assert (old.name, old.version, old.applies_here()) == ("pear-tree", "2.0", False)
    assert (new.version, new.applies_here()) == ("3.0", True)


@pytest.mark.parametrize("line", ["apple>=1.2 --hash=sha256:aa", "apple==1.2", "apple --hash=sha256:aa"])
def test_a_loose_or_unhashed_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not one exact, hashed pin: apple"):
        read_lock(line)


def test_agreement_has_nothing_to_say() -> None:
    assert walk(["apple[core]>=1"], LOCK, {"apple": ["pear-tree>=3 ; extra == 'core'", "never ; extra == 'other'"], "pear-tree": []}) == []


@pytest.mark.parametrize(
    ("roots", "packages", "sentence"),
    [
        (["apple", "pear-tree", "plum"], {"apple": [], "pear-tree": []}, "plum is needed by pyproject.toml and missing from the lock"),
        (["apple", "pear-tree"], {"apple": ["fig"], "pear-tree": []}, "fig is needed by apple and missing from the lock"),
        (["apple>=2", "pear-tree"], {"apple": [], "pear-tree": []}, "apple is locked at 1.2 and pyproject.toml asks for >=2"),
        (["apple"], {"apple": []}, "pear-tree is locked and nothing needs it"),
        (["apple", "pear-tree"], {"apple": []}, "pear-tree is locked and not installed; run `make setup`"),
    ],
)
def test_each_difference_is_one_sentence(roots: list[str], packages: dict[str, list[str]], sentence: str) -> None:
    assert walk(roots, LOCK, packages) == [sentence]


def test_what_is_deployed_is_part_of_what_is_developed_with() -> None:
    pyproject = {
        "project": {"dependencies": ["a"], "optional-dependencies": {"azure": ["b"], "flights": ["c"], "devhost": ["d"]}},
        "dependency-groups": {"dev": ["e"]},
        "tool": {"uv": {"override-dependencies": ["Old_Name; sys_platform == 'never'"]}},
    }
    assert [each.name for each in wanted(pyproject, extras=("azure", "flights"))] == ["a", "b", "c"]
    assert [each.name for each in wanted(pyproject, extras=None)] == ["a", "b", "c", "d", "e"]
    assert list(overridden(pyproject)) == ["old-name"]


@pytest.mark.parametrize(
    "line", ["--index-url somewhere", "--extra-index-url somewhere", "-f --find-links x", "a @ https://b/c.whl", "a @ file:///b.whl"]
)
def test_a_place_to_fetch_from_is_noticed(line: str) -> None:
    assert REGISTRY_ADDRESS.search(line) is not None


def test_npm_packages_need_a_hash_and_no_address() -> None:
    lock = {
        "packages": {
            "": {"name": "root"},
            "node_modules/good": {"version": "1", "integrity": "sha512-x"},
            "node_modules/bare": {"version": "1"},
            "node_modules/placed": {"version": "1", "integrity": "sha512-y", "resolved": "somewhere"},
        }
    }
    assert check_npm_lock(json.dumps(lock)) == [
        "tools/azurite/package-lock.json: node_modules/bare has no hash",
        "tools/azurite/package-lock.json: node_modules/placed names a registry",
    ]
