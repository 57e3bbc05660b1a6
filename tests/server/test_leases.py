# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared pools over the channel: the lease, expelling, emptying (rule R)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.server import peer as p
from tests.server import sharers
from tests.server.conftest import SHARED, Host
from tests.server.peer import Farewell, Memory, page_of
from tests.server.sharers import MakeHost, Two, expel_first, leave_by_destroy, until
from tmem_host.native import EndReason, Event, EventKind, UnknownPool

workers = sharers.workers
patient = sharers.patient
strict = sharers.strict


# ---- the lease ----------------------------------------------------------------------------


def test_a_pool_is_not_served_before_every_member_has_echoed(patient: Host) -> None:
    two = Two(patient)
    two.put(1)
    assert sorted(patient.server.waited_for(SHARED)) == ["first", "second"]
    assert two.peers[1].get(two.pools[1], 1) is None
    assert patient.server.session("second").unserved_gets == 1
    assert two.get(1) == page_of(1)
    third = patient.guest("third")
    third.new_pool(shared=SHARED.bytes, new_mount=True)
    two.echo()
    assert patient.server.waited_for(SHARED) == ["third"]
    assert two.peers[1].get(two.pools[1], 1) is None


def test_a_lapsed_lease_is_a_miss_and_an_echo_ends_it(patient: Host) -> None:
    two = Two(patient)
    two.put(1)
    assert two.get(1) == page_of(1)
    # the second goes on, the first is silent
    until(lambda: patient.server.waited_for(SHARED) == ["first"], two.peers[1].echo)
    assert two.peers[1].get(two.pools[1], 1) is None
    first, *ahead = two.peers[1].get_ahead(two.pools[1], 0, 8)
    assert (first.status, ahead) == (p.MISS, [])
    # puts and flushes are taken all the same
    assert two.peers[1].put(two.pools[1], 2, page_of(2)) == p.DONE
    flush = two.peers[1].call(p.FLUSH_PAGE, pool=two.pools[1], index=1, oid=p.OID)
    assert flush.status == p.DONE
    assert two.get(1) is None
    assert two.get(2, who=0) == page_of(2)


def test_a_token_that_was_never_given_out_counts_for_nothing(patient: Host) -> None:
    two = Two(patient)
    peer = two.peers[0]
    assert peer.call(p.ECHO, index=12345).status == p.MISS
    assert peer.call(p.ECHO, index=2**64 - 1).status == p.MISS
    assert peer.call(p.ECHO, index=0).status == p.DONE
    assert sorted(patient.server.waited_for(SHARED)) == ["first", "second"]


def test_an_old_token_is_as_old_as_it_is(patient: Host) -> None:
    two = Two(patient)
    peer = two.peers[0]
    old = peer.memory.token
    until(lambda: two.peers[1].memory.token != old, two.peers[1].echo)
    time.sleep(0.5)
    assert peer.call(p.ECHO, index=old).status == p.DONE
    assert "first" in patient.server.waited_for(SHARED)
    assert peer.echo() == p.DONE


def test_tokens_come_with_whatever_is_answered(patient: Host) -> None:
    """A sharer that has much to do need not ask for the newest one."""
    two = Two(patient)
    peer = two.peers[0]
    old = peer.memory.token
    until(lambda: peer.memory.token != old, lambda: peer.get(two.pools[0], 1))
    old = peer.memory.token
    until(lambda: peer.memory.token != old, lambda: peer.put(two.pools[0], 1, page_of(1)))


def test_what_is_known_of_a_sharer(patient: Host) -> None:
    two = Two(patient)
    two.echo()
    info = patient.server.session("first")
    assert info.shared_pools == 1
    assert info.echo_age_ns is not None
    assert patient.server.session("second").session == two.peers[1].memory.session
    with pytest.raises(UnknownPool):
        patient.server.waited_for(type(SHARED)(int=5))


# ---- leaving empties ----------------------------------------------------------------------


def leave_by_bye(two: Two) -> None:
    two.peers[0].send(two.peers[0].request(p.BYE))
    two.peers[0].hello()


def leave_by_new_epoch(two: Two) -> None:
    two.peers[0].begin()


def leave_by_another_boot(two: Two) -> None:
    two.host.connect("first", Memory(b"another boot id!")).begin()


