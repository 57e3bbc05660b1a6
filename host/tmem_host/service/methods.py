# SPDX-License-Identifier: GPL-2.0-or-later
"""The methods of the control protocol, as docs/control.md lists them.

They run in threads of their own, any number at once; engine and server are made for that. A client
is named by its name or, with libvirt connected, by uuid or id of its domain.
"""

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any

from tmem_host.control.errors import CallRefused
from tmem_host.native import (
    COUNTER_MEANINGS,
    Client,
    ClientGone,
    Encoding,
    EndReason,
    Engine,
    NoSession,
    Server,
    ShrinkReport,
    UnknownClient,
)
from tmem_host.service.channels import Channel, Channels
from tmem_host.service.dispatch import method
from tmem_host.service.journal import Journal, Tell
from tmem_host.service.libvirt_link import LibvirtLink
from tmem_host.service.recording import Recording
from tmem_host.service.views import as_map, client_line, client_whole, unserved_pools


class Methods:
    """Everything that tools can ask of the service."""

    def __init__(
        self,
        engine: Engine,
        server: Server,
        channels: Channels,
        journal: Journal,
        *,
        tell: Tell,
        about: dict[str, Any],
        set_budget: Callable[[int], ShrinkReport],
        link: LibvirtLink | None = None,
    ) -> None:
        self._link = link
        self._engine = engine
        self._server = server
        self._channels = channels
        self._journal = journal
        self._tell = tell
        self._about = about
        self._set_budget = set_budget
        self._started = time.monotonic()
        self._recording = Recording(server, tell)

    # ---- the service ---------------------------------------------------------------------

    @method("service.info")
    def service_info(self) -> dict[str, Any]:
        """Version, process, uptime, arena, configuration file, libvirt's connection, channels."""
        return self._about | {
            "uptime_seconds": int(time.monotonic() - self._started),
            "shared_auth_all": self._engine.shared_auth_all,
            "libvirt": self._link.about() if self._link is not None else None,
            "channels": [
                {"client": channel.client, "path": channel.path, "listen": channel.listen}
                for channel in self._channels.all()
            ],
        }

    @method("events.recent")
    def events_recent(self, count: int = 100) -> list[dict[str, Any]]:
        """The newest events, oldest first."""
        return [event.as_map() for event in self._journal.recent(count)]

    @method("events.subscribe")
    def events_subscribe(self) -> bool:
        """From now on each event comes as a notification `event` on this connection."""
        return True

    # ---- the arena -----------------------------------------------------------------------

    @method("arena.usage")
    def arena_usage(self) -> dict[str, Any]:
        """What the arena holds, and what recovery found."""
        return as_map(self._engine.usage()) | {
            "unserved_pools": unserved_pools(self._engine, self._server),
            "recovery": as_map(self._engine.recovery()),
        }

    @method("arena.shrink")
    def arena_shrink(self, size: int) -> dict[str, Any]:
        """Gives so many bytes back to the host now; the budget stays."""
        report = as_map(self._engine.shrink(size))
        self._tell("shrink", f"{report['returned_bytes'] >> 20} MiB were given back", None)
        return report

    @method("arena.set_budget")
    def arena_set_budget(self, size: int) -> dict[str, Any]:
        """Sets the budget until the next start, and shrinks to it; under pressure it is less."""
        report = as_map(self._set_budget(size))
        self._tell("budget", f"the budget is {size >> 20} MiB", None)
        return report

    @method("stats")
    def stats(self, client: str | None = None) -> dict[str, Any]:
        """The counters of a client, or of all since the start, with their meanings."""
        source = self._client(client) if client is not None else self._engine
        return {"counters": as_map(source.counters()), "meanings": dict(COUNTER_MEANINGS)}

    # ---- clients -------------------------------------------------------------------------

    @method("client.list")
    def client_list(self) -> list[dict[str, Any]]:
        """All clients by number."""
        lines = []
        for client in self._engine.clients():
            with contextlib.suppress(ClientGone):  # meanwhile
                lines.append(client_line(self._server, client))
        return lines

    @method("client.info")
    def client_info(self, client: str) -> dict[str, Any]:
        """One client: settings, pages, session, pools, who is waited for."""
        return client_whole(self._server, self._client(client))

    @method("client.set")
    def client_set(
        self,
        client: str,
        *,
        weight: int | None = None,
        cap_bytes: int | None = None,
        persistent_quota_bytes: int | None = None,
        encoding: str | None = None,
        zstd_level: int | None = None,
        dedup: bool | None = None,
        trust_group: int | None = None,
        frozen: bool | None = None,
    ) -> dict[str, Any]:
        """Changes what is given, for good; returns all settings."""
        changes: dict[str, Any] = {
            "weight": weight,
            "cap_bytes": cap_bytes,
            "persistent_quota_bytes": persistent_quota_bytes,
            "zstd_level": zstd_level,
            "dedup": dedup,
            "trust_group": trust_group,
            "frozen": frozen,
        }
        if encoding is not None:
            if encoding not in ("raw", "lz4", "zstd"):
                raise CallRefused(f"{encoding!r} is no encoding: raw, lz4 or zstd", "usage")
            changes["encoding"] = Encoding[encoding.upper()]
        changes = {name: value for name, value in changes.items() if value is not None}
        if not changes:
            raise CallRefused("nothing to set was given", "usage")
        found = self._client(client)
        settings = as_map(found.set(**changes))
        told = ", ".join(f"{name} {settings[name]}" for name in changes)
        self._tell("set", told, found.name)
        return settings

    @method("client.flush")
    def client_flush(self, client: str, size: int | None = None) -> int:
        """Evicts so many bytes of the client's ephemeral pages, or all; returns the bytes freed.
        They stay in the arena until it is shrunk."""
        found = self._client(client)
        freed = found.reclaim(2**64 - 1 if size is None else size)
        self._tell("flush", f"{freed} bytes of ephemeral pages were evicted", found.name)
        return freed

    @method("client.add")
    def client_add(
        self,
        client: str,
        listen: str | None = None,
        connect: str | None = None,
        mode: int = 0o600,
        peer_uid: int | None = None,
    ) -> bool:
        """Makes a client and its channel, for good."""
        if (listen is None) == (connect is None):
            raise CallRefused("one of listen and connect is needed", "usage")
        path = listen or connect or ""
        if not path.startswith("/"):
            raise CallRefused(f"{path!r} is not an absolute path", "usage")
        self._channels.open(Channel(client, path, listen is not None, mode, peer_uid, kept=True))
        self._tell("client-added", f"channel {path}", client)
        return True

    @method("client.remove")
    def client_remove(self, client: str) -> bool:
        """Ends the client: its channels are closed, its pages dropped, its name free. Its
        persistent pages are lost, so tools ask first."""
        found = self._client(client)
        self._end_session(found.name, EndReason.REMOVED)
        self._channels.close_client(found.name)
        found.destroy()
        self._tell("client-removed", "its pages were dropped", found.name)
        return True

    @method("client.lost")
    def client_lost(self, client: str) -> bool:
        """Tells the client's guest that its pages are gone: who waits for one stops waiting."""
        name = self._client(client).name
        if not self._end_session(name, EndReason.PAGES_LOST):
            raise CallRefused(f"client {name!r} has no session", "state")
        self._tell("client-lost", "its guest is told that its pages are gone", name)
        return True

    # ---- shared pools --------------------------------------------------------------------

    @method("auth.add")
    def auth_add(self, client: str, uuid: str) -> bool:
        """Lets the client join the shared pool; false if it could already."""
        return self._client(client).auth_add(_uuid(uuid))

    @method("auth.remove")
    def auth_remove(self, client: str, uuid: str) -> bool:
        """Takes that right back; pools it has joined stay. False if there was none."""
        return self._client(client).auth_remove(_uuid(uuid))

    @method("auth.list")
    def auth_list(self, client: str) -> list[str]:
        """The uuids that the client may join."""
        return [str(shared) for shared in self._client(client).auth_list()]

    @method("auth.all")
    def auth_all(self, allow: bool) -> bool:
        """Lets every client join every shared pool, or ends that."""
        self._engine.shared_auth_all = allow
        self._tell("auth-all", "allowed" if allow else "ended", None)
        return allow

    # ---- the trace of operations ---------------------------------------------------------

    @method("trace.start")
    def trace_start(
        self,
        path: str,
        contents: bool = False,
        max_bytes: int = 0,
        keep_seconds: int | None = None,
    ) -> bool:
        """Records every operation in a new file of the service's, of at most so many bytes (0: any
        number), with the pages that are put if `contents`. With `keep_seconds`, ends by itself when
        trace.status is not asked for so long."""
        if not path.startswith("/"):
            raise CallRefused(f"{path!r} is not an absolute path", "usage")
        self._recording.start(path, contents, max_bytes, keep_seconds)
        return True

    @method("trace.stop")
    def trace_stop(self) -> dict[str, Any]:
        """Ends the recording; what was written and what was dropped."""
        return as_map(self._recording.stop())

    @method("trace.status")
    def trace_status(self) -> dict[str, Any]:
        """How far the recording is."""
        return as_map(self._recording.status())

    # ---- machines ------------------------------------------------------------------------

    @method("vm.call")
    def vm_call(self, name: str, arguments: dict[str, Any]) -> Any:
        """What `tmem vm` does, where the service has libvirt's embedded root open."""
        if self._link is None:
            raise CallRefused("no libvirt connection is configured (libvirt.uri)", "state")
        return self._link.call(name, arguments)

    # ---- inside --------------------------------------------------------------------------

    def _client(self, name: str) -> Client:
        domain, slash, channel = name.partition("/")
        known = self._link.name_of(domain) if self._link is not None else None
        for found in (name, (known or domain) + slash + channel):
            try:
                return self._engine.find_client(found)
            except UnknownClient:
                continue
        raise CallRefused(f"there is no client {name!r}", "unknown")

    def _end_session(self, name: str, reason: EndReason) -> bool:
        try:
            self._server.end_session(name, reason)
        except NoSession:
            return False
        return True


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise CallRefused(f"{text!r} is not a uuid", "usage") from None
