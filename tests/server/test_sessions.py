# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions: offered, begun, resumed, taken over, and what survives a restart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server import peer as p
from tests.server.conftest import Host
from tests.server.peer import Memory, Peer, page_of
from tests.wire.reference import Message
from tmem_host.native import EndReason, EventKind, SessionState


def state(host: Host, client: str = "guest") -> SessionState:
    return host.server.session(client).state


# ---- HELLO --------------------------------------------------------------------------------


def test_hello_changes_nothing(host: Host, peer: Peer) -> None:
    pool = peer.new_pool()
    peer.put(pool, 1, page_of(1))
    stranger = host.connect("guest", Memory(b"another boot id!"))
    assert stranger.hello()["verdict"] == p.NEW_EPOCH
    assert peer.get(pool, 1) == page_of(1)


def test_hello_in_the_middle_of_a_session_changes_nothing(peer: Peer) -> None:
    pool = peer.new_pool()
    peer.put(pool, 1, page_of(1))
    put = peer.request(p.PUT, pool=pool, index=2, oid=p.OID, payload=page_of(2))
    peer.send(put + peer.hello_message(session=peer.memory.session))
    assert peer.hello_reply()["verdict"] == p.RESUME
    assert peer.get(pool, 1) == page_of(1)
    assert peer.get(pool, 2) == page_of(2)


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"version_min": 2, "version_max": 9}, p.EPROTO),
        ({"version_min": 0, "version_max": 0}, p.EPROTO),
        ({"version_min": 0, "version_max": 9}, p.NEW_EPOCH),
        ({"page_bytes": 16384}, p.EOPNOTSUPP),
        ({"page_bytes": None}, p.EOPNOTSUPP),
        ({"boot_id": b"short"}, p.EPROTO),
        ({"boot_id": "text of 16 bytes"}, p.EPROTO),
        ({"boot_id": None}, p.EPROTO),
        ({"session": -1}, p.EPROTO),
        ({"session": 2**40}, p.EUCLEAN),
        ({"token": "a"}, p.EPROTO),
        ({"implementation": 5}, p.EPROTO),
        ({"implementation": None, "unknown": [1, {"a": None}]}, p.NEW_EPOCH),
    ],
)
def test_hello_is_judged(host: Host, fields: dict[str, Any], verdict: int) -> None:
    peer = host.connect()
    offer = peer.hello(**fields)
    assert offer["verdict"] == verdict
    assert ("session" in offer) == (verdict > 0)
    # a refusal is no end: the next one is served
    assert peer.hello()["verdict"] == p.NEW_EPOCH


@pytest.mark.parametrize(
    "payload", [b"", b"\x80", b"\xc0", b"\xde\xff\xff", b"\x82\xa1a", b"a" * 4096]
)
def test_hello_with_what_is_no_map_of_its_own(host: Host, payload: bytes) -> None:
    peer = host.connect()
    peer.send(Message(p.HELLO, tag=99, payload=payload).encode(0))
    assert peer.hello_reply()["verdict"] == p.EPROTO
    bad = [e for e in iter(host.server.next_event, None) if e.kind == EventKind.BAD_INPUT]
    assert [(event.client, event.code) for event in bad] == [("guest", p.EPROTO)]
    assert "HELLO" in bad[0].detail


def test_what_a_guest_calls_itself_is_printable_and_bounded(host: Host) -> None:
    peer = host.connect()
    peer.hello(implementation="a\x1b[2J\u00e9" + "b" * 200)
    peer.start()
    name = host.server.session("guest").implementation
    assert name.startswith("a?[2J??bbb")
    assert len(name) == 63


def test_the_offer_tells_the_times(make_host: Any) -> None:
    host = make_host(lease_ms=500, expel_ms=900, giveup_ms=3000)
    offer = host.connect().hello()
    assert (offer["lease_ms"], offer["expel_ms"], offer["giveup_ms"]) == (500, 900, 3000)
    assert offer["epoch"] == 1


# ---- resuming -----------------------------------------------------------------------------


