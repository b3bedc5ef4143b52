"""The host process: its ports, its signals, its one job host at a time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import random
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from devhost.banner import print_functions
from devhost.errors import EXIT_HUB, EXIT_PORT, StartError
from devhost.http.app import call_web_hook
from devhost.http.message import Reply, Request
from devhost.http.server import HttpServer
from devhost.job_host import JobHost, WorkerOptions
from devhost.jsonc import SettingsError
from devhost.keys import Keys
from devhost.logs import configure_logging
from devhost.settings import DEFAULT_PORT, HostSettings, load_settings
from devhost.watch import changes

_log = logging.getLogger("Host.Startup")

_RPC_PORT = 17071
_RPC_PATH = "/durabletask"
_HTTP_GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """What the command line says."""

    app_dir: Path
    port: int | None = None
    """0 picks a free one; None takes local.settings.json's, else 7071."""
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    storage: str | None = None
    enable_auth: bool = False
    json_logs: bool = False
    verbose: bool = False
    watch: bool = False
    keys_file: Path | None = None
    ready_file: Path | None = None
    cors: str | None = None
    """Origins separated by commas, in place of local.settings.json's."""


class Host:
    """Runs an app until it is told to stop."""

    def __init__(self, options: HostOptions, environment: Mapping[str, str]) -> None:
        self._options = options
        self._environment = dict(environment)
        if options.storage is not None:
            self._environment["AzureWebJobsStorage"] = options.storage
        self._server = HttpServer(self._handle, leaves_bodies_unread=True)
        self._rpc_server = HttpServer(self._handle_rpc)
        self._rpc_port = 0
        self._port = 0
        self._job_host: JobHost | None = None
        self._is_serving = asyncio.Event()
        self._stop = asyncio.Event()
        self._keys = Keys()
        self._failure: StartError | None = None

    async def run(self) -> None:
        """Starts, serves, and stops on SIGTERM or SIGINT.

        Raises:
            StartError: it cannot start; nothing is left running.
        """
        settings = self._load_settings()
        configure_logging(settings.log_levels, as_json=self._options.json_logs, verbose=self._options.verbose)
        port = settings.local.port if self._options.port is None else self._options.port
        public_socket = reserve_port(DEFAULT_PORT if port is None else port)
        self._port = public_socket.getsockname()[1]
        self._keys = self._load_keys(settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            job_host = self._new_job_host(settings)
            if not await self._unless_stopped(job_host.prepare()):
                return
            self._job_host = job_host
            if job_host.is_durable:
                await self._open_rpc()
            await job_host.open(self._rpc_base)
            try:
                await self._server.listen_on(public_socket)
            except OSError as error:
                await job_host.close(drain_seconds=0)
                raise port_error(self._port, error) from None
            self._is_serving.set()
            self._announce(job_host)
            watchers = [loop.create_task(self._watch_hub())]
            watchers += [loop.create_task(self._watch_files())] if self._options.watch else []
            await self._stop.wait()
            for watcher in watchers:
                watcher.cancel()
            await self._shut_down()
            if self._failure is not None:
                raise self._failure
        finally:
            public_socket.close()
            await self._rpc_server.stop(grace_seconds=0)
            if self._options.ready_file is not None:
                self._options.ready_file.unlink(missing_ok=True)

    async def _unless_stopped(self, preparation: object) -> bool:
        """Waits for the job host's preparation; False when a signal came first."""
        assert asyncio.iscoroutine(preparation)
        task = asyncio.ensure_future(preparation)
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return False
        task.result()
        return True

    def _load_settings(self) -> HostSettings:
        try:
            settings = load_settings(self._options.app_dir, self._environment)
            if self._options.cors is None:
                return settings
            origins = tuple(origin.strip() for origin in self._options.cors.split(",") if origin.strip())
            return replace(settings, local=replace(settings.local, cors=origins))
        except SettingsError as error:
            raise StartError(str(error)) from None

    def _load_keys(self, settings: HostSettings) -> Keys:
        """Keys in memory as long as nobody has to present them; else from a file, so that they outlive a restart."""
        path = self._options.keys_file
        if path is None and self._options.enable_auth:
            state = Path(self._environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
            path = state / "devhost" / settings.host_id / "keys.json"
        try:
            return Keys.load(path) if path is not None else Keys()
        except SettingsError as error:
            raise StartError(str(error)) from None

    def _new_job_host(self, settings: HostSettings) -> JobHost:
        options = self._options
        return JobHost(
            settings, port=self._port, keys=self._keys, enable_auth=options.enable_auth, workers=options.workers
        )  # fmt: skip

    # Requests

    async def _handle(self, request: Request) -> Reply:
        await self._is_serving.wait()
        assert self._job_host is not None
        return await self._job_host.web.handle(request)

    async def _handle_rpc(self, request: Request) -> Reply:
        if not request.raw_path.lower().startswith(_RPC_PATH):
            return Reply(status=404)
        if self._job_host is None:
            return Reply(status=503)
        return await call_web_hook(self._job_host.handle_rpc, request, request.raw_path[len(_RPC_PATH) :] or "/")

    @property
    def _rpc_base(self) -> str:
        return f"http://127.0.0.1:{self._rpc_port}{_RPC_PATH}/"

    async def _open_rpc(self) -> None:
        """Opens the loopback port that the Durable client calls: the usual one, or one nearby when that is taken."""
        for port in (_RPC_PORT, *random.sample(range(30000, 31000), 10)):
            try:
                self._rpc_port = await self._rpc_server.listen(port)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                _log.info("Local port %d is taken; trying another for the durable client.", port)
        raise StartError("No local port for the durable client could be opened: 17071 and ten others are taken.", EXIT_PORT)

    # Life

    def _announce(self, job_host: JobHost) -> None:
        keys_file = self._keys.path if self._options.enable_auth else None
        if not self._options.json_logs:
            print_functions(job_host, self._port, keys_file)
        pool = job_host.pool
        _log.info("Host started: %d functions, pid %d, workers %s.", len(job_host.running_functions), os.getpid(), pool.worker_pids)
        if self._options.ready_file is not None:
            ready = {"port": self._port, "pid": os.getpid(), "rpc_port": self._rpc_port or None, "worker_pids": pool.worker_pids}
            temporary = self._options.ready_file.with_name(self._options.ready_file.name + ".new")
            temporary.write_text(json.dumps(ready))
            temporary.replace(self._options.ready_file)

    def _signalled(self) -> None:
        if self._stop.is_set():
            _log.warning("Stopping at once.")
            for pid in self._job_host.pool.worker_pids if self._job_host else []:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            os._exit(130)
        self._stop.set()

    async def _shut_down(self) -> None:
        _log.info("Stopping: running calls are finished first.")
        await self._server.stop(_HTTP_GRACE_SECONDS)
        assert self._job_host is not None
        await self._job_host.close()
        _log.info("Job host stopped.")

    async def _watch_hub(self) -> None:
        """Ends the host when another one has taken its task hub: it could start and run nothing any more."""
        while not self._stop.is_set():
            job_host = self._job_host
            assert job_host is not None
            lost = asyncio.ensure_future(job_host.hub_lost())
            await asyncio.wait({lost}, timeout=5)
            if lost.done():
                self._failure = StartError(
                    "The task hub of this host is another's now, or gone (the error above says which); stopping.", EXIT_HUB
                )
                self._stop.set()
            lost.cancel()

    async def _watch_files(self) -> None:
        """Puts a new job host in place whenever the app's files change; a broken app leaves the old one at work."""
        async for changed in changes(self._options.app_dir):
            _log.info("%s changed: reloading.", ", ".join(changed[:3]) + (" and others" if len(changed) > 3 else ""))
            try:
                await self._reload()
            except StartError as error:
                _log.error("%s%s The app keeps running as it was.", error, "".join(f"\n  - {text}" for text in error.details))
            except Exception:  # noqa: BLE001 - whatever goes wrong in a reload, the next one may mend it
                _log.exception("The app could not be reloaded.")

    async def _reload(self) -> None:
        settings = self._load_settings()
        job_host = self._new_job_host(settings)
        await job_host.prepare()
        old = self._job_host
        assert old is not None
        self._is_serving.clear()
        try:
            await old.close()
            self._job_host = job_host
            if job_host.is_durable and not self._rpc_port:
                await self._open_rpc()
            await job_host.open(self._rpc_base)
        finally:
            self._is_serving.set()
        self._announce(job_host)


def reserve_port(port: int) -> socket.socket:
    """Binds a loopback port without listening yet: connections are refused until the host is ready.

    Raises:
        StartError: it is taken.
    """
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio turns Nagle off for those that say TCP
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind(("127.0.0.1", port))
    except OSError as error:
        reserved.close()
        raise port_error(port, error) from None
    return reserved


def port_error(port: int, error: OSError) -> StartError:
    """Why a port cannot be opened, for the user."""
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"Port {port} is taken by another program; stop it, or choose another with --port (0 picks a free one).", EXIT_PORT
        )
    return StartError(f"Port {port} cannot be opened: {error.strerror}. --port names another.", EXIT_PORT)
