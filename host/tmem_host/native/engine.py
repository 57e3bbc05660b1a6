# SPDX-License-Identifier: GPL-2.0-or-later
"""An engine over one arena."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Self

from tmem_host.native import errors
from tmem_host.native._engine import ffi, lib
from tmem_host.native.abi import CLIENT_NAME_MAX_BYTES
from tmem_host.native.arena import encoded_path
from tmem_host.native.client import Client
from tmem_host.native.records import Counters, Recovery, ShrinkReport, Usage, record, text
from tmem_host.units import exact_size
from tmem_shim.handle import Handle

if TYPE_CHECKING:
    from tmem_host.native._engine import Array, tmem_client, tmem_engine, tmem_server


def _close(
    held: set[Handle[tmem_client]], servers: set[Handle[tmem_server]], engine: tmem_engine
) -> None:
    # No call of the engine runs here, so no reference can be added. Servers first: they hold
    # references of their own.
    for server in servers.copy():
        server.close()
    for handle in held.copy():
        handle.close()
    lib.tmem_engine_close(engine)


class Engine:
    """The engine over the arena at `path`, which is made when it is absent and `create` is set.

    `budget_bytes` is the arena memory it may hold at once; `max_bytes` (the most the budget can
    be raised to) and `extent_bytes` (unit of growing and shrinking) are fixed when the arena is
    made. 0 takes the engine's default for each. ArenaError says in one sentence why it cannot.

    A context manager; every method raises ClosedError once it is closed. Any thread may call any
    method at any time.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        budget_bytes: int = 0,
        max_bytes: int = 0,
        extent_bytes: int = 0,
        create: bool = True,
    ) -> None:
        options = ffi.new(
            "struct tmem_options *",
            {
                "budget_bytes": budget_bytes,
                "max_bytes": max_bytes,
                "extent_bytes": extent_bytes,
                "create": create,
            },
        )
        self.path = os.fspath(path)
        # One client's settings are read, changed and written under this lock.
        self.settings_lock = Lock()
        self._held: set[Handle[tmem_client]] = set()
        self._servers: set[Handle[tmem_server]] = set()
        opened = ffi.new("struct tmem_engine **")
        error = ffi.new("struct tmem_error *")
        code = lib.tmem_engine_open(encoded_path(path), options, opened, error)
        if code:
            raise errors.ArenaError(text(error.message), errno=-code, path=self.path)
        # Not a method: the handle would keep the engine alive.
        release = functools.partial(_close, self._held, self._servers)
        self._handle: Handle[tmem_engine] = Handle("the engine", opened[0], release)

    def __repr__(self) -> str:
        return f"<Engine over {self.path!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_handle"):  # else it could not be opened
            self.close()

    def close(self) -> None:
        """Stops the servers over this engine, ends running calls, releases every Client made from
        it and closes the arena, which keeps its pages. May be called again."""
        self._handle.close()

    # ---- clients -------------------------------------------------------------------------

    def create_client(self, name: str) -> Client:
        """Makes a client, durable until destroyed. ClientExists, BadClientName; ClientError with
        errno ENOMEM."""
        found = ffi.new("struct tmem_client **")
        with self._handle as engine:
            code = lib.tmem_client_create(engine, self._client_name(name), found)
            if code:
                raise self._no_client(code, name)
            return Client(self, found[0])

    def find_client(self, name: str) -> Client:
        """The client of that name. UnknownClient."""
        found = ffi.new("struct tmem_client **")
        with self._handle as engine:
            code = lib.tmem_client_find(engine, self._client_name(name), found)
            if code:
                raise self._no_client(code, name)
            return Client(self, found[0])

    def clients(self) -> list[Client]:
        """All clients by uid, each a reference of its own."""
        clients: list[Client] = []
        found = ffi.new("struct tmem_client **")
        uid = -1
        with self._handle as engine:
            while lib.tmem_client_next(engine, uid, found) == 0:
                clients.append(Client(self, found[0]))
                uid = clients[-1].uid
        return clients

    # ---- what it holds -------------------------------------------------------------------

    def usage(self) -> Usage:
        """What the host holds and could have back; exact when no operation runs."""
        usage = ffi.new("struct tmem_usage *")
        with self._handle as engine:
            lib.tmem_engine_usage(engine, usage)
        return record(Usage, usage)

    def counters(self) -> Counters:
        """Sums since the engine was opened, of clients that are gone too."""
        counters = ffi.new("struct tmem_counters *")
        with self._handle as engine:
            lib.tmem_engine_counters(engine, counters)
        return record(Counters, counters)

    def recovery(self) -> Recovery:
        """What opening the arena found, and what scrubbing has found since."""
        recovery = ffi.new("struct tmem_recovery *")
        with self._handle as engine:
            lib.tmem_engine_recovery(engine, recovery)
        return record(Recovery, recovery)

    def scrub(self, max_pages: int = 4096) -> int:
        """Verifies the contents of `max_pages` pages and of the rest of the last one's extent,
        going on where the last call stopped; damaged ones are dropped.

        Returns the pages looked at, 0 once the whole arena was seen.
        """
        with self._handle as engine:
            return lib.tmem_engine_scrub(engine, max_pages)

    # ---- what it may hold ----------------------------------------------------------------

    def set_budget(self, budget_bytes: int) -> ShrinkReport:
        """Sets the budget and, if less than what is resident, shrinks to it as far as possible.

        ArenaError, with nothing changed, if it is above the arena's `max_bytes`.
        """
        report = ffi.new("struct tmem_shrink_report *")
        with self._handle as engine:
            code = lib.tmem_engine_set_budget(engine, budget_bytes, report)
        if code:
            raise errors.ArenaError(
                f"{self.path}: a budget of {exact_size(budget_bytes)} is more than the"
                f" {exact_size(self.usage().max_bytes)} that it was made for",
                errno=-code,
                path=self.path,
            )
        return record(ShrinkReport, report)

    def shrink(self, bytes_: int) -> ShrinkReport:
        """Gives `bytes_` back to the host now, as far as possible; the budget stays."""
        report = ffi.new("struct tmem_shrink_report *")
        with self._handle as engine:
            lib.tmem_engine_shrink(engine, bytes_, report)
        return record(ShrinkReport, report)

    def set_policy(self, *, eviction: str | None = None, admission: str | None = None) -> None:
        """Sets the policies that are given, by name. TmemError with errno EINVAL for an unknown
        one."""
        names = [ffi.NULL if name is None else name.encode() for name in (eviction, admission)]
        with self._handle as engine:
            code = lib.tmem_engine_set_policy(engine, *names)
        if code:
            message = f"no such policy: eviction {eviction!r}, admission {admission!r}"
            raise errors.TmemError(message, errno=-code)

    @property
    def shared_auth_all(self) -> bool:
        """Whether every client may join every shared pool it names. Durable."""
        with self._handle as engine:
            return bool(lib.tmem_engine_shared_auth_all(engine))

    @shared_auth_all.setter
    def shared_auth_all(self, allow: bool) -> None:
        with self._handle as engine:
            code = lib.tmem_engine_set_shared_auth_all(engine, allow)
        if code:
            message = f"{self.path}: the switch could not be stored"
            raise errors.ArenaError(message, errno=-code, path=self.path)

    # ---- for Server ----------------------------------------------------------------------

    def serve(
        self, start: Callable[[tmem_engine], tmem_server], stop: Callable[[tmem_server], None]
    ) -> Handle[tmem_server]:
        """Starts a server that ends with the engine at the latest."""
        with self._handle as engine:
            handle = Handle("the server", start(engine), stop)
            self._servers.add(handle)
        return handle

    def end_serving(self, handle: Handle[tmem_server]) -> None:
        """Stops a server that serve() started."""
        handle.close()
        self._servers.discard(handle)

    # ---- for Trace -----------------------------------------------------------------------

    def use(self, call: Callable[[tmem_engine], int]) -> int:
        """What `call` returns; the engine stays open meanwhile."""
        with self._handle as engine:
            return call(engine)

    # ---- for Client ----------------------------------------------------------------------

    def hold(self, pointer: tmem_client) -> Handle[tmem_client]:
        """Takes over a reference that C gave, so that it ends with the engine at the latest."""
        handle = Handle("the client reference", pointer, lib.tmem_client_release)
        self._held.add(handle)
        return handle

    def let_go(self, handle: Handle[tmem_client]) -> None:
        """Ends a reference that hold() took over."""
        handle.close()
        self._held.discard(handle)

    def names(self, name: str, handle: Handle[tmem_client]) -> bool:
        """Whether `name` is still the name of the client behind `handle`."""
        found: Array[tmem_client] = ffi.new("struct tmem_client **")
        with self._handle as engine, handle as client:
            if lib.tmem_client_find(engine, self._client_name(name), found):
                return False
            lib.tmem_client_release(found[0])
            return found[0] == client

    def _client_name(self, name: str) -> bytes:
        encoded = name.encode("utf-8", "surrogateescape")
        if b"\0" in encoded:
            message = "a client name cannot contain a zero byte"
            raise errors.BadClientName(message, errno=errno.EINVAL, client=name)
        return encoded

    def _no_client(self, code: int, name: str) -> errors.ClientError:
        kind, message = {
            lib.TMEM_EEXIST: (errors.ClientExists, f"client {name!r} exists"),
            lib.TMEM_ENOENT: (errors.UnknownClient, f"there is no client {name!r}"),
            lib.TMEM_EINVAL: (errors.BadClientName, "a client name cannot be empty"),
            lib.TMEM_ENAMETOOLONG: (
                errors.BadClientName,
                f"a client name has at most {CLIENT_NAME_MAX_BYTES} bytes: {name!r}",
            ),
        }.get(code, (errors.ClientError, f"no client {name!r}: error {code}"))
        return kind(message, errno=-code, client=name)
