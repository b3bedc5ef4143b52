"""Collecting definitions: importing a project's `pipelines/` and gathering the assets its modules declare.

Modules are read through a finder of our own, for three reasons: the project need not be the working directory; every load sees the files as
they are now, never a cached module or stale bytecode; and nothing is written into the user's folders. A module that cannot be loaded is one
problem among others: the rest is loaded and checked as well.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import threading
import traceback
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path

from tidemill.definitions.assets import AssetSpec
from tidemill.definitions.definitions import Definitions
from tidemill.definitions.resolve import Declared, resolve
from tidemill.errors import DefinitionError, DefinitionProblem, TidemillError

PACKAGE = "pipelines"
"""The folder, and the package, that holds one folder for each pipeline."""

_PIPELINE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_loading = threading.Lock()


def load_definitions(root: Path) -> Definitions:
    """Imports every module of every pipeline of a project and resolves what they declare.

    Effects: runs the modules. They replace those of an earlier load in `sys.modules`; functions of the earlier load keep working.

    Args:
        root: the project, which holds the folder `pipelines`.

    Raises:
        DefinitionError: with everything that is wrong, each with its file and line relative to `root`.
    """
    root = root.resolve()
    with _loading:
        return _load(root)


def _load(root: Path) -> Definitions:
    folder = root / PACKAGE
    if not folder.is_dir():
        hint = "Run from the project's folder, or make the folder `pipelines/<name>/` with a module that declares an asset."
        raise DefinitionError([DefinitionProblem("The project has no folder `pipelines`.", place=PACKAGE, hint=hint)])
    problems: list[DefinitionProblem] = []
    unloaded: list[Path] = []
    found: dict[int, Declared] = {}
    with _importing(root):
        for pipeline, module_name, path in _modules(root, problems):
            try:
                module = importlib.import_module(module_name)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit among it
                problem = _load_problem(error, path, root)
                if (problem.place, problem.message) not in {(each.place, each.message) for each in problems}:
                    problems.append(problem)
                unloaded.append(path)
            else:
                for spec in _declared(module):
                    found.setdefault(id(spec), Declared(spec, pipeline, _place(spec.file, spec.line, root)))
    assets, wrong = resolve(list(found.values()), _Excuse(unloaded))
    if problems or wrong:
        raise DefinitionError([*problems, *wrong])
    return Definitions.resolved(assets)


def _modules(root: Path, problems: list[DefinitionProblem]) -> Iterator[tuple[str, str, Path]]:
    """Pipeline, dotted name and file of every module below `pipelines/<name>/`, in order of their names."""
    for folder in sorted((root / PACKAGE).iterdir()):
        if not folder.is_dir() or folder.name.startswith((".", "__")):
            continue
        files = sorted(path for path in folder.rglob("*.py") if not any(part.startswith(".") for part in path.relative_to(root).parts))
        if files and not _PIPELINE.fullmatch(folder.name):
            place = folder.relative_to(root).as_posix()
            problems.append(
                DefinitionProblem(
                    f"`{folder.name}` cannot be the name of a pipeline.",
                    place=place,
                    hint="Use a word of a-z, 0-9 and _ that starts with a letter.",
                )
            )
            continue
        for path in files:
            parts = path.relative_to(root).with_suffix("").parts
            if all(part.isidentifier() for part in parts):
                yield folder.name, ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path
            else:
                place = path.relative_to(root).as_posix()
                problems.append(
                    DefinitionProblem(
                        f"`{path.name}` cannot be imported: its path is not made of Python names.",
                        place=place,
                        hint="Use letters, digits and _.",
                    )
                )


def _declared(module: types.ModuleType) -> Iterator[AssetSpec[..., object]]:
    """Assets among a module's values, and in its lists, tuples and dicts (for assets that are made in a loop)."""
    for value in list(vars(module).values()):
        if isinstance(value, AssetSpec):
            yield value
        elif isinstance(value, list | tuple | dict):
            for each in list(value.values() if isinstance(value, dict) else value):
                if isinstance(each, AssetSpec):
                    yield each


def _load_problem(error: BaseException, path: Path, root: Path) -> DefinitionProblem:
    """One sentence for a module that could not be loaded, at the line of the user's own code that is to blame."""
    shown = path.relative_to(root).as_posix()
    folder = str(root / PACKAGE)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(folder)]
    if isinstance(error, SyntaxError) and (error.filename or not frames):
        place = _place(error.filename or str(path), error.lineno or 1, root)
        return DefinitionProblem(f"This is not valid Python: {error.msg}.", place=place, hint="Nothing in this module could be read.")
    place = _place(frames[-1].filename, frames[-1].lineno or 1, root) if frames else f"{shown}:1"
    if isinstance(error, TidemillError):
        return DefinitionProblem(error.message, place=place, hint=error.hint)
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.split(".", 1)[0]
        hint = (
            "Check the spelling, or the file it should be in."
            if top == PACKAGE
            else f"Install the package that provides it, or check the spelling of `{top}`."
        )
        return DefinitionProblem(f"There is no module `{error.name}`.", place=place, hint=hint)
    text = " ".join(str(error).split()).replace(f"{root}{os.sep}", "")
    return DefinitionProblem(
        f"Loading `{shown}` failed with {type(error).__name__}{': ' if text else ''}{text.removesuffix('.')}.", place=place
    )


def _place(file: str, line: int, root: Path) -> str:
    path = Path(file)
    return f"{path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name}:{line}"


class _Excuse:
    """A missing name is excused if a module that could not be loaded mentions it: that module's problem is told already."""

    def __init__(self, unloaded: Sequence[Path]) -> None:
        self._text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in unloaded)

    def __call__(self, name: str) -> bool:
        spellings = {re.escape(name), re.escape(name).replace("_", "[._]")}
        return any(re.search(rf"(?<![\w.]){each}(?![\w.])", self._text) for each in spellings)


class _Loader(SourceFileLoader):
    """Compiles from source every time: bytecode caches look at whole seconds, so an edit right after a load would be missed."""

    def path_stats(self, path: str) -> dict[str, int]:
        """Says that there is nothing to compare a cache with."""
        raise OSError(path)


class _Finder(MetaPathFinder):
    """Finds `pipelines` and everything in it below one root."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002
        """Looks for a module file, then a package, then a folder without `__init__.py`."""
        if fullname.split(".", 1)[0] != PACKAGE:
            return None
        base = self._root.joinpath(*fullname.split("."))
        package = base / "__init__.py"
        if package.is_file():
            return importlib.util.spec_from_file_location(
                fullname, package, loader=_Loader(fullname, str(package)), submodule_search_locations=[str(base)]
            )
        file = base.with_suffix(".py")
        if file.is_file():
            return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, str(file)))
        if base.is_dir():
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(base)]
            return spec
        return None


@contextmanager
def _importing(root: Path) -> Iterator[None]:
    """Imports find this root's pipelines first, and other modules beside `pipelines/` too; earlier loads are forgotten."""
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    finder = _Finder(root)
    sys.meta_path.insert(0, finder)
    added = str(root) not in sys.path
    if added:
        sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if added and str(root) in sys.path:
            sys.path.remove(str(root))
