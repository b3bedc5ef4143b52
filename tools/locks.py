"""The lock files: make them (`python -m tools.locks update`), and prove without a network that they fit pyproject.toml (`check`).

`requirements.lock` holds everything for work in a checkout. `requirements.txt` is the part that Azure's remote build installs next to
function_app.py: the core and the extras `azure`, `flights`, `lineage` and `signing`, at the very same versions and hashes, and what only pip needs (`DEPLOYED_ONLY`). Locks carry hashes and no registry address.

How the check works with no resolver at hand: the installed packages know their own requirements. Walking them from what pyproject.toml asks
for, under this machine's markers, must reach exactly the packages that the lock would install here, at the locked versions.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.bootstrap import Checkout, uv_environment

ROOT = Path(__file__).resolve().parent.parent
DEPLOYED_EXTRAS = ("azure", "flights", "lineage", "signing")
DEPLOYED_ONLY = frozenset({"pandas", "numpy"})
"""Asked for by packages, overridden in a checkout (see `[tool.uv]` in pyproject.toml), and needed in requirements.txt, since pip cannot override."""
COMPILE = (
    *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--no-header", "--no-annotate"),
)
REGISTRY_ADDRESS = re.compile(r"\bhttps?://|\bfile://|--(?:extra-)?index-url|--find-links")
PYTHON_LOCKS = ("requirements.lock", "requirements.txt", "tools/installer.lock", "tools/node.lock", "infra/scanner.lock")
NPM_LOCK = "tools/azurite/package-lock.json"


@dataclass(frozen=True)
class Pin:
    """One package in a lock file."""

    name: str
    version: str
    marker: Marker | None
    """Where it is installed; None means everywhere."""

    hashes: frozenset[str]

    def applies_here(self) -> bool:
        """Whether this machine and Python would install it."""
        return self.marker is None or self.marker.evaluate()


def read_lock(text: str) -> list[Pin]:
    """Parse a hashed requirements file. A package may have several pins, for different Pythons; at most one applies anywhere.

    Raises:
        ValueError: a line is no exact pin or has no hash.
    """
    pins: list[Pin] = []
    for entry in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not entry.strip() or entry.startswith("#"):
            continue
        spec, *hashes = re.split(r"\s+--hash=", entry.strip())
        requirement = Requirement(spec)
        exact = [part.version for part in requirement.specifier if part.operator == "=="]
        name = canonicalize_name(requirement.name)
        if len(exact) != 1 or not hashes:
            raise ValueError(f"not one exact, hashed pin: {spec}")
        pins.append(Pin(name, exact[0], requirement.marker, frozenset(hashes)))
    return pins


def wanted(pyproject: Mapping[str, Any], *, extras: Sequence[str] | None) -> list[Requirement]:
    """What pyproject.toml asks for: the core and `extras`; with None, every extra and the dev group."""
    lines: list[str] = list(pyproject["project"]["dependencies"])
    for extra, requirements in pyproject["project"]["optional-dependencies"].items():
        if extras is None or extra in extras:
            lines += requirements
    if extras is None:
        lines += pyproject["dependency-groups"]["dev"]
    return [Requirement(line) for line in lines]


def overridden(pyproject: Mapping[str, Any]) -> dict[str, Requirement]:
    """Requirements that `[tool.uv] override-dependencies` puts in place of what packages ask for."""
    return {canonicalize_name(each.name): each for each in map(Requirement, pyproject["tool"]["uv"]["override-dependencies"])}


def installed_requires(name: str) -> list[str]:
    """The requirements an installed package declares.

    Raises:
        importlib.metadata.PackageNotFoundError: it is not installed.
    """
    return metadata.requires(name) or []


def compare(
    roots: Iterable[Requirement],
    pins: Iterable[Pin],
    overrides: Mapping[str, Requirement],
    requires: Callable[[str], list[str]] = installed_requires,
) -> list[str]:
    """Walk from `roots` through the packages' own requirements and compare what is reached with what the lock installs here.

    Returns:
        One sentence for each difference, sorted; empty when they agree.
    """
    here = {pin.name: pin for pin in pins if pin.applies_here()}
    problems: set[str] = set()
    reached: set[str] = set()
    queue = [(root, "pyproject.toml") for root in roots if _asked(root, frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while queue:
        requirement, asker = queue.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        requirement = overrides.get(name, requirement)
        if name in overrides and not _asked(requirement, frozenset()):
            continue
        pin = here.get(name)
        if pin is None:
            problems.add(f"{name} is needed by {asker} and missing from the lock")
            continue
        if not requirement.specifier.contains(pin.version, prereleases=True):
            problems.add(f"{name} is locked at {pin.version} and {asker} asks for {requirement.specifier}")
        reached.add(name)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            declared = requires(name)
        except metadata.PackageNotFoundError:
            problems.add(f"{name} is locked and not installed; run `make setup`")
            continue
        queue += [(each, name) for each in map(Requirement, declared) if _asked(each, extras)]
    problems.update(f"{name} is locked and nothing needs it" for name in here if name not in reached)
    return sorted(problems)


def _asked(requirement: Requirement, extras: frozenset[str]) -> bool:
    """Whether a requirement holds on this machine, when the package that declares it was asked for with `extras`."""
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def check(root: Path) -> list[str]:
    """Everything wrong with the checkout's lock files, as sentences; empty when all is well. Needs the environment, and no network."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    overrides = overridden(pyproject)
    everything = read_lock((root / "requirements.lock").read_text(encoding="utf-8"))
    deployed = [pin for pin in read_lock((root / "requirements.txt").read_text(encoding="utf-8")) if pin.name not in DEPLOYED_ONLY]
    problems = [f"requirements.lock: {each}" for each in compare(wanted(pyproject, extras=None), everything, overrides)]
    problems += [f"requirements.txt: {each}" for each in compare(wanted(pyproject, extras=DEPLOYED_EXTRAS), deployed, overrides)]
    known = {(pin.name, pin.version, pin.hashes) for pin in everything}
    problems += [
        f"requirements.txt: {pin.name} {pin.version} is not the one in requirements.lock"
        for pin in deployed
        if (pin.name, pin.version, pin.hashes) not in known
    ]
    for name in PYTHON_LOCKS:
        if REGISTRY_ADDRESS.search((root / name).read_text(encoding="utf-8")):
            problems.append(f"{name}: names a registry or another place to fetch from")
    return problems + check_npm_lock((root / NPM_LOCK).read_text(encoding="utf-8"))


