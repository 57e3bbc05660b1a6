# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings the service up, keeps it going, takes it down."""

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tmem_host.control.errors import CallRefused
from tmem_host.control.paths import SYSTEM_SOCKET, user_run_directory
from tmem_host.native import Engine, Scrubber, Server, TmemError
from tmem_host.service.channels import Channel, Channels
from tmem_host.service.config import ClientConfig, Config, load
from tmem_host.service.control import ControlSocket
from tmem_host.service.dispatch import Dispatcher
from tmem_host.service.domains import Domains
from tmem_host.service.exporter import exporter
from tmem_host.service.journal import Journal
from tmem_host.service.libvirt_link import LibvirtLink
from tmem_host.service.methods import Methods
from tmem_host.service.metrics import TmemCollector
from tmem_host.service.notify import notify, watchdog_seconds
from tmem_host.service.pressure import PressureWatch
from tmem_host.service.reload import later_keys
from tmem_host.service.settings import ConfigError

logger = logging.getLogger("tmem.service")


class Service:
    """One service: run() until told to stop."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.journal = Journal()
        self._link: LibvirtLink | None = None
        self._stopping = threading.Event()
        self._follower = threading.Thread(
            target=self._follow_events, name="tmem-events", daemon=True
        )
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT. TmemError, OSError: it could not be brought up."""
        self._loop = asyncio.get_running_loop()
        self._stop_asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop_asked.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload_asked)
        for folder in (self.config.arena.path.parent, self.config.state_directory):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            self._engine = stack.enter_context(self._open_engine())
            self._server = stack.enter_context(self._open_server())
            self._channels = Channels(self._server, self.config.state_directory)
            self._open_channels()
            collector = TmemCollector(self._engine, self._server, self._about()["version"])
            stack.enter_context(exporter(self.config.metrics, collector, self._tell))
            if self.config.libvirt.uri is not None:
                self._link = self._follow_libvirt(self.config.libvirt.uri)
                stack.callback(self._link.stop)
            if self.config.arena.scrub:
                stack.enter_context(Scrubber(self._engine))
            self._pressure = PressureWatch(
                self._engine, self.config.pressure, self.config.arena.budget, self._tell
            )
            stack.callback(self._pressure.stop)
            await self._serve()

    async def _serve(self) -> None:
        methods = Methods(
            self._engine,
            self._server,
            self._channels,
            self.journal,
            tell=self._tell,
            about=self._about(),
            set_budget=self._pressure.set_budget,
            link=self._link,
        )
        self._dispatcher = Dispatcher(methods)
        path = self.config.control.socket or default_control_socket()
        control = ControlSocket(path, self.config.control.group, self._call, self.journal)
        await control.start()
        self._pressure.start()
        self._follower.start()
        watchdog = asyncio.create_task(_feed_watchdog())
        notify("READY=1", f"STATUS=serving {self.config.arena.path}")
        logger.info("serving arena=%s control=%s", self.config.arena.path, path)
        try:
            await self._stop_asked.wait()
        finally:
            notify("STOPPING=1")
            logger.info("stopping")
            watchdog.cancel()
            self._stopping.set()
            await control.stop()
            await asyncio.to_thread(self._follower.join)

    # ---- bringing up ---------------------------------------------------------------------

    def _open_engine(self) -> Engine:
        arena = self.config.arena
        engine = Engine(
            arena.path, budget_bytes=arena.budget, max_bytes=arena.max, extent_bytes=arena.extent
        )
        engine.set_policy(eviction=arena.eviction, admission=arena.admission)
        if arena.shared_auth_all:
            engine.shared_auth_all = True
        found = engine.recovery()
        logger.info("arena opened pages=%d damaged=%d", found.pages, found.damaged_records)
        return engine

    def _open_server(self) -> Server:
        server = self.config.server
        return Server(
            self._engine,
            self.config.state_directory / "sessions",
            workers=server.workers,
            lease_ms=server.lease,
            expel_ms=server.expel,
            giveup_ms=server.giveup,
            patience_ms=server.patience,
        )

    def _open_channels(self) -> None:
        for name, client in self.config.clients.items():
            self._open_client(name, client)
        for problem in self._channels.open_kept():
            self.journal.add("channel-failed", problem)

    def _open_client(self, name: str, client: ClientConfig) -> None:
        self._channels.open(configured_channel(name, client))
        found = self._engine.find_client(name)
        found.set(
            weight=client.weight,
            cap_bytes=client.cap,
            persistent_quota_bytes=client.persistent_quota,
            encoding=client.encoding,
            zstd_level=client.zstd_level,
            dedup=client.dedup,
            trust_group=client.trust_group,
        )
        for shared in client.uuids:
            found.auth_add(shared)

    def _follow_libvirt(self, uri: str) -> LibvirtLink:
        state = self.config.state_directory
        domains = Domains(self._engine, self._server, self._channels, state, self._tell)
        link = LibvirtLink(uri, domains, self._tell)
        link.start()
        return link

    def _about(self) -> dict[str, Any]:
        return {
            "version": importlib.metadata.version("kvm-tmem"),
            "pid": os.getpid(),
            "arena": str(self.config.arena.path),
            "config": str(self.config.source) if self.config.source else None,
        }

    # ---- while it serves -----------------------------------------------------------------

    async def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        try:
            return await asyncio.to_thread(self._dispatcher.call, name, arguments)
        except CallRefused:
            raise
        except (TmemError, OverflowError, ValueError, OSError) as error:
            raise CallRefused(str(error), "failed") from None
        except Exception:
            logger.exception("method %s failed", name)
            raise CallRefused(f"{name} failed; the service's log says why", "failed") from None

    def _tell(self, kind: str, text: str, client: str | None = None) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(self.journal.add, kind, text, client)

    def _follow_events(self) -> None:
        while not self._stopping.is_set():
            event = self._server.next_event(timeout_s=0.5)
            if event is not None:
                kind = event.kind.name.lower().replace("_", "-")
                self._tell(kind, event.detail or f"code {event.code}", event.client or None)

    # ---- SIGHUP --------------------------------------------------------------------------

    def _reload_asked(self) -> None:
        task = asyncio.create_task(self._reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self) -> None:
        """One after the other, and beside the event loop: shrinking takes its time."""
        async with self._reloading:
            if self.config.source is None:
                self.journal.add("reload", "there is no configuration file to read again")
                return
            notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                new = load(self.config.source)
                await asyncio.to_thread(self._take, new)
            except (ConfigError, TmemError, ValueError, OSError) as error:
                self.journal.add("reload-failed", f"nothing more was taken over: {error}")
            notify("READY=1")

    def _take(self, new: Config) -> None:
        old = self.config
        logging.getLogger("tmem").setLevel(new.log_level.upper())
        if new.arena.budget != old.arena.budget:
            self._pressure.set_budget(new.arena.budget)
        if new.pressure != old.pressure:
            self._pressure.configure(new.pressure)
        self._engine.set_policy(eviction=new.arena.eviction, admission=new.arena.admission)
        if new.arena.shared_auth_all != old.arena.shared_auth_all:
            self._engine.shared_auth_all = new.arena.shared_auth_all
        stay = [configured_channel(*item) for item in new.clients.items()]
        for name, client in old.clients.items():
            if (channel := configured_channel(name, client)) not in stay:
                self._channels.close(channel)
        for name, client in new.clients.items():
            self._open_client(name, client)
        # not before all of it was taken over: what was not is tried again the next time
        self.config = new
        self._tell("reload", later_keys(old, new) or "everything taken over")


def configured_channel(name: str, client: ClientConfig) -> Channel:
    """The channel that a section of the configuration asks for."""
    return Channel(
        name,
        str(client.listen or client.connect),
        client.listen is not None,
        client.mode,
        client.peer_uid,
    )


def default_control_socket() -> Path:
    """Where a service of this user listens when its configuration does not say."""
    return SYSTEM_SOCKET if os.getuid() == 0 else user_run_directory() / "control.sock"


async def _feed_watchdog() -> None:
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds)
