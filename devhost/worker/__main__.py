"""Starts a worker; run by its path, so that neither the host's folder nor anything beside it gets on the app's import path.

python .../devhost/worker/__main__.py SOCKET_FD APP_DIR LOAD_SECONDS
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def adopt(name: str, file: Path, folder: Path | None = None) -> None:
    """Makes a module importable without putting the folder it lies in on `sys.path`; `folder` if it is a package."""
    submodules = [str(folder)] if folder is not None else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=submodules)
    if spec is None or spec.loader is None:
        raise SystemExit(f"no module at {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


_HOME = Path(__file__).resolve().parents[1]
if sys.path and Path(sys.path[0] or ".").resolve() == Path(__file__).resolve().parent:
    del sys.path[0]
adopt("devhost", _HOME / "__init__.py", _HOME)
adopt("durable_quick_replay", _HOME.with_name("durable_quick_replay.py"))

from devhost.worker.process import main  # noqa: E402

main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
