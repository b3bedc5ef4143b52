"""`devhost instances`: what the task hub of a running host holds, through its management API."""

from __future__ import annotations

import argparse
from typing import Any


def add_instances_parser(commands: Any) -> None:
    commands.add_parser("instances")


def run_instances(arguments: argparse.Namespace) -> int:
    return 2
