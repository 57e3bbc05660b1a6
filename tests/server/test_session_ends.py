# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions end: by their guest, by the host, with the service, with their client."""

from __future__ import annotations

import pytest

from tests.server import peer as p
from tests.server.conftest import Host
from tests.server.peer import Ended, Farewell, Peer, page_of
from tmem_host.native import EndReason, NoSession, SessionState


def test_bye_ends_in_order(host: Host, peer: Peer) -> None:
    persistent = peer.new_pool(persistent=True)
    peer.new_pool()
    peer.put(persistent, 1, page_of(1))
    peer.send(peer.request(p.BYE))
    offer = peer.hello(session=0)
    assert (offer["verdict"], offer["epoch"], offer["pools_kept"]) == (p.NEW_EPOCH, 2, True)
    assert host.server.session("guest").state == SessionState.NONE
    assert peer.start() == p.DONE
    assert peer.pools() == [persistent]


@pytest.mark.parametrize(
    ("reason", "verdict", "kept"),
    [
        (EndReason.RESET, p.NEW_EPOCH, True),
        (EndReason.REWOUND, p.NEW_EPOCH, False),
        (EndReason.PAGES_LOST, p.EUCLEAN, None),
        (EndReason.REMOVED, p.ENODEV, None),
    ],
)
def test_the_host_ends_a_session(
    host: Host, peer: Peer, reason: EndReason, verdict: int, kept: bool | None
) -> None:
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    host.server.end_session("guest", reason)
    with pytest.raises(Farewell) as farewell:
        peer.get(pool, 1)
    assert farewell.value.reason == reason
    for restart in (False, True):
        if restart:
            host.restart()
            peer = host.connect("guest", peer.memory)
            if reason is EndReason.REMOVED:
                # a channel of its own brings a client back
                verdict, kept = p.NEW_EPOCH, True
        offer = peer.hello(session=peer.memory.session)
        assert offer["verdict"] == verdict
        assert offer.get("pools_kept") == kept


def test_pages_that_were_declared_lost_are_gone(host: Host, peer: Peer) -> None:
    peer.put(peer.new_pool(persistent=True), 1, page_of(1))
    host.server.end_session("guest", EndReason.PAGES_LOST)
    assert host.engine.usage().persistent_pages == 0
    assert peer.hello(session=0)["pools_kept"] is False
    assert peer.start() == p.DONE


def test_ending_what_is_not_there(host: Host) -> None:
    with pytest.raises(NoSession):
        host.server.end_session("nobody", EndReason.RESET)
    host.connect("guest")
    with pytest.raises(NoSession):
        host.server.end_session("guest", EndReason.RESET)


def test_a_clean_shutdown_says_so(host: Host, peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    host.server.close()
    bye = peer.receive()
    assert (bye.op, bye.status, bye.tag) == (p.BYE, p.ESHUTDOWN, peer.memory.tag)
    with pytest.raises(Ended):
        peer.receive()


def test_a_shutdown_answers_what_it_has_accepted(host: Host, peer: Peer) -> None:
    """Whatever the guest had sent: what the host's last tag covers was answered before BYE."""
    pool = peer.new_pool(persistent=True)
    first = peer.memory.tag
    sent = [
        peer.request(p.PUT, pool=pool, index=index, oid=p.OID, payload=page_of(index))
        for index in range(40)
    ]
    peer.send(b"".join(sent))
    host.server.close()
    received = [peer.receive()]
    while received[-1].op != p.BYE:
        received.append(peer.receive())
    answered = max([first, *(reply.tag for reply in received[:-1])])
    assert all(reply.status == p.DONE for reply in received[:-1])
    assert received[-1].tag == answered
    host.engine.close()
    host.start()
    peer = host.again(peer)
    offer = peer.begin(session=peer.memory.session)
    assert offer["tag"] == answered
    stored = [peer.get(pool, index) for index in range(answered - first)]
    assert stored == [page_of(index) for index in range(answered - first)]


def test_a_client_that_was_destroyed(host: Host, peer: Peer) -> None:
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    host.engine.find_client("guest").destroy()
    assert peer.call(p.GET, pool=pool, index=1, oid=p.OID).status == p.ENODEV
    assert peer.hello(session=peer.memory.session)["verdict"] == p.ENODEV
    # another one of this name has nothing of it
    host.engine.create_client("guest")
    assert peer.hello(session=peer.memory.session)["verdict"] == p.EUCLEAN
    assert peer.begin()["verdict"] == p.NEW_EPOCH
    assert peer.pools() == []


def test_sessions_of_clients_do_not_meet(host: Host, peer: Peer) -> None:
    other = host.guest("other")
    pool = peer.new_pool(persistent=True)
    peer.put(pool, 1, page_of(1))
    assert other.call(p.GET, pool=pool, index=1, oid=p.OID).status == p.ENODEV
    host.server.end_session("other", EndReason.RESET)
    assert peer.get(pool, 1) == page_of(1)
    # a session number is one client's: named by another it is unknown
    assert other.hello(session=peer.memory.session)["verdict"] != p.RESUME
