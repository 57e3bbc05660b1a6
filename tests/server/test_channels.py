# SPDX-License-Identifier: GPL-2.0-or-later
"""Where connections come from: listening, connecting, adopting; who may; and what goes wrong."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import peer as p
from tests.server.conftest import Host
from tests.server.peer import Ended, Memory, Peer, page_of
from tmem_host.native import (
    Event,
    EventKind,
    ServerError,
    UnknownChannel,
)

PATIENCE_S = 60.0


@pytest.fixture
def connect(path: str) -> Iterator[Callable[[], Peer]]:
    """Connects to where the server listens."""
    with contextlib.ExitStack() as stack:
        memory = Memory(b"a guest's boot id")

        def connect_() -> Peer:
            peer = Peer.connect(path, memory)
            stack.callback(peer.close)
            return peer

        memory.boot_id = memory.boot_id[:16]
        yield connect_


def event(host: Host, kind: EventKind) -> Event:
    """The next event of that kind."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        found = host.server.next_event(1)
        if found is not None and found.kind == kind:
            return found
    raise AssertionError(f"no event {kind!r}")


def works(peer: Peer) -> None:
    peer.begin(session=peer.memory.session)
    pool = peer.new_pool(persistent=True)
    assert peer.put(pool, 1, page_of(1)) == p.DONE
    assert peer.get(pool, 1) == page_of(1)


# ---- listening ----------------------------------------------------------------------------


def test_a_server_listens(host: Host, path: str, connect: Callable[[], Peer]) -> None:
    host.server.listen(path, client="guest")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    first, second = connect(), connect()
    works(first)
    works(second)
    host.server.close()
    assert not os.path.exists(path)


def test_rights_of_the_socket(host: Host, path: str) -> None:
    host.server.listen(path, client="guest", mode=0o660)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    with pytest.raises(ServerError, match="rights"):
        host.server.listen(path + "2", client="guest", mode=0o1777)


def test_a_stale_socket_is_replaced(host: Host, path: str, connect: Callable[[], Peer]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(path)
    host.server.listen(path, client="guest")
    works(connect())


def test_one_that_is_listened_at_is_not(host: Host, path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(path)
        other.listen()
        with pytest.raises(ServerError, match="somebody listens") as error:
            host.server.listen(path, client="guest")
        assert error.value.errno == 98
    assert os.path.exists(path)


def test_what_is_no_socket_stays(host: Host, path: str) -> None:
    Path(path).write_text("precious")
    with pytest.raises(ServerError, match="no socket"):
        host.server.listen(path, client="guest")
    assert Path(path).read_text() == "precious"


def test_a_socket_that_another_has_put_in_its_place_stays(host: Host, path: str) -> None:
    channel = host.server.listen(path, client="guest")
    os.unlink(path)
    Path(path).write_text("another's")
    host.server.remove_channel(channel)
    assert Path(path).read_text() == "another's"


def test_paths_that_cannot_be(host: Host, path: str) -> None:
    with pytest.raises(ServerError):
        host.server.listen("/no/such/folder/socket", client="guest")
    with pytest.raises(ServerError):
        host.server.listen("", client="guest")
    with pytest.raises(ValueError, match="107"):
        host.server.listen("/tmp/" + "a" * 120, client="guest")
    with pytest.raises(ServerError, match="name"):
        host.server.listen(path, client="")
    with pytest.raises(ValueError, match="client name"):
        host.server.listen(path, client="a" * 200)


def test_no_file_descriptor_left(host: Host, path: str) -> None:
    """A peer that cannot be accepted now is accepted later, and nobody spins meanwhile."""
    host.server.listen(path, client="guest")
    waiting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.closing(Peer(waiting, Memory(bytes(16)))) as peer:
        resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 1, limits[1]))
        try:
            waiting.connect(path)
            before, worked = time.monotonic(), time.process_time()
            time.sleep(0.3)
            # a loop that is woken again and again works all the time that it gets
            assert time.process_time() - worked < (time.monotonic() - before) / 2
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        works(peer)


