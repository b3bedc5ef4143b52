"""The command line: `start`, `check`, `instances`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from devhost.errors import StartError


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="devhost", description="A local host for Azure Functions apps in Python (v2 model), Durable Functions included."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    start = commands.add_parser("start", help="run the app until Ctrl-C")
    _app_argument(start)
    start.add_argument(
        "--port", type=_port, help="port to serve on 127.0.0.1; 0 picks a free one (default: local.settings.json, else 7071)"
    )
    start.add_argument("--workers", type=_positive, default=None, help="worker processes (default: FUNCTIONS_WORKER_PROCESS_COUNT, else 1)")
    start.add_argument("--storage", metavar="CONNECTION", help="storage connection string, in place of AzureWebJobsStorage")
    start.add_argument("--enable-auth", action="store_true", help="ask for keys, as the host in Azure does")
    start.add_argument("--keys", type=Path, metavar="FILE", help="where the keys are kept (made when missing)")
    start.add_argument("--cors", metavar="ORIGINS", help="origins whose pages may call from a browser, separated by commas; * for all")
    start.add_argument("--json-logs", action="store_true", help="write logs as JSON, one object a line")
    start.add_argument("--verbose", action="store_true", help="log every invocation and the host's own steps")
    start.add_argument("--watch", action="store_true", help="reload when a source or settings file changes")
    start.add_argument("--ready-file", type=Path, metavar="PATH", help='write {"port", "pid", "rpc_port"} here once the host is ready')
    start.add_argument(
        "--worker-memory", type=_megabytes, metavar="MB", help="replace a worker that occupies more, once its calls are finished"
    )
    _worker_arguments(start)

    check = commands.add_parser("check", help="load the app and report everything the real host would refuse")
    _app_argument(check)
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    _worker_arguments(check)

    from devhost.instances import add_instances_parser

    add_instances_parser(commands)
    return parser


def _app_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--app", type=Path, default=Path(), metavar="DIR", help="the app's folder (default: the current one)")


def _worker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--python", metavar="INTERPRETER", help="interpreter of the app's environment (default: this one)")
    parser.add_argument(
        "--load-timeout", type=_seconds, default=60.0, metavar="SECONDS", help="how long the app may take to load (default: 60)"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time from 0.1 to 3600 seconds")
    return seconds


def _megabytes(text: str) -> int:
    if not text.isdecimal() or int(text) < 32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of megabytes, 32 or more")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)


def _start(arguments: argparse.Namespace) -> int:
    from devhost.host import Host, HostOptions
    from devhost.job_host import WorkerOptions

    given = os.environ.get("FUNCTIONS_WORKER_PROCESS_COUNT", "")
    workers = arguments.workers or (int(given) if given.isdecimal() and 1 <= int(given) <= 64 else 1)
    options = HostOptions(
        app_dir=arguments.app.resolve(),
        port=arguments.port,
        workers=WorkerOptions(
            count=workers,
            python=arguments.python or sys.executable,
            load_seconds=arguments.load_timeout,
            memory_mb=arguments.worker_memory,
        ),
        storage=arguments.storage,
        enable_auth=arguments.enable_auth,
        json_logs=arguments.json_logs,
        verbose=arguments.verbose,
        watch=arguments.watch,
        keys_file=arguments.keys,
        ready_file=arguments.ready_file,
        cors=arguments.cors,
    )

    async def run() -> None:
        await Host(options, os.environ).run()

    asyncio.run(run())
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from devhost.check import run_check

    return asyncio.run(
        run_check(arguments.app.resolve(), os.environ, as_json=arguments.json, python=arguments.python, load_seconds=arguments.load_timeout)
    )


def _instances(arguments: argparse.Namespace) -> int:
    from devhost.instances import run_instances

    return run_instances(arguments)


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = build_parser().parse_args(argv)
    commands = {"start": _start, "check": _check, "instances": _instances}
    try:
        return commands[arguments.command](arguments)
    except StartError as error:
        print(f"devhost: {error}", file=sys.stderr)
        for detail in error.details:
            print(f"  - {detail}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
