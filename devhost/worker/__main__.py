"""Starts a worker; run by its path, so that neither the host's folder nor anything beside it gets on the app's import path.

python .../devhost/worker/__main__.py SOCKET_FD APP_DIR LOAD_SECONDS
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def adopt_devhost() -> None:
    """Makes `devhost` importable without putting the folder it lies in on `sys.path`."""
    package = Path(__file__).resolve().parents[1]
    if sys.path and Path(sys.path[0] or ".").resolve() == Path(__file__).resolve().parent:
        del sys.path[0]
    spec = importlib.util.spec_from_file_location("devhost", package / "__init__.py", submodule_search_locations=[str(package)])
    if spec is None or spec.loader is None:
        raise SystemExit(f"no package at {package}")
    module = importlib.util.module_from_spec(spec)
    sys.modules["devhost"] = module
    spec.loader.exec_module(module)


adopt_devhost()

from devhost.worker.process import main  # noqa: E402

main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
