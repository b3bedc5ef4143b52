"""The list of functions printed at start, as developers know it."""

from __future__ import annotations

import sys
from pathlib import Path

from devhost.functions import FunctionMetadata
from devhost.http.router import route_text
from devhost.job_host import JobHost


def function_lines(functions: list[FunctionMetadata], base: str, prefix: str) -> list[str]:
    """One line for each function: HTTP functions first, with methods and URL, then the others with their trigger."""
    lines = []
    for function in sorted(functions, key=lambda f: (f.kind != "httpTrigger", f.name.lower())):
        if function.kind == "httpTrigger":
            methods = ",".join(str(method).upper() for method in function.trigger.get("methods") or ())
            route = f"{prefix}/{route_text(function)}" if prefix else route_text(function).removeprefix("/")
            lines.append(f"\t{function.name}: {f'[{methods}] ' if methods else ''}{base}/{route}")
        else:
            lines.append(f"\t{function.name}: {function.kind}")
    return lines


def print_functions(job_host: JobHost, port: int, keys_file: Path | None) -> None:
    """Prints the list to stdout."""
    prefix = job_host.settings.http.route_prefix
    lines = ["", "Functions:", ""]
    for line in function_lines(job_host.running_functions, f"http://localhost:{port}", prefix):
        lines += [line, ""]
    disabled = [function.name for function in job_host.functions if function.disabled]
    if disabled:
        lines += [f"Disabled: {', '.join(disabled)}", ""]
    if keys_file is not None:
        lines += [f"Keys are enforced; they are in {keys_file}", ""]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
