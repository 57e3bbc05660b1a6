# SPDX-License-Identifier: GPL-2.0-or-later
"""A thousand connections that do nothing and a hundred that do a lot."""

from __future__ import annotations

import gc
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server import peer as p
from tests.server.conftest import Host
from tests.server.peer import Memory, Peer, page_of

IDLE = 1000
BUSY = 100
IDLE_BYTES_MAX = 64 << 10


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Both ends of every connection are in this process."""
    needed = 2 * (IDLE + BUSY) + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            pytest.skip(f"{needed} file descriptors are needed, {hard} are allowed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def exchange(peers: list[Peer], pools: list[int], round_: int) -> None:
    """Each puts and gets a batch, all of them at once."""
    for peer, pool in zip(peers, pools, strict=True):
        requests = [
            peer.request(p.PUT, pool=pool, index=index, oid=p.OID, payload=page_of(round_ + index))
            for index in range(8)
        ]
        requests += [peer.request(p.GET, pool=pool, index=index, oid=p.OID) for index in range(8)]
        peer.send(b"".join(requests))
    for peer in peers:
        pages = [r.payload for r in peer.replies(peer.memory.tag) if r.op == p.GET]
        assert pages == [page_of(round_ + index) for index in range(8)]


@pytest.mark.usefixtures("descriptors")
def test_a_thousand_idle_and_a_hundred_busy(make_host: Callable[..., Host]) -> None:
    host = make_host(workers=2)
    busy = [host.guest(f"busy {number}") for number in range(BUSY)]
    pools = [peer.new_pool(persistent=True) for peer in busy]
    exchange(busy, pools, 0)
    gc.collect()
    before = resident_bytes()
    idle = [host.guest(f"idle {number}") for number in range(IDLE)]
    # each has been used, and each has left the beginning of a message
    rests = []
    for peer in idle:
        pool = peer.new_pool(persistent=True)
        assert peer.put(pool, 1, page_of(1)) == p.DONE
        put = peer.request(p.PUT, pool=pool, index=2, oid=p.OID, payload=page_of(2))
        peer.send(put[:2000])
        rests.append(put[2000:])
    for round_ in range(5):
        exchange(busy, pools, round_)
    gc.collect()
    # both ends and what the guest remembers included
    assert resident_bytes() - before < IDLE * IDLE_BYTES_MAX
    buffered = [host.server.session(f"idle {number}").buffered_bytes for number in range(IDLE)]
    assert 2000 < max(buffered) < 4096
    # and they are all still there
    for peer, rest in zip(idle, rests, strict=True):
        peer.send(rest)
        assert [reply.status for reply in peer.replies(peer.memory.tag)] == [p.DONE]


def test_connections_of_one_client_have_one_session(host: Host) -> None:
    memory = Memory(b"one boot for all")
    peers = [host.connect("guest", memory) for _ in range(50)]
    sessions = {peer.begin(session=memory.session)["session"] for peer in peers}
    assert len(sessions) == 1
    assert host.server.session("guest").epoch == 1
    assert peers[-1].pools() == []
