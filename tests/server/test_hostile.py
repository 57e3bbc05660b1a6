# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that lie, damage, flood or do not read: bad input costs its session, nobody else anything.

XSA-15 is the list of what Xen's tmem believed of its guests; each class is a row here.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from tests.server import peer as p
from tests.server.conftest import Host
from tests.server.peer import Farewell, Peer, page_of
from tests.wire.reference import Message
from tmem_host.native import EventKind, SessionState
from tmem_host.native.server import TURN_REQUESTS

IDS = [0, 1, 2, 31, 32, 16383, 16384, 2**14 + 1, 2**18, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]
PAGE_OPS = [p.PUT, p.GET, p.FLUSH_PAGE, p.FLUSH_OBJECT, p.FLUSH_RANGE, p.FLUSH_POOL]


def fields_of(op: int) -> dict[str, Any]:
    """What makes a request of the form that it must have."""
    if op == p.PUT:
        return {"payload": page_of(1)}
    return {"status": 1} if op == p.FLUSH_RANGE else {}


@pytest.fixture
def neighbour(host: Host) -> Peer:
    """Somebody who must not notice anything."""
    return host.guest("neighbour")


# ---- XSA-15: what a guest names -----------------------------------------------------------


@pytest.mark.parametrize("op", PAGE_OPS)
def test_pool_ids_that_name_nothing(peer: Peer, neighbour: Peer, op: int) -> None:
    """Unchecked and negative ids, and those of others."""
    mine = peer.new_pool()
    theirs = [neighbour.new_pool(persistent=True) for _ in range(3)]
    for pool in theirs:
        neighbour.put(pool, 1, page_of(1))
    for pool in {*IDS, *theirs} - {mine}:
        assert peer.call(op, pool=pool, index=1, oid=p.OID, **fields_of(op)).status == p.ENODEV
        assert peer.call(p.DESTROY_POOL, pool=pool).status == p.MISS
    assert all(neighbour.get(pool, 1) == page_of(1) for pool in theirs)
    assert peer.pools() == [mine]


def test_the_id_of_a_pool_that_is_gone(peer: Peer) -> None:
    old = peer.new_pool(persistent=True)
    peer.put(old, 1, page_of(1))
    peer.call(p.DESTROY_POOL, pool=old)
    for _ in range(100):
        new = peer.new_pool(persistent=True)
        assert new != old
        assert peer.call(p.GET, pool=old, index=1, oid=p.OID).status == p.ENODEV
        peer.call(p.DESTROY_POOL, pool=new)


@pytest.mark.parametrize(
    "flags",
    [
        0,
        p.ABI_VERSION << 1,
        p.ABI_VERSION | 4,  # precompressed
        p.ABI_VERSION | 8,
        p.ABI_VERSION | 0x10,  # pages of 8 KiB
        p.ABI_VERSION | 0xF0,
        p.ABI_VERSION | 0x100,
        p.ABI_VERSION | 0x800000,
        p.ABI_VERSION | 1 << 32,
        p.ABI_VERSION | 1 << 63,
        2**64 - 1 & ~2,
    ],
)
def test_flags_of_a_new_pool(peer: Peer, flags: int) -> None:
    assert peer.call(p.NEW_POOL, index=flags).status < 0
    assert peer.pools() == []


def test_a_shared_pool_is_not_persistent(peer: Peer) -> None:
    reply = peer.call(p.NEW_POOL, index=p.ABI_VERSION | 3, payload=bytes(16))
    assert reply.status == -1
    assert peer.pools() == []


@pytest.mark.parametrize("op", [0, 3, 8, 9, 15, 18, 31, 38, 64, 127, 128, 255])
def test_operations_that_are_not_for_guests(
    host: Host, peer: Peer, neighbour: Peer, op: int
) -> None:
    """Xen's control, authorisation and restore operations among them."""
    theirs = neighbour.new_pool(persistent=True)
    neighbour.put(theirs, 1, page_of(1))
    for payload in (b"", bytes(64), page_of(1)):
        with pytest.raises(Farewell) as farewell:
            peer.call(op, pool=theirs, payload=payload)
        assert farewell.value.reason == p.EPROTO
        peer.begin()
    assert host.server.session("guest").refused_messages == 3
    assert neighbour.get(theirs, 1) == page_of(1)


@pytest.mark.parametrize("op", [1, 2, 4, 5, 6, 7, 16, 17, 34, 35, 36, 37])
@pytest.mark.parametrize("payload_bytes", [0, 1, 15, 16, 17, 4095, 4096])
def test_lengths(host: Host, peer: Peer, op: int, payload_bytes: int) -> None:
    """A payload has the length that its op has, whatever its own length says."""
    right = p.PAGE_BYTES if op == p.PUT else 0
    if payload_bytes == right:
        return
    fields = fields_of(op) | {"payload": bytes(payload_bytes)}
    with pytest.raises(Farewell) as farewell:
        peer.call(op, **fields)
    assert farewell.value.reason == p.EPROTO
    assert farewell.value.tag == 0
    assert host.server.session("guest").state == SessionState.AWAITED


