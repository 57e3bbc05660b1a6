# SPDX-License-Identifier: GPL-2.0-or-later
"""What a well-behaved guest asks for, and gets."""

from __future__ import annotations

import pytest

from tests.server import peer as p
from tests.server.conftest import SHARED, Host
from tests.server.peer import Peer, page_of


def test_a_page_comes_back(peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    assert peer.put(pool, 7, page_of(1)) == p.DONE
    assert peer.get(pool, 7) == page_of(1)
    assert peer.get(pool, 7) == page_of(1)
    assert peer.get(pool, 8) is None


def test_a_hit_takes_an_ephemeral_page_out(peer: Peer) -> None:
    pool = peer.new_pool()
    assert peer.put(pool, 7, page_of(1)) == p.DONE
    assert peer.get(pool, 7) == page_of(1)
    assert peer.get(pool, 7) is None


def test_flushes(peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    for index in range(10):
        peer.put(pool, index, page_of(index))
    assert peer.call(p.FLUSH_PAGE, pool=pool, index=0, oid=p.OID).status == p.DONE
    assert peer.call(p.FLUSH_RANGE, pool=pool, index=2, status=3, oid=p.OID).status == p.DONE
    left = [index for index in range(10) if peer.get(pool, index) is not None]
    assert left == [1, 5, 6, 7, 8, 9]
    assert peer.call(p.FLUSH_OBJECT, pool=pool, oid=p.OID).status == p.DONE
    assert peer.get(pool, 5) is None
    peer.put(pool, 5, page_of(5))
    assert peer.call(p.FLUSH_POOL, pool=pool).status == p.DONE
    assert peer.get(pool, 5) is None


def test_answers_of_puts_are_left_out(host: Host, peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    requests = [
        peer.request(p.PUT, pool=pool, index=index, oid=p.OID, payload=page_of(index))
        for index in range(40)
    ]
    before = host.server.session("guest")
    peer.send(b"".join(requests))
    replies = [*peer.replies(peer.memory.tag)]
    after = host.server.session("guest")
    # one of the turn in which each was served, not one for each
    assert len(replies) <= after.turns - before.turns
    assert all(reply.flags & p.CUMULATIVE and reply.status == p.DONE for reply in replies)
    assert all(peer.get(pool, index) == page_of(index) for index in range(40))


def test_replies_come_in_order_and_say_what_failed(peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    requests = b"".join(
        [
            peer.request(p.PUT, pool=pool, index=1, oid=p.OID, payload=page_of(1)),
            peer.request(p.PUT, pool=pool + 1, index=1, oid=p.OID, payload=page_of(1)),
            peer.request(p.GET, pool=pool, index=1, oid=p.OID),
            peer.request(p.FLUSH_PAGE, pool=pool, index=1, oid=p.OID),
            peer.request(p.GET, pool=pool, index=1, oid=p.OID),
        ]
    )
    last = peer.memory.tag
    peer.send(requests)
    replies = {reply.tag: reply for reply in peer.replies(last)}
    assert list(replies) == sorted(replies)
    assert replies[last - 3].status == p.ENODEV
    assert replies[last - 2].payload == page_of(1)
    assert replies[last].status in {p.MISS, p.EEMPTY}


def test_get_runs_ahead(host: Host, peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    for index in (10, 11, 13, 41, 42, 43):
        peer.put(pool, index, page_of(index))
    first, *ahead = peer.get_ahead(pool, 10, 32)
    assert first.payload == page_of(10)
    assert not first.flags & p.AHEAD
    assert first.pool == len(ahead)
    assert [reply.index for reply in ahead] == [11, 13, 41, 42]
    assert all(reply.flags & p.AHEAD and reply.tag == first.tag for reply in ahead)
    assert all(reply.payload == page_of(reply.index) for reply in ahead)
    assert host.server.session("guest").ahead_pages == 4


def test_get_runs_ahead_of_a_miss_and_takes_pages_out(peer: Peer) -> None:
    pool = peer.new_pool()
    for index in (2, 3, 4):
        peer.put(pool, index, page_of(index))
    first, *ahead = peer.get_ahead(pool, 1, 2)
    assert first.status == p.MISS
    assert [reply.index for reply in ahead] == [2, 3]
    assert [peer.get(pool, index) for index in (2, 3)] == [None, None]
    assert peer.get(pool, 4) == page_of(4)


def test_get_ahead_ends_at_the_last_index(peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    last = 2**64 - 1
    for index in (last - 1, last, 0):
        peer.put(pool, index, page_of(index))
    first, *ahead = peer.get_ahead(pool, last - 1, 32)
    assert first.payload == page_of(last - 1)
    assert [reply.index for reply in ahead] == [last]


@pytest.mark.parametrize("around", [0, 256, 2**64 - 128])
def test_presence(host: Host, peer: Peer, around: int) -> None:
    pool = peer.new_pool()
    there = {0, 5, 63, 64, 127}
    for offset in there:
        peer.put(pool, around + offset, page_of(offset))
    peer.put(pool, (around + 128) % 2**64, page_of(1))
    peer.put(pool, (around - 1) % 2**64, page_of(1))
    first, *_ = peer.get_ahead(pool, around + 5, 0, flags=p.PRESENCE)
    assert first.flags & p.PRESENCE
    bits = first.oid[0] | first.oid[1] << 64
    # as it was before the get took the page out
    assert {bit for bit in range(128) if bits >> bit & 1} == there
    first, *_ = peer.get_ahead(pool, around + 5, 0, flags=p.PRESENCE)
    assert (first.oid[0] | first.oid[1] << 64) == bits & ~(1 << 5)
    assert host.server.session("guest").presence_bitmaps == 2


def test_pools_are_listed(peer: Peer) -> None:
    assert peer.pools() == []
    made = [peer.new_pool(persistent=index % 2 == 0) for index in range(50)]
    assert peer.pools() == sorted(made)
    assert peer.call(p.DESTROY_POOL, pool=made[3]).status == p.DONE
    assert peer.call(p.DESTROY_POOL, pool=made[3]).status == p.MISS
    assert peer.pools() == sorted(set(made) - {made[3]})
    assert peer.call(p.POOLS, index=2**63).payload == b""
    assert peer.call(p.POOLS, index=2**64 - 2).payload == b""


def test_stat(host: Host, peer: Peer) -> None:
    host.engine.find_client("guest").set(cap_bytes=1 << 20, weight=3)
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    found = peer.stat()
    assert found["persistent_pages"] == 1
    assert found["ephemeral_pages"] == 0
    assert (found["cap_bytes"], found["weight"], found["pools"]) == (1 << 20, 3, 1)
    assert found["epoch"] == 1
    assert found["session"] == peer.memory.session
    assert found["puts_stored"] == 1


def test_a_shared_pool_is_shared(host: Host, peer: Peer) -> None:
    other = host.guest("other")
    ours = peer.new_pool(shared=SHARED.bytes)
    theirs = other.new_pool(shared=SHARED.bytes)
    assert peer.echo() == p.DONE
    assert other.echo() == p.DONE
    assert peer.put(ours, 1, page_of(1)) == p.DONE
    assert other.get(theirs, 1) == page_of(1)
    assert peer.get(ours, 1) == page_of(1)


def test_an_unauthorised_join_is_told_that_the_pool_is_private(host: Host, peer: Peer) -> None:
    host.engine.shared_auth_all = False
    reply = peer.join(shared=SHARED.bytes)
    assert reply.status == p.DONE
    assert not reply.index & p.SHARED


def test_one_byte_at_a_time(peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    for data in (
        peer.request(p.PUT, pool=pool, index=1, oid=p.OID, payload=page_of(1)),
        peer.request(p.GET, pool=pool, index=1, oid=p.OID),
    ):
        for at in range(len(data)):
            peer.send(data[at : at + 1])
    replies = [*peer.replies(peer.memory.tag)]
    assert replies[-1].payload == page_of(1)