# ---- who may ------------------------------------------------------------------------------


@pytest.mark.parametrize("expected", [{"peer_pid": 1}, {"peer_uid": 54321}])
def test_a_peer_that_is_not_the_expected_one(
    host: Host, path: str, connect: Callable[[], Peer], expected: dict[str, Any]
) -> None:
    host.server.listen(path, client="guest", **expected)
    peer = connect()
    with pytest.raises((Ended, OSError)):
        peer.hello()
    refused = event(host, EventKind.REFUSED_PEER)
    assert refused.client == "guest"
    assert f"process {os.getpid()} of user {os.geteuid()}" in refused.detail


def test_the_expected_peer(host: Host, path: str, connect: Callable[[], Peer]) -> None:
    host.server.listen(path, client="guest", peer_pid=os.getpid(), peer_uid=os.geteuid())
    works(connect())


# ---- connecting ---------------------------------------------------------------------------


def accepted(listener: socket.socket, memory: Memory) -> Peer:
    listener.settimeout(PATIENCE_S)
    return Peer(listener.accept()[0], memory)


def test_a_server_connects_to_where_a_machine_listens(host: Host, path: str) -> None:
    """Whoever comes first; and again when the connection is lost."""
    memory = Memory(b"0123456789abcdef")
    channel = host.server.connect(path, client="guest")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)
        for _ in range(3):
            with contextlib.closing(accepted(listener, memory)) as peer:
                works(peer)
        with contextlib.closing(accepted(listener, memory)) as peer:
            works(peer)
            host.server.remove_channel(channel)
            with pytest.raises(Ended):
                peer.receive()
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert host.server.session("guest").epoch == 1


def test_a_machine_that_hangs_up_at_once_is_not_hammered(host: Host, path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(100)
        host.server.connect(path, client="guest")
        listener.settimeout(0.7)
        count = 0
        with contextlib.suppress(TimeoutError):
            while count < 100:
                listener.accept()[0].close()
                count += 1
    # waits of 10, 20, 40, ... ms
    assert count < 20


def test_a_connection_over_which_nothing_comes_is_replaced(host: Host, tmp_path: Path) -> None:
    """QEMU may have stopped looking at the port. It is no event; and one that was used is kept."""
    peers = {}
    with contextlib.ExitStack() as stack:
        for client in ("idle", "silent"):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(str(tmp_path / client))
            listener.listen(1)
            host.server.connect(tmp_path / client, client=client)
            peer = accepted(listener, Memory(client.encode().ljust(16, b".")))
            peers[client] = stack.enter_context(contextlib.closing(peer))
        works(peers["idle"])
        with contextlib.closing(accepted(listener, peers["silent"].memory)) as again:
            with pytest.raises(Ended):
                peers["silent"].receive()
            works(again)
            events = list(iter(host.server.next_event, None))
        assert peers["idle"].get(peers["idle"].new_pool(), 1) is None
    assert [event.kind for event in events if event.client == "silent"] == [
        EventKind.CONNECTED,
        EventKind.SESSION_STARTED,
    ]


# ---- adopting -----------------------------------------------------------------------------


def test_an_adopted_channel_goes_with_its_connection(host: Host) -> None:
    ours, theirs = socket.socketpair()
    channel = host.server.adopt(theirs, client="guest")
    with contextlib.closing(Peer(ours, Memory(bytes(16)))) as peer:
        works(peer)
    event(host, EventKind.DISCONNECTED)
    host.connect()  # is done by the worker's next round
    with pytest.raises(UnknownChannel):
        host.server.remove_channel(channel)


def test_what_cannot_be_adopted(host: Host) -> None:
    datagrams = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with pytest.raises(ServerError, match="no stream socket"):
        host.server.adopt(datagrams[0], client="guest")
    datagrams[1].close()
    ours, theirs = socket.socketpair()
    with pytest.raises(ServerError, match="name"):
        host.server.adopt(theirs, client="")
    assert ours.recv(1) == b""
    ours.close()
