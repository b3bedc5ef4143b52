"""Set up a checkout: the environment `.venv`, everything the lock files name, and Azurite. `python3 -m tools.bootstrap`.

Runs on the machine's own Python with nothing installed, so it uses the standard library only. What it installs is pinned and hashed in
`tools/installer.lock` (pip and uv), `requirements.lock`, `tools/node.lock` (only where the machine has no Node) and
`tools/azurite/package-lock.json`; no lock names a registry, so pip's and npm's own configuration decides where things come from.

Idempotent: a stamp holds the hash of all that went in, and when it still matches nothing is done, in well under a second. It never deletes
an environment that works, because somebody may be using it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tools.node import Node, find_node, machine_node, wheel_node

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)
PIP_INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes")
NPM_CI = (
    "ci",
    *("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"),
    # A person's own npm settings may say otherwise, and would make `npm ci` refuse the lock or install elsewhere.
    *("--package-lock=true", "--legacy-peer-deps=false", "--install-strategy=hoisted", "--location=project", "--omit=dev"),
)
NETWORK_TROUBLE = re.compile(
    r"name resolution|name or service not known|nodename nor servname|dns error|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT"
    r"|connection refused|failed to connect|connect error|newconnectionerror|connecttimeout|network is unreachable|error sending request"
    r"|timed? out|tunnel|proxy|certificate|from versions: none",
    re.IGNORECASE,
)


class SetupError(Exception):
    """Set-up cannot go on; the text is the whole sentence for the person who started it."""


class Checkout:
    """Where things are in one checkout, and what its lock files ask for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.python = self.venv / "bin" / "python"
        self.uv = self.venv / "bin" / "uv"
        self.stamp = self.venv / "tidemill-setup.json"
        self.azurite_home = root / "tools" / "azurite"
        self.azurite_stamp = self.azurite_home / "node_modules" / ".tidemill-setup.json"
        self.azurite_program = self.azurite_home / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
        self.state = root / ".tidemill"
        self.log = self.state / "logs" / "setup.log"

    def site_packages(self) -> Path:
        """The environment's package folder, whatever minor version of Python it has."""
        found = sorted((self.venv / "lib").glob("python3.*/site-packages"))
        return found[-1] if found else self.venv / "lib" / "site-packages"

    def python_locks(self, *, with_node: bool) -> list[Path]:
        """The lock files whose packages the environment must hold, and no others."""
        tools = self.root / "tools"
        return [self.root / "requirements.lock", tools / "installer.lock", *([tools / "node.lock"] if with_node else [])]

    def python_fingerprint(self, *, with_node: bool) -> str:
        """Hash of what the environment is made from. pyproject.toml is in it for the command names it declares."""
        return digest([*self.python_locks(with_node=with_node), self.root / "pyproject.toml"])

    def azurite_fingerprint(self) -> str:
        """Hash of what Azurite is installed from."""
        return digest([self.azurite_home / "package.json", self.azurite_home / "package-lock.json"])


def main() -> int:
    """Set up the checkout this file is in. Returns 0, or 1 after one sentence on stderr."""
    try:
        set_up(Checkout(ROOT))
    except SetupError as error:
        print(f"\nSet-up stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nSet-up interrupted. Run it again to go on.", file=sys.stderr)
        return 130
    return 0


def set_up(checkout: Checkout) -> None:
    """Bring the checkout's environment and Azurite to what the lock files say.

    Raises:
        SetupError: with one sentence saying what is missing and what to do about it.
    """
    require_python()
    if _is_done(checkout):
        return
    with _alone(checkout):
        if _is_done(checkout):  # another set-up did the work while this one waited
            return
        begun = time.monotonic()
        print("Setting up Tidemill. The first time takes a minute or two; later, nothing at all.", flush=True)
        checkout.log.write_text("", encoding="utf-8")
        _set_up_python(checkout)
        _set_up_azurite(checkout)
        print(f"Ready in {time.monotonic() - begun:.0f} s.\n", flush=True)


