# SPDX-License-Identifier: GPL-2.0-or-later
"""A server over an arena on tmpfs, and guests that talk to it over sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.server.peer import Memory, Peer
from tmem_host.native import Engine, Server

SHARED = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


class Host:
    """Engine and server over one arena; both can be stopped and started again."""

    def __init__(self, arena: Path, stack: ExitStack) -> None:
        self.arena = arena
        self._stack = stack
        self._peers = 0

    def start(self, **options: Any) -> Server:
        self.engine = self._stack.enter_context(Engine(self.arena, budget_bytes=64 << 20))
        self.engine.shared_auth_all = True
        state = self.arena.with_name("state")
        self.server = self._stack.enter_context(Server(self.engine, state, **options))
        return self.server

    def stop(self) -> None:
        self.server.close()
        self.engine.close()

    def restart(self, **options: Any) -> Server:
        self.stop()
        return self.start(**options)

    def connect(self, client: str = "guest", memory: Memory | None = None) -> Peer:
        """A connection of `client`, without a session."""
        ours, theirs = socket.socketpair()
        self.server.adopt(theirs, client=client)
        self._peers += 1
        made = memory or Memory(client.encode().ljust(16, b"\0")[:16])
        peer = Peer(ours, made)
        self._stack.callback(peer.close)
        return peer

    def guest(self, client: str = "guest") -> Peer:
        """A connection of `client`, in a new epoch."""
        peer = self.connect(client)
        peer.begin()
        return peer

    def again(self, peer: Peer, client: str = "guest") -> Peer:
        """Another connection of the same guest; the old one is lost."""
        peer.close()
        return self.connect(client, peer.memory)


@pytest.fixture
def make_host(arena_path: Path) -> Iterator[Callable[..., Host]]:
    """Starts a host with options of the server; closes it when the test ends."""
    with ExitStack() as stack:

        def make(**options: Any) -> Host:
            host = Host(arena_path, stack)
            host.start(**options)
            return host

        yield make


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    return make_host(workers=1)


@pytest.fixture
def path(arena_path: Path) -> str:
    """Where a guest's socket may be."""
    return str(arena_path.with_name("guest.sock"))


@pytest.fixture
def peer(host: Host) -> Peer:
    return host.guest()
