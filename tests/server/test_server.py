# SPDX-License-Identifier: GPL-2.0-or-later
"""The server itself: its options, its state file, and its end."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.arenas import small_host, take_memory, why_no_mount
from tests.server.conftest import Host
from tmem_host.native import (
    ClosedError,
    Engine,
    Event,
    EventKind,
    NoSession,
    Server,
    ServerError,
    UnknownChannel,
)


def test_channels_and_clients_that_are_not_there(host: Host) -> None:
    with pytest.raises(UnknownChannel):
        host.server.remove_channel(99)
    with pytest.raises(NoSession):
        host.server.session("nobody")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"workers": 10_000}, "workers"),
        ({"lease_ms": 1001}, "lease"),
        ({"lease_ms": 500, "expel_ms": 400}, "less than the lease"),
        ({"lease_ms": 10, "expel_ms": 10_000}, "leases"),
        ({"lease_ms": 500, "giveup_ms": 1999}, "giving up"),
    ],
)
def test_options_that_cannot_be(arena_path: Path, options: dict[str, int], why: str) -> None:
    with (
        Engine(arena_path, budget_bytes=1 << 20) as engine,
        pytest.raises(ServerError, match=why),
    ):
        Server(engine, arena_path.with_name("state"), **options)


class _Attributes(ctypes.Structure):
    """What sched_getattr() fills in."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime_ns", ctypes.c_uint64),
        ("deadline_ns", ctypes.c_uint64),
        ("period_ns", ctypes.c_uint64),
    )


def _attributes(thread: int) -> _Attributes:
    found = _Attributes()
    number = {"x86_64": 315, "aarch64": 275}[os.uname().machine]
    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_uint(ctypes.sizeof(found))
    if libc.syscall(number, thread, ctypes.byref(found), size, 0) != 0:
        raise OSError(ctypes.get_errno(), "sched_getattr")
    return found


def test_workers_are_let_in_soon(make_host: Callable[..., Host]) -> None:
    """They take shorter slices than a thread of the same program that asks for nothing."""
    make_host(workers=1).guest()  # so it has begun to run
    ours = _attributes(0)
    if ours.runtime_ns == 0:
        pytest.skip(f"Linux {os.uname().release} knows no slices of threads: 6.12 does")
    threads = {
        Path(f"/proc/self/task/{thread}/comm").read_text().strip(): int(thread)
        for thread in os.listdir("/proc/self/task")
    }
    theirs = _attributes(threads["tmem-worker-0"])
    assert theirs.runtime_ns < ours.runtime_ns
    assert (theirs.policy, theirs.nice) == (ours.policy, ours.nice)


def test_a_state_file_of_another_arena(host: Host, arena_path: Path) -> None:
    with Engine(arena_path.with_name("other"), budget_bytes=1 << 20) as engine:
        with pytest.raises(ServerError, match="in use"):
            Server(engine, arena_path.with_name("state"))
        host.server.close()
        with pytest.raises(ServerError, match="another arena"):
            Server(engine, arena_path.with_name("state"))


@pytest.mark.skipif(why_no_mount() is not None, reason=str(why_no_mount()))
def test_no_room_for_the_state_file(host: Host, path: str) -> None:
    """A full tmpfs is a sentence, never SIGBUS."""
    host.stop()
    with small_host(1 << 20) as folder, Engine(host.arena, budget_bytes=8 << 20) as engine:
        ballast = take_memory(folder)
        with pytest.raises(ServerError, match="no room"):
            Server(engine, folder / "state")
        ballast.unlink()
        with Server(engine, folder / "state") as server:
            take_memory(folder)
            with pytest.raises(ServerError, match="no room"):
                server.listen(path, client="one too many")


def test_everything_raises_once_it_is_closed(host: Host, path: str) -> None:
    server = host.server
    host.engine.close()
    ours, theirs = socket.socketpair()
    for call in (
        lambda: server.listen(path, client="guest"),
        lambda: server.connect(path, client="guest"),
        lambda: server.adopt(theirs, client="guest"),
        lambda: server.remove_channel(1),
        lambda: server.session("guest"),
        server.next_event,
    ):
        with pytest.raises(ClosedError):
            call()
    assert ours.recv(1) == b""
    ours.close()
    assert [*server.events()] == []


def test_whoever_waits_for_events_is_let_go(host: Host) -> None:
    found: list[Event] = []
    waiter = threading.Thread(target=lambda: found.extend(host.server.events()))
    waiter.start()
    host.guest()
    while EventKind.SESSION_STARTED not in {event.kind for event in found}:
        time.sleep(0.01)
    host.server.close()
    waiter.join()