def require_python() -> None:
    """Check the Python that runs this.

    Raises:
        SetupError: it is too old, or lacks venv or ensurepip.
    """
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        wanted = ".".join(map(str, OLDEST_PYTHON))
        raise SetupError(
            f"this is Python {found} and Tidemill needs {wanted} or newer. Point to one with `make PYTHON=/path/to/python3 ...`."
        )
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"this Python lacks the module {' and '.join(missing)}, which makes environments. "
            "On Debian and Ubuntu `apt install python3-venv` brings it; elsewhere use a complete Python (`make PYTHON=/path/to/python3 ...`)."
        )


def _is_done(checkout: Checkout) -> bool:
    python = _read_stamp(checkout.stamp)
    azurite = _read_stamp(checkout.azurite_stamp)
    with_node = bool(python.get("with_node"))
    return (
        checkout.python.exists()
        and python.get("interpreter") == str(checkout.python.resolve())
        and python.get("fingerprint") == checkout.python_fingerprint(with_node=with_node)
        and (with_node or machine_node() is not None)
        and checkout.azurite_program.exists()
        and azurite.get("fingerprint") == checkout.azurite_fingerprint()
    )


def _set_up_python(checkout: Checkout) -> None:
    # A Node that is already in the environment stays: the PATH differs between shells, and set-up should not flip with it.
    with_node = machine_node() is None or wheel_node(checkout.site_packages()) is not None
    fingerprint = checkout.python_fingerprint(with_node=with_node)
    wanted = {"fingerprint": fingerprint, "interpreter": str(checkout.python.resolve()), "with_node": with_node}
    if checkout.python.exists() and _read_stamp(checkout.stamp) == wanted:
        return
    if not _works(checkout.python):
        with step(f"environment .venv, Python {sys.version_info[0]}.{sys.version_info[1]}"):
            run(checkout, [sys.executable, "-m", "venv", "--clear", str(checkout.venv)], what="the environment .venv could not be made")
    with step("installer (uv)"):
        if subprocess.run([str(checkout.python), "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
            run(checkout, [str(checkout.python), "-m", "ensurepip", "--upgrade"], what="pip could not be put into .venv")
        run(
            checkout,
            [str(checkout.python), *PIP_INSTALL, "-r", str(checkout.root / "tools" / "installer.lock")],
            what="the installer uv could not be installed",
        )
    with step("Python packages" + (" and Node" if with_node else "")):
        locks = [str(path) for path in checkout.python_locks(with_node=with_node)]
        run(
            checkout,
            [str(checkout.uv), "pip", "sync", "--quiet", "--require-hashes", *locks],
            what="the Python packages could not be installed",
            environment=uv_environment(checkout),
        )
    with step("Tidemill itself, linked"):
        run(
            checkout,
            [
                str(checkout.uv),
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--no-build-isolation",
                "--offline",
                "--editable",
                str(checkout.root),
            ],
            what="this checkout could not be linked into .venv",
            environment=uv_environment(checkout),
        )
    _write_stamp(checkout.stamp, {**wanted, "interpreter": str(checkout.python.resolve())})


def _set_up_azurite(checkout: Checkout) -> None:
    fingerprint = checkout.azurite_fingerprint()
    if checkout.azurite_program.exists() and _read_stamp(checkout.azurite_stamp).get("fingerprint") == fingerprint:
        return
    node = find_node(checkout.site_packages())
    if node is None:
        raise SetupError("no Node was found although tools/node.lock was installed; delete .venv and run `make setup` again.")
    with step(f"Azurite, by Node {node.version}"):
        run(
            checkout,
            [*node.npm, *NPM_CI],
            what="Azurite could not be installed",
            environment=npm_environment(node),
            folder=checkout.azurite_home,
        )
    _write_stamp(checkout.azurite_stamp, {"fingerprint": fingerprint})


def uv_environment(checkout: Checkout) -> dict[str, str]:
    """The environment variables uv runs with: this checkout's `.venv`, the machine's certificates, and pip's index if only pip was told."""
    variables = dict(os.environ)
    variables.update(VIRTUAL_ENV=str(checkout.venv), UV_SYSTEM_CERTS="1", UV_PYTHON_DOWNLOADS="never", UV_NO_PROGRESS="1")
    if not any(name in variables for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")):
        index = _pip_index(checkout)
        if index is not None:
            variables["UV_DEFAULT_INDEX"] = index
    return variables


def npm_environment(node: Node) -> dict[str, str]:
    """The environment variables npm runs with: its own Node first on the PATH, and the machine's certificates for Nodes that can use them."""
    variables = dict(os.environ)
    variables["PATH"] = os.pathsep.join([str(node.program.parent), variables.get("PATH", os.defpath)])
    variables.setdefault("NODE_USE_SYSTEM_CA", "1")
    return variables


def _pip_index(checkout: Checkout) -> str | None:
    """The package index that pip is configured to use, which uv would not read; None when it is the usual one."""
    answer = subprocess.run(
        [str(checkout.python), "-m", "pip", "--disable-pip-version-check", "config", "list"], capture_output=True, text=True, check=False
    )
    found = re.findall(r"^(?:global|install|:env:)\.index-url='([^']+)'$", answer.stdout, re.MULTILINE)
    return str(found[-1]) if found else None


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    # The second half fails when the machine's Python was upgraded under the environment: its packages sit in the old version's folder.
    probe = f"import os, site, sys; sys.exit(sys.version_info < {OLDEST_PYTHON} or not os.path.isdir(site.getsitepackages()[0]))"
    return subprocess.run([str(python), "-c", probe], capture_output=True, check=False).returncode == 0


def run(
    checkout: Checkout,
    command: Sequence[str],
    *,
    what: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> None:
    """Run one command of set-up, its output into the log.

    Raises:
        SetupError: it failed; `what` begins the sentence, the command's last lines end it.
    """
    try:
        done = subprocess.run(
            command, cwd=folder or checkout.root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise SetupError(f"{what}: {command[0]} cannot be started ({error.strerror}). Delete .venv and run `make setup` again.") from error
    said = (done.stdout + done.stderr).strip()
    with checkout.log.open("a", encoding="utf-8") as log:
        log.write(f"$ {' '.join(command)}\n{said}\n\n")
    if done.returncode != 0:
        why = (
            "the package registry cannot be reached. Check the network, and pip's and npm's settings if you use a mirror"
            if NETWORK_TROUBLE.search(said)
            else "its last words are below"
        )
        tail = "\n".join(f"    {line}" for line in said.splitlines()[-6:])
        log_name = checkout.log.relative_to(checkout.root)
        raise SetupError(f"{what}: {why}. Then run `make setup` again; it goes on from here. Full log: {log_name}\n{tail}")


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Say what is being done, and then how long it took."""
    print(f"  {name} ...", end="", flush=True)
    begun = time.monotonic()
    yield
    print(f" {time.monotonic() - begun:.1f} s", flush=True)


@contextlib.contextmanager
def _alone(checkout: Checkout) -> Iterator[None]:
    """Hold the checkout's set-up lock: two `make` commands started together install once. The kernel lets go of it if we die."""
    checkout.log.parent.mkdir(parents=True, exist_ok=True)
    with (checkout.state / "setup.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up of this checkout is running; waiting for it.", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def digest(files: Sequence[Path]) -> str:
    """Hash of the names and contents of files.

    Raises:
        SetupError: one is missing.
    """
    state = hashlib.sha256()
    for path in files:
        if not path.exists():
            raise SetupError(f"{path.name} is missing from the checkout; restore it with `git checkout -- {path.name}`.")
        state.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


def _read_stamp(path: Path) -> dict[str, object]:
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(path: Path, stamp: Mapping[str, object]) -> None:
    path.write_text(json.dumps(stamp), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
