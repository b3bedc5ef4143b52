"""Azurite, the storage emulator: on disk for people, in memory for tests.

Stopping matters: Azurite saves its metadata every few seconds and when it gets SIGTERM; after SIGKILL the last seconds are gone.
"""

from __future__ import annotations

import http.client
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.bootstrap import ROOT, Checkout
from tools.node import find_node
from tools.stack.child import Child, StackError
from tools.stack.ports import LOOPBACK, is_free

USUAL_PORTS = (10000, 10001, 10002)
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The same well-known key on every emulator in the world; it protects nothing."""

ANY_PORTS = (0, 0, 0)
"""Azurite picks three free ports by itself, which nobody can take from it."""

_SLOWEST_START_SECONDS = 60
_LISTENING = re.compile(rf"Azurite (Blob|Queue|Table) service is successfully listening at http://{re.escape(LOOPBACK)}:(\d+)\s")


@dataclass(frozen=True)
class Endpoints:
    """Where one Azurite listens, on loopback."""

    blob: int
    queue: int
    table: int

    @property
    def connection_string(self) -> str:
        """What goes into `AzureWebJobsStorage`."""
        services = {"Blob": self.blob, "Queue": self.queue, "Table": self.table}
        addresses = "".join(f"{name}Endpoint=http://{LOOPBACK}:{port}/{ACCOUNT};" for name, port in services.items())
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};{addresses}"


class Azurite:
    """A running Azurite whose three services answer. Use it as a context manager, or call `stop`."""

    def __init__(self, child: Child, endpoints: Endpoints) -> None:
        self.child = child
        self.endpoints = endpoints

    @classmethod
    def start(cls, *, log: Path, location: Path | None = None, ports: Sequence[int] = ANY_PORTS, checkout: Path = ROOT) -> Self:
        """Start Azurite and wait until blob, queue and table answer.

        Args:
            log: file for its output.
            location: folder that keeps its data; None keeps everything in memory.
            ports: for blob, queue and table; used if all three are free, else it picks its own.
            checkout: the checkout whose set-up installed Azurite.

        Raises:
            StackError: it is not installed, or did not come up.
        """
        command = _command(checkout, location)
        environment = {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
        for wanted in [ports, ANY_PORTS] if all(map(is_free, ports)) else [ANY_PORTS]:
            child = Child("Azurite", [*command, *_port_options(wanted)], log=log, environment=environment, folder=location or log.parent)
            try:
                endpoints = _wait_until_it_answers(child)
            except BaseException:
                child.stop()
                raise
            if endpoints is not None:
                return cls(child, endpoints)
        raise StackError(f"Azurite (the storage emulator) found no free port on {LOOPBACK}.")

    @property
    def connection_string(self) -> str:
        """What goes into `AzureWebJobsStorage`."""
        return self.endpoints.connection_string

    def stop(self) -> None:
        """Ask it to save and end. Waits as long as saving a large store takes."""
        self.child.stop(patience_seconds=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def _command(root: Path, location: Path | None) -> list[str]:
    checkout = Checkout(root)
    node = find_node(checkout.site_packages())
    if node is None or not checkout.azurite_program.is_file():
        raise StackError("Azurite (the storage emulator) is not installed in this checkout. Run `make setup`.")
    options = ["--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    if location is None:
        options.append("--inMemoryPersistence")
    else:
        location.mkdir(parents=True, exist_ok=True)
        options += ["--location", str(location)]
    return [str(node.program), str(checkout.azurite_program), *options]


def _port_options(ports: Sequence[int]) -> list[str]:
    names = ("blob", "queue", "table")
    return [word for name, port in zip(names, ports, strict=True) for word in (f"--{name}Host", LOOPBACK, f"--{name}Port", str(port))]


def _wait_until_it_answers(child: Child) -> Endpoints | None:
    """Where its three services listen; None when another program was quicker to take a port.

    The ports are read from its own log: an answer alone could come from another Azurite.

    Raises:
        StackError: it ended for another reason, or is silent for too long.
    """
    deadline = time.monotonic() + _SLOWEST_START_SECONDS
    while True:
        ended = child.exit_code is not None  # before reading, so that its last words are all there
        said = child.log.read_text(encoding="utf-8", errors="replace")
        if "EADDRINUSE" in said:
            child.stop()
            return None
        if ended:
            raise StackError(f"Azurite (the storage emulator) did not start: {child.how_it_ended()}.\n{child.tail()}")
        ports = {name.lower(): int(port) for name, port in _LISTENING.findall(said)}
        if len(ports) == 3 and all(map(answers, ports.values())):
            return Endpoints(**ports)
        if time.monotonic() > deadline:
            raise StackError(
                f"Azurite (the storage emulator) did not answer within {_SLOWEST_START_SECONDS} s. Its log: {child.log}\n{child.tail()}"
            )
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether something on this loopback port speaks HTTP; any status counts."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", f"/{ACCOUNT}?comp=list")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
