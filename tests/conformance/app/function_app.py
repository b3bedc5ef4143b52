"""The app that the conformance scenarios run on: the recorded scenarios' own app, and what the checklist needs beside it.

Start it with any host (`func start`, `python -m devhost start`) and give that host's address to `make conformance HOST_URL=…`.
"""

import importlib.util
import pathlib

import scenarios
import web

_recorded = importlib.util.spec_from_file_location(
    "recorded_scenarios", pathlib.Path(__file__).resolve().parents[1] / "golden" / "function_app.py"
)
assert _recorded is not None and _recorded.loader is not None  # noqa: PT018 - the file is there or nothing works
_module = importlib.util.module_from_spec(_recorded)
_recorded.loader.exec_module(_module)

app = _module.app
app.register_functions(scenarios.blueprint)
app.register_functions(web.blueprint)