def check_npm_lock(text: str) -> list[str]:
    """What is wrong with npm's lock file: packages without a hash, or with the address they came from. Sorted; empty when all is well."""
    packages = {name: package for name, package in json.loads(text)["packages"].items() if name}
    return sorted(
        [f"{NPM_LOCK}: {name} has no hash" for name, package in packages.items() if "integrity" not in package]
        + [f"{NPM_LOCK}: {name} names a registry" for name, package in packages.items() if "resolved" in package]
    )


def update(root: Path) -> None:
    """Resolve again and write requirements.lock and requirements.txt. Pins that still fit stay; asks the package registry.

    Raises:
        subprocess.CalledProcessError: uv could not resolve; its own words are on stderr.
    """
    checkout = Checkout(root)
    uv, environment = str(checkout.uv), uv_environment(checkout)
    extras = [word for extra in DEPLOYED_EXTRAS for word in ("--extra", extra)]
    for options, arguments in (
        ([], ["--all-extras", "--group", "dev", "--output-file", "requirements.lock", "pyproject.toml"]),
        (["--no-config"], [*extras, "--constraints", "requirements.lock", "--output-file", "requirements.txt", "pyproject.toml"]),
    ):
        subprocess.run([uv, *options, *COMPILE, *arguments], cwd=root, env=environment, check=True)


def main(arguments: Sequence[str]) -> int:
    """Run `check` or `update`. Returns the exit code."""
    if list(arguments) == ["update"]:
        update(ROOT)
        return 0
    if list(arguments) == ["check"]:
        problems = check(ROOT)
        for problem in problems:
            print(problem)
        if problems:
            print("`make lock` writes the lock files again.")
        return 1 if problems else 0
    print("usage: python -m tools.locks check|update", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