def test_the_last_index_and_the_widest_range(peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    last = 2**64 - 1
    oid = (2**64 - 1,) * 3
    assert peer.put(pool, last, page_of(1), oid) == p.DONE
    assert peer.get(pool, last, oid) == page_of(1)
    flush = peer.call(p.FLUSH_RANGE, pool=pool, oid=oid, index=last - 5, status=32767)
    assert flush.status == p.DONE
    assert peer.get(pool, last, oid) is None


# ---- malformed requests -------------------------------------------------------------------

MALFORMED: list[tuple[str, dict[str, Any]]] = [
    ("get of too many ahead", {"op": p.GET, "status": 33}),
    ("get of a negative number ahead", {"op": p.GET, "status": -1}),
    ("range of nothing", {"op": p.FLUSH_RANGE, "status": 0}),
    ("negative range", {"op": p.FLUSH_RANGE, "status": -32768}),
    ("count where none belongs", {"op": p.FLUSH_PAGE, "status": 1}),
    ("cumulative request", {"op": p.FLUSH_PAGE, "flags": p.CUMULATIVE}),
    ("request ahead", {"op": p.GET, "flags": p.AHEAD}),
    ("token in a request", {"op": p.GET, "flags": p.TOKEN}),
    ("presence of a put", {"op": p.PUT, "flags": p.PRESENCE, "payload": bytes(4096)}),
    ("new mount of a get", {"op": p.GET, "flags": p.NEW_MOUNT}),
    ("shared pool without a uuid", {"op": p.NEW_POOL, "index": p.ABI_VERSION | 2}),
    ("private pool with a uuid", {"op": p.NEW_POOL, "index": p.ABI_VERSION, "payload": bytes(16)}),
]


@pytest.mark.parametrize(("name", "fields"), MALFORMED, ids=[name for name, _ in MALFORMED])
def test_malformed_requests_end_the_session_resumably(
    host: Host, peer: Peer, neighbour: Peer, name: str, fields: dict[str, Any]
) -> None:
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    good = peer.memory.tag
    with pytest.raises(Farewell) as farewell:
        peer.call(**({"pool": pool} | fields))
    assert (farewell.value.reason, farewell.value.tag) == (p.EPROTO, good)
    peer.memory.tag = good
    assert peer.begin(session=peer.memory.session)["verdict"] == p.RESUME
    assert peer.get(pool, 1) == page_of(1)
    assert neighbour.pools() == []
    bad = [e for e in iter(host.server.next_event, None) if e.kind == EventKind.BAD_INPUT]
    assert [event.client for event in bad] == ["guest"]
    assert f"tag {good + 1}" in bad[0].detail


@pytest.mark.parametrize("step", [0, 2, 100, -1, 2**31])
def test_tags_out_of_turn(peer: Peer, step: int) -> None:
    peer.new_pool()
    peer.memory.tag += step - 1
    peer.memory.chains[peer.memory.tag & 0xFFFFFFFF] = 0
    with pytest.raises(Farewell) as farewell:
        peer.call(p.STAT)
    assert farewell.value.reason == p.EPROTO
    peer.memory.chains = {0: 0}


# ---- the stream ---------------------------------------------------------------------------


def damage(whole: bytes, at: int) -> bytes:
    return whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]


@pytest.mark.parametrize("at", [0, 4, 5, 6, 8, 9, 10, 12, 16, 20, 24, 28, 32, 40, 63, 4160, 4167])
def test_a_damaged_message_is_noticed(host: Host, peer: Peer, at: int) -> None:
    """One flipped bit anywhere but in the page: what came before was applied, it was not."""
    pool = peer.new_pool(persistent=True)
    put = peer.request(p.PUT, pool=pool, index=1, oid=p.OID, payload=page_of(1))
    # what follows makes up the length of a message that pretends to be longer
    peer.send(damage(put, at) + bytes(8192))
    with pytest.raises(Farewell) as farewell:
        [*peer.replies(peer.memory.tag)]
    assert (farewell.value.reason, farewell.value.tag) == (p.EILSEQ, peer.memory.tag - 1)
    assert host.server.session("guest").damaged_streams == 1
    peer.memory.tag -= 1
    assert peer.begin(session=peer.memory.session)["verdict"] == p.RESUME
    assert peer.get(pool, 1) is None


