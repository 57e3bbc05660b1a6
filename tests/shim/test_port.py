# SPDX-License-Identifier: GPL-2.0-or-later
"""The shim over a character device, as a virtio-serial port is one: it stays open while the host
comes and goes, begins where it stopped, and loses what nobody takes. A pseudo-terminal stands for
the port, and a relay between its other side and the server's socket for QEMU."""

from __future__ import annotations

import os
import pty
import select
import socket
import threading
import tty
from collections.abc import Callable, Iterator

import pytest

from tests.shim.conftest import Host
from tests.system.events import await_event, forget_events
from tmem_shim.abi import PAGE_BYTES, Event
from tmem_shim.records import Config
from tmem_shim.shim import Shim

OID = (1, 0, 0)
# The host has forgotten a message: the channel is taken for broken soon.
CONFIG = Config(hello_ms=100, get_ms=600_000, silent_ms=300)


class Port:
    """A port at `path`, and what QEMU does between it and the server."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._socket: socket.socket | None = None
        self._changed, self._change = os.pipe()
        self._cut_after: int | None = None  # bytes from the guest, then one message loses its end
        self._lock = threading.Lock()
        self._running = True
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def connect(self) -> None:
        """A new connection of the server, in the middle of whatever the guest is sending."""
        ours, theirs = socket.socketpair()
        self._host.server.adopt(theirs, client="guest")
        with self._lock:
            old, self._socket = self._socket, ours
        if old is not None:
            old.close()
        os.write(self._change, b"x")

    def lose_the_end_of_a_message(self, after_bytes: int) -> None:
        """Of what the guest sends from now on, half a message is lost behind so many bytes."""
        with self._lock:
            self._cut_after = after_bytes

    def close(self) -> None:
        self._running = False
        os.write(self._change, b"x")
        self._thread.join()
        for fd in (self._master, self._slave, self._changed, self._change):
            os.close(fd)
        if self._socket is not None:
            self._socket.close()

    def _relay(self) -> None:
        while self._running:
            with self._lock:
                host = self._socket
            fds: list[int | socket.socket] = [self._master, self._changed]
            fds += [host] if host else []
            try:
                ready, _, _ = select.select(fds, [], [])
                if self._changed in ready:
                    os.read(self._changed, 1)
                    continue
                if self._master in ready:
                    data = self._cut(os.read(self._master, 32 * 1024))
                    if host is not None:
                        host.sendall(data)
                if host in ready and host is not None:
                    self._to_guest(host.recv(32 * 1024))
            except (OSError, ValueError):
                continue  # the connection was replaced

    def _to_guest(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._master, data) :]

    def _cut(self, data: bytes) -> bytes:
        with self._lock:
            after = self._cut_after
            if after is None:
                return data
            if after >= len(data):
                self._cut_after = after - len(data)
                return data
            self._cut_after = None
            return data[:after] + data[after + 2000 :]


@pytest.fixture
def port(host: Host) -> Iterator[Callable[[], Port]]:
    made = Port(host)
    yield lambda: made
    made.close()


@pytest.fixture
def shim(host: Host, port: Callable[[], Port]) -> Iterator[Shim]:
    with Shim(port().path, config=CONFIG) as made:
        yield made


def test_a_host_that_comes_later(shim: Shim, port: Callable[[], Port]) -> None:
    """What was said before it came is lost, and said again."""
    while shim.counters()["hellos"] < 2:
        shim.next_event(0.05)
    port().connect()
    shim.wait(60)
    pool = shim.new_pool(persistent=True)
    pool.wait_ready()
    data, into = os.urandom(100 * PAGE_BYTES), bytearray(100 * PAGE_BYTES)
    assert all(pool.put_run(OID, 0, 100, data))
    assert all(pool.get_run(OID, 0, 100, into))
    assert into == data


@pytest.mark.parametrize("after_bytes", [10, 4168 * 3 + 100, 4168 * 5])
def test_a_message_that_lost_its_end(
    shim: Shim, port: Callable[[], Port], after_bytes: int
) -> None:
    """The host waits for the rest, and finds the next beginning in spite of that."""
    port().connect()
    shim.wait(60)
    pool = shim.new_pool(persistent=True)
    pool.wait_ready()
    data, into = os.urandom(8 * PAGE_BYTES), bytearray(8 * PAGE_BYTES)
    forget_events(shim)
    port().lose_the_end_of_a_message(after_bytes)
    put = pool.put_run(OID, 0, 8, data)
    await_event(shim, Event.RESUMED)
    there = pool.get_run(OID, 0, 8, into)
    assert there == [bool(answer) for answer in put]
    for i in range(8):
        if there[i]:
            page = slice(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)
            assert into[page] == data[page]


def test_a_host_that_connects_anew_in_the_middle(shim: Shim, port: Callable[[], Port]) -> None:
    """The guest is not told, as when its port's other end is closed and opened again at once."""
    port().connect()
    shim.wait(60)
    pool = shim.new_pool(persistent=True)
    pool.wait_ready()
    assert pool.put(OID, 0, bytes([1]) * PAGE_BYTES)
    for _ in range(3):
        forget_events(shim)
        port().connect()
        assert pool.read(OID, 0) == bytes([1]) * PAGE_BYTES
        await_event(shim, Event.RESUMED)


def test_what_a_guest_left_in_the_port_is_passed_over(host: Host, port: Callable[[], Port]) -> None:
    """A guest that was reset in the middle of a message: the next one begins behind it."""
    port().connect()
    with Shim(port().path, config=CONFIG) as first:
        first.wait(60)
        port().lose_the_end_of_a_message(100)
        pool = first.new_pool()
        pool.queue(OID, 0, bytes(PAGE_BYTES))
        first.close(orderly=False)
    with Shim(port().path) as second:
        second.wait(60)
        assert second.stat()["epoch"] == 2
        # Twelve of them are as long as what is missing; zeros come sooner.
        assert second.counters()["hellos"] < 8


def test_a_host_that_is_away_costs_nothing(shim: Shim) -> None:
    """Nobody spins while nobody is there; a HELLO each hello_ms is all."""
    while shim.counters()["hellos"] < 10:
        shim.next_event(0.05)
    transport = shim.transport()
    assert transport.writes <= 3 * shim.counters()["hellos"]
    assert transport.reads == 0
