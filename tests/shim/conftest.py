# SPDX-License-Identifier: GPL-2.0-or-later
"""Shims whose sockets end at a server in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tmem_host.native import Engine, Server
from tmem_shim.records import Config
from tmem_shim.shim import Shim

# Nothing is given up because this machine is busy elsewhere.
PATIENT = Config(get_ms=600_000, silent_ms=600_000)


class Host:
    """A server over an arena; clients are made when their socket is asked for."""

    def __init__(self, arena: Path, stack: ExitStack) -> None:
        self.arena = arena
        self._stack = stack
        self._sockets: dict[str, Path] = {}
        self.channels: dict[str, int] = {}

    def start(self, **options: Any) -> None:
        self.engine = self._stack.enter_context(Engine(self.arena, budget_bytes=64 << 20))
        self.engine.shared_auth_all = True
        state = self.arena.with_name("state")
        self.server = self._stack.enter_context(Server(self.engine, state, **options))
        for client, path in self._sockets.items():
            self.channels[client] = self.server.listen(path, client=client)

    def stop(self) -> None:
        self.server.close()
        self.engine.close()

    def socket(self, client: str = "guest") -> Path:
        if client not in self._sockets:
            self._sockets[client] = self.arena.with_name(f"socket-{client}")
            self.channels[client] = self.server.listen(self._sockets[client], client=client)
        return self._sockets[client]

    def shim(self, client: str = "guest", **options: Any) -> Shim:
        """A shim of `client`, with a session."""
        shim = Shim(self.socket(client), **{"config": PATIENT, **options})
        self._stack.callback(shim.close, orderly=False)
        shim.wait(60)
        return shim


@pytest.fixture
def make_host(arena_path: Path) -> Iterator[Callable[..., Host]]:
    """Starts a host with options of the server."""
    with ExitStack() as stack:

        def make(**options: Any) -> Host:
            host = Host(arena_path, stack)
            host.start(**options)
            return host

        yield make


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    return make_host(workers=1)