@pytest.mark.parametrize("cut", [1, 4, 63, 64, 65, 2000, 4159, 4160, 4167])
def test_a_guest_that_was_reset_in_a_message(host: Host, peer: Peer, cut: int) -> None:
    """Another boot begins in the middle of what the last one sent. It repeats HELLO until it is
    heard, since it cannot know how much of a message is missing."""
    pool = peer.new_pool(persistent=True)
    put = peer.request(p.PUT, pool=pool, index=1, oid=p.OID, payload=page_of(1))
    peer.send(put[:cut])
    peer.memory.boot_id = b"the next boot id"
    hello = peer.hello_message(tag=1)
    for _ in range(len(put) // len(hello) + 2):
        peer.send(hello)
    offer = peer.hello_reply(1)
    assert offer["verdict"] == p.NEW_EPOCH
    assert not offer["pools_kept"]
    peer.hello()
    assert peer.start() == p.DONE
    assert peer.pools() == []
    assert host.server.session("guest").epoch == 2


def test_a_page_cannot_pass_for_a_message(peer: Peer) -> None:
    """A program in the guest writes whole messages into its pages; a cut leaves them in the
    stream where a header is expected."""
    pool = peer.new_pool(persistent=True)
    forged = Message(p.FLUSH_POOL, tag=peer.memory.tag + 2, session=peer.memory.session, pool=pool)
    starts = Message(p.START, session=peer.memory.session)
    page = (forged.encode(0) + starts.encode(0)) * 32
    peer.put(pool, 1, page_of(1))
    tag = peer.memory.tag
    put = peer.request(p.PUT, pool=pool, index=2, oid=p.OID, payload=page)
    for begin in (0, 64, 128, 33):
        peer.send(put[begin + (begin == 0) :])
        with pytest.raises(Farewell):
            [*peer.replies(tag + 1)]
        peer.memory.tag = tag
        assert peer.begin(session=peer.memory.session)["verdict"] == p.RESUME
        assert peer.get(pool, 1) == page_of(1)
        tag = peer.memory.tag
        put = peer.request(p.PUT, pool=pool, index=2, oid=p.OID, payload=page)


def test_garbage_before_hello_is_passed_over(host: Host) -> None:
    peer = host.connect()
    peer.send(b"\r\nboot: TMemTMemTTTT" + bytes(3000) + b"TMem" * 500)
    assert peer.begin()["verdict"] == p.NEW_EPOCH
    assert peer.pools() == []


def test_requests_without_a_session_are_passed_over(host: Host, peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    other = host.connect("guest", peer.memory)
    other.send(other.request(p.FLUSH_POOL, pool=pool))
    peer.memory.tag -= 1
    peer.put(pool, 1, page_of(1))
    assert peer.get(pool, 1) == page_of(1)
    assert other.hello()["verdict"] == p.NEW_EPOCH


# ---- floods, and peers that do not read ---------------------------------------------------


def test_a_peer_that_never_reads_is_not_read(host: Host, peer: Peer, neighbour: Peer) -> None:
    """Its replies are bounded, and so is what it can send; a neighbour is served meanwhile."""
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    theirs = neighbour.new_pool(persistent=True)
    gets = [peer.request(p.GET, pool=pool, index=1, oid=p.OID) for _ in range(50_000)]
    flood = b"".join(gets)
    peer.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        peer.send(flood)
    for index in range(50):
        assert neighbour.put(theirs, index, page_of(index)) == p.DONE
        assert neighbour.get(theirs, index) == page_of(index)
    info = host.server.session("guest")
    # replies of one turn, requests of one read
    assert info.buffered_bytes < 1 << 20
    assert info.bytes_in < 1 << 20
    assert info.requests < 5000


def test_a_flood_is_bounded_between_two_turns_of_another(
    host: Host, peer: Peer, neighbour: Peer
) -> None:
    pool, theirs = peer.new_pool(), neighbour.new_pool(persistent=True)
    flood = b"".join(
        peer.request(p.FLUSH_PAGE, pool=pool, index=index, oid=p.OID) for index in range(3000)
    )
    peer.socket.setblocking(False)
    at = done = 0
    while at < len(flood) or done < 20:
        if at < len(flood):
            with contextlib.suppress(BlockingIOError):
                at += peer.socket.send(flood[at : at + 65536])
        assert neighbour.put(theirs, done, page_of(done)) == p.DONE
        done += 1
    info = host.server.session("neighbour")
    assert info.most_waited_requests <= 2 * TURN_REQUESTS
    flooder = host.server.session("guest")
    assert 1 < flooder.most_turn_requests <= TURN_REQUESTS
    assert flooder.requests <= flooder.turns * TURN_REQUESTS


def test_a_flood_of_hellos(host: Host, neighbour: Peer) -> None:
    peer = host.connect()
    for tag in range(500):
        peer.send(peer.hello_message(tag=tag))
        if tag % 10 == 9:
            peer.hello_reply(tag)
    pool = neighbour.new_pool()
    assert neighbour.put(pool, 1, page_of(1)) == p.DONE
    assert host.server.session("guest").most_turn_requests <= TURN_REQUESTS


def test_events_are_limited(host: Host) -> None:
    """A guest that is wrong all the time fills nobody's log."""
    peer = host.guest()
    for _ in range(300):
        with pytest.raises(Farewell):
            peer.call(99)
        peer.begin()
    events = [*iter(host.server.next_event, None)]
    info = host.server.session("guest")
    assert info.refused_messages == 300
    # each time a session was ended, begun and refused; ten a second are kept
    assert len(events) < 300


def test_connections_that_come_and_go(host: Host, neighbour: Peer) -> None:
    pool = neighbour.new_pool(persistent=True)
    for _ in range(200):
        peer = host.connect()
        peer.send(b"TMem")
        peer.close()
        assert neighbour.put(pool, 1, page_of(1)) == p.DONE
    assert host.server.session("guest").state == SessionState.NONE