def test_resume_after_a_lost_connection(host: Host, peer: Peer) -> None:
    persistent, ephemeral = peer.new_pool(persistent=True), peer.new_pool()
    peer.put(persistent, 1, page_of(1))
    peer.put(ephemeral, 1, page_of(2))
    session = peer.memory.session
    peer = host.again(peer)
    offer = peer.begin(session=session)
    assert offer["verdict"] == p.RESUME
    assert offer["session"] == session
    assert offer["epoch"] == 1
    assert peer.get(persistent, 1) == page_of(1)
    assert peer.get(ephemeral, 1) == page_of(2)


def test_resume_after_a_restart_of_the_service(host: Host, peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    host.restart()
    assert state(host) == SessionState.AWAITED
    peer = host.again(peer)
    assert peer.begin(session=peer.memory.session)["verdict"] == p.RESUME
    assert state(host) == SessionState.ACTIVE
    assert peer.get(pool, 1) == page_of(1)
    kinds = [event.kind for event in iter(host.server.next_event, None)]
    assert EventKind.SESSION_RESUMED in kinds


def test_what_was_not_applied_is_sent_again(host: Host, peer: Peer) -> None:
    """The host's tag says what it has; the rest is replayed and comes to the same."""
    pool = peer.new_pool(persistent=True)
    sent = [
        peer.request(p.PUT, pool=pool, index=index, oid=p.OID, payload=page_of(index))
        for index in range(20)
    ]
    first = peer.memory.tag - 19
    peer.send(b"".join(sent)[: 4168 * 7 + 1000])  # and a part of the eighth
    while host.server.session("guest").tag != first + 6:
        pass
    old_key = peer.memory.key
    peer = host.again(peer)
    offer = peer.hello(session=peer.memory.session)
    assert offer["tag"] == first + 6
    assert peer.start() == p.DONE
    assert peer.memory.key != old_key
    for index in range(7, 20):
        assert peer.put(pool, index, page_of(index)) == p.DONE
    assert all(peer.get(pool, index) == page_of(index) for index in range(20))


def test_another_boot_gets_a_new_epoch_and_nothing_else(host: Host, peer: Peer) -> None:
    peer.put(peer.new_pool(persistent=True), 1, page_of(1))
    peer.put(peer.new_pool(), 1, page_of(1))
    reborn = host.connect("guest", Memory(b"the next boot id"))
    offer = reborn.begin()
    assert (offer["verdict"], offer["epoch"], offer["pools_kept"]) == (p.NEW_EPOCH, 2, False)
    assert reborn.pools() == []


def test_a_new_epoch_of_the_same_boot_keeps_persistent_pools(host: Host, peer: Peer) -> None:
    persistent, ephemeral = peer.new_pool(persistent=True), peer.new_pool()
    peer.put(persistent, 1, page_of(1))
    peer.put(ephemeral, 1, page_of(1))
    offer = peer.begin()
    assert (offer["verdict"], offer["epoch"], offer["pools_kept"]) == (p.NEW_EPOCH, 2, True)
    assert peer.memory.tag == 0
    assert peer.pools() == [persistent]
    assert peer.get(persistent, 1) == page_of(1)
    assert peer.call(p.GET, pool=ephemeral, index=1, oid=p.OID).status == p.ENODEV


def test_a_lost_answer_to_start_loses_nothing(host: Host, peer: Peer) -> None:
    """The guest knows its old session only; in the one it does not know nothing has happened."""
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    for _ in range(2):
        lost = host.connect("guest", Memory(peer.memory.boot_id))
        lost.hello(session=0)
        assert lost.start() == p.DONE
        lost.close()
    peer = host.again(peer)
    offer = peer.hello(session=peer.memory.session)
    assert (offer["verdict"], offer["pools_kept"]) == (p.NEW_EPOCH, False)
    # ... since that guest named no session. One that did is known by it.
    assert peer.start() == p.DONE


def test_a_lost_answer_to_start_of_a_guest_that_named_its_session(host: Host, peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    host.server.end_session("guest", EndReason.RESET)
    peer = host.again(peer)
    for _ in range(3):
        offer = peer.hello(session=peer.memory.session)
        assert (offer["verdict"], offer["pools_kept"]) == (p.NEW_EPOCH, True)
        peer.send(peer.start_message())  # the answer never arrives
        while host.server.session("guest").epoch != offer["epoch"]:
            pass
        peer = host.again(peer)
    offer = peer.begin(session=peer.memory.session)
    assert offer["pools_kept"]
    assert peer.get(pool, 1) == page_of(1)


# ---- rewinding (R-e) ----------------------------------------------------------------------


def test_a_guest_that_was_put_back_is_recognised(host: Host, peer: Peer) -> None:
    """Its tags have caught up, but what it sent under them was something else."""
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    snapshot = (peer.memory.tag, dict(peer.memory.chains))
    peer.call(p.FLUSH_PAGE, pool=pool, index=1, oid=p.OID)
    peer.memory.tag, peer.memory.chains = snapshot
    peer.request(p.PUT, pool=pool, index=2, oid=p.OID, payload=page_of(2))
    peer = host.again(peer)
    offer = peer.hello(session=peer.memory.session)
    assert (offer["verdict"], offer["tag"]) == (p.RESUME, peer.memory.tag)
    assert peer.start() == p.ESTALE
    offer = peer.begin(session=peer.memory.session)
    assert (offer["verdict"], offer["pools_kept"]) == (p.NEW_EPOCH, False)
    assert peer.pools() == []


def test_a_guest_that_was_put_back_stays_recognised_over_a_restart(host: Host, peer: Peer) -> None:
    peer.put(peer.new_pool(persistent=True), 1, page_of(1))
    peer = host.again(peer)
    peer.hello(session=peer.memory.session)
    assert peer.start(digest=12345) == p.ESTALE
    host.restart()
    peer = host.again(peer)
    offer = peer.hello(session=peer.memory.session)
    assert (offer["verdict"], offer["pools_kept"]) == (p.NEW_EPOCH, False)


def test_a_guest_that_names_a_session_of_the_past_was_put_back(host: Host, peer: Peer) -> None:
    old = peer.memory.session
    peer.begin(session=old)
    peer.begin()
    peer.put(peer.new_pool(persistent=True), 1, page_of(1))
    offer = peer.hello(session=old)
    assert (offer["verdict"], offer["pools_kept"]) == (p.NEW_EPOCH, False)


# ---- START --------------------------------------------------------------------------------


def test_an_offer_is_void_once_the_session_has_changed_hands(host: Host, peer: Peer) -> None:
    session = peer.memory.session
    other = host.connect("guest", Memory(peer.memory.boot_id, chains=peer.memory.chains))
    assert other.hello(session=session)["verdict"] == p.RESUME
    peer.begin(session=session)
    assert other.start() == p.EILSEQ
    assert peer.pools() == []
    # and then HELLO again
    assert other.begin(session=session)["verdict"] == p.RESUME


def test_start_with_another_tag_than_offered(host: Host, peer: Peer) -> None:
    peer.new_pool()
    peer.hello(session=peer.memory.session)
    assert peer.start(tag=0) == p.EILSEQ
    offer = peer.hello(session=0)
    assert offer["verdict"] == p.NEW_EPOCH
    assert peer.start(tag=5) == p.EILSEQ
    assert state(host) == SessionState.ACTIVE


def test_the_last_connection_to_start_has_the_session(host: Host, peer: Peer) -> None:
    pool = peer.new_pool()
    peer.put(pool, 1, page_of(1))
    second = host.connect("guest", peer.memory)
    old_key = peer.memory.key
    assert second.begin(session=peer.memory.session)["verdict"] == p.RESUME
    bye = peer.receive((old_key,))
    assert (bye.op, bye.status) == (p.BYE, p.ECONNRESET)
    assert second.get(pool, 1) == page_of(1)
    # what still comes over the first one is passed over
    peer.send(b"\xff" * 5000)
    second.put(pool, 2, page_of(2))
    assert second.get(pool, 2) == page_of(2)