def leave_by_operator(two: Two) -> None:
    two.host.server.end_session("first", EndReason.RESET)


LEAVES = [
    leave_by_destroy,
    leave_by_bye,
    leave_by_new_epoch,
    leave_by_another_boot,
    leave_by_operator,
]


@pytest.mark.parametrize("leave", LEAVES)
def test_leaving_empties_the_pool_for_everyone(patient: Host, leave: Callable[[Two], None]) -> None:
    two = Two(patient)
    two.put(1)
    assert two.get(1) == page_of(1)
    leave(two)
    second, pool = two.peers[1], two.pools[1]
    until(lambda: not patient.server.waited_for(SHARED), second.echo)
    assert patient.engine.find_client("second").pool(pool).info().pages == 0
    assert second.get(pool, 1) is None
    # the one that is left shares with nobody, and goes on
    assert second.put(pool, 2, page_of(2)) == p.DONE
    assert patient.engine.find_client("second").pool(pool).info().members == 1


def test_a_pool_joined_twice_is_left_twice(patient: Host) -> None:
    two = Two(patient)
    again = two.peers[0].new_pool(shared=SHARED.bytes, new_mount=True)
    assert patient.server.session("first").shared_pools == 2
    leave_by_destroy(two)
    two.pools[0] = again
    two.put(1)
    assert two.get(1) == page_of(1)


# ---- expelling ----------------------------------------------------------------------------


def test_who_is_silent_for_too_long_is_expelled(strict: Host) -> None:
    two = Two(strict)
    persistent = two.peers[0].new_pool(persistent=True)
    two.peers[0].put(persistent, 1, page_of(9))
    two.put(1)
    assert two.get(1) == page_of(1)
    expel_first(two)
    assert strict.engine.usage().ephemeral_pages == 0
    with pytest.raises(Farewell) as farewell:
        two.peers[0].put(two.pools[0], 1, page_of(1))
    assert farewell.value.reason == p.ETIMEDOUT
    # sticky: a new epoch, in which its mounts stay out until they are mounted anew
    offer = two.peers[0].begin(session=two.peers[0].memory.session)
    assert (offer["verdict"], offer["rejoin"], offer["pools_kept"]) == (p.NEW_EPOCH, False, True)
    assert two.peers[0].get(persistent, 1) == page_of(9)
    assert two.peers[0].join(shared=SHARED.bytes).status == p.ETIMEDOUT
    reply = two.peers[0].join(shared=SHARED.bytes, new_mount=True)
    assert reply.status == p.DONE
    assert reply.index & p.SHARED


def test_expelling_is_told(strict: Host) -> None:
    two = Two(strict)
    assert two.served() or True
    expel_first(two)
    found: list[Event] = []

    def told() -> bool:
        found.extend(iter(strict.server.next_event, None))
        kinds = {(event.kind, event.client) for event in found}
        return (EventKind.EXPELLED, "first") in kinds

    until(told, two.peers[1].echo)
    ended = [event for event in found if event.kind == EventKind.SESSION_ENDED]
    assert [event.code for event in ended if event.client == "first"] == [p.ETIMEDOUT]


def test_a_lost_connection_is_expelled_too(strict: Host) -> None:
    two = Two(strict)
    two.put(1)
    two.peers[0].close()
    expel_first(two)
    assert strict.engine.usage().ephemeral_pages == 0
    until(lambda: not strict.server.waited_for(SHARED), two.peers[1].echo)


def test_a_lapse_is_noticed_by_the_first_thing_that_is_heard(make_host: MakeHost) -> None:
    """Whatever came first after it, operation or echo, is not taken any more."""
    host = make_host(workers=1, lease_ms=20, expel_ms=40)
    for op in (p.ECHO, p.PUT, p.GET, p.FLUSH_PAGE):
        peer = host.guest("guest")
        pool = peer.new_pool(shared=SHARED.bytes, new_mount=True)
        token = peer.memory.token
        time.sleep(0.06)
        payload = page_of(1) if op == p.PUT else b""
        index = token if op == p.ECHO else 1
        with pytest.raises(Farewell) as farewell:
            peer.call(op, pool=pool, index=index, oid=p.OID, payload=payload)
        assert farewell.value.reason == p.ETIMEDOUT
        peer.close()
