# SPDX-License-Identifier: GPL-2.0-or-later
"""Shared pools over the channel: the lease, expelling, emptying, and who may come back (rule R)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.server import peer as p
from tests.server.conftest import SHARED, Host
from tests.server.peer import Farewell, Memory, Peer, page_of
from tmem_host.native import EndReason, Event, EventKind, SessionState, UnknownPool

# No test depends on being faster than this.
PATIENT = {"lease_ms": 400, "expel_ms": 48 * 400}
PATIENCE_S = 60.0

MakeHost = Callable[..., Host]


def until(condition: Callable[[], Any], *between: Callable[[], Any]) -> None:
    """Waits for what must come, doing something `between` looks."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "what must come does not"
        for do in between:
            do()
        time.sleep(0.005)


class Two:
    """Two members of one shared pool."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.peers = [host.guest("first"), host.guest("second")]
        self.pools = [peer.new_pool(shared=SHARED.bytes, new_mount=True) for peer in self.peers]

    def echo(self) -> None:
        for peer in self.peers:
            assert peer.echo() == p.DONE

    def served(self) -> bool:
        """Whether it is served once both have echoed."""
        self.echo()
        return not self.host.server.waited_for(SHARED)

    def put(self, index: int) -> None:
        assert self.peers[0].put(self.pools[0], index, page_of(index)) == p.DONE

    def get(self, index: int, who: int = 1) -> bytes | None:
        """Served, whatever the machine does meanwhile."""
        server, name = self.host.server, ("first", "second")[who]
        while True:
            self.echo()
            before = server.session(name).unserved_gets
            page = self.peers[who].get(self.pools[who], index)
            if server.session(name).unserved_gets == before:
                return page


@pytest.fixture(params=[1, 2], ids=["one-worker", "two-workers"])
def workers(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def patient(make_host: MakeHost, workers: int) -> Host:
    """Expels nobody."""
    return make_host(workers=workers, **PATIENT)


@pytest.fixture
def strict(make_host: MakeHost, workers: int) -> Host:
    """Expels whoever is silent for a second."""
    return make_host(workers=workers, lease_ms=100, expel_ms=1000)


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


def leave_by_destroy(two: Two) -> None:
    assert two.peers[0].call(p.DESTROY_POOL, pool=two.pools[0]).status == p.DONE


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


def expel_first(two: Two) -> None:
    until(
        lambda: two.host.server.session("first").state == SessionState.EXPELLED, two.peers[1].echo
    )


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


# ---- coming back --------------------------------------------------------------------------


def test_a_member_resumes_by_a_confirmed_token(patient: Host) -> None:
    two = Two(patient)
    two.put(1)
    assert two.get(1) == page_of(1)
    two.peers[0] = patient.again(two.peers[0], "first")
    offer = two.peers[0].begin(session=two.peers[0].memory.session)
    assert (offer["verdict"], offer["rejoin"]) == (p.RESUME, True)
    assert two.get(1) == page_of(1)
    assert two.get(1, who=0) == page_of(1)


@pytest.mark.parametrize("claimed", ["none", "invented", "received"])
def test_a_member_without_a_confirmed_token_does_not(patient: Host, claimed: str) -> None:
    two = Two(patient)
    two.echo()
    memory = two.peers[0].memory
    if claimed == "received":
        old = memory.token
        until(lambda: two.peers[1].memory.token != old, two.peers[1].echo)
        memory.confirmed = two.peers[1].memory.token  # newer than what it has echoed
    else:
        memory.confirmed = 0 if claimed == "none" else 99
    two.peers[0] = patient.again(two.peers[0], "first")
    offer = two.peers[0].begin(session=memory.session)
    assert (offer["verdict"], offer["rejoin"]) == (p.NEW_EPOCH, False)
    assert two.peers[0].join(shared=SHARED.bytes).status == p.ETIMEDOUT


def test_a_new_epoch_with_a_confirmed_token_rejoins(patient: Host) -> None:
    two = Two(patient)
    two.echo()
    offer = two.peers[0].begin()
    assert (offer["verdict"], offer["rejoin"]) == (p.NEW_EPOCH, True)
    assert two.peers[0].join(shared=SHARED.bytes).index & p.SHARED


@pytest.mark.parametrize("pause_s", [0, 0.5])
def test_who_has_left_rejoins_only_while_its_proof_is_young(
    make_host: MakeHost, pause_s: float
) -> None:
    """Nobody waits for it any more, so no timer has expelled it: its token is what is left."""
    host = make_host(**({"lease_ms": 100, "expel_ms": 400} if pause_s else PATIENT))
    peer = host.guest("first")
    peer.new_pool(shared=SHARED.bytes, new_mount=True)
    peer.echo()
    host.server.end_session("first", EndReason.RESET)
    time.sleep(pause_s)
    offer = host.again(peer, "first").hello(session=peer.memory.session)
    assert (offer["verdict"], offer["rejoin"]) == (p.NEW_EPOCH, not pause_s)


@pytest.fixture
def left_young(make_host: MakeHost) -> Peer:
    """Was a member and has left; its echo is younger than T_expel, which is short."""
    host = make_host(workers=1, lease_ms=100, expel_ms=2000)
    peer = host.guest("first")
    pool = peer.new_pool(shared=SHARED.bytes, new_mount=True)
    peer.echo()
    assert peer.call(p.DESTROY_POOL, pool=pool).status == p.DONE
    return peer


def test_who_has_left_rejoins_in_the_same_session(patient: Host) -> None:
    """Recovery of another node leaves and joins again at once."""
    two = Two(patient)
    two.echo()
    leave_by_destroy(two)
    assert two.peers[0].join(shared=SHARED.bytes).index & p.SHARED


def test_who_was_silent_after_leaving_stays_out(left_young: Peer) -> None:
    """No timer expels it, nobody waits for it; perhaps others have taken it for dead since."""
    time.sleep(2.1)
    assert left_young.join(shared=SHARED.bytes).status == p.ETIMEDOUT
    reply = left_young.join(shared=SHARED.bytes, new_mount=True)
    assert reply.index & p.SHARED
    # a new mount's clock runs from now on
    assert left_young.echo() == p.DONE


@pytest.mark.parametrize("epoch", ["the same", "the next"])
def test_what_it_echoes_after_a_lapse_makes_it_no_younger(left_young: Peer, epoch: str) -> None:
    time.sleep(2.1)
    assert left_young.echo() == p.MISS  # brings the newest token
    assert left_young.echo() == p.MISS
    if epoch == "the next":
        left_young.memory.confirmed = left_young.memory.token
        assert not left_young.begin()["rejoin"]
    assert left_young.join(shared=SHARED.bytes).status == p.ETIMEDOUT


def test_another_boot_has_no_old_mounts(patient: Host) -> None:
    Two(patient)
    reborn = patient.connect("first", Memory(b"another boot id!"))
    assert reborn.begin()["rejoin"]
    assert reborn.join(shared=SHARED.bytes).index & p.SHARED


# ---- restarts of the service --------------------------------------------------------------


def resume(two: Two, who: int) -> dict[str, Any]:
    name = ("first", "second")[who]
    two.peers[who] = two.host.again(two.peers[who], name)
    return two.peers[who].begin(session=two.peers[who].memory.session)


def test_after_a_restart_a_pool_is_served_when_every_member_is_back(patient: Host) -> None:
    two = Two(patient)
    two.put(1)
    assert two.get(1) == page_of(1)
    patient.restart(**PATIENT)
    assert sorted(patient.server.waited_for(SHARED)) == ["first", "second"]
    assert resume(two, 1)["verdict"] == p.RESUME
    assert two.peers[1].echo() == p.DONE
    assert patient.server.waited_for(SHARED) == ["first"]
    assert two.peers[1].get(two.pools[1], 1) is None
    assert resume(two, 0)["verdict"] == p.RESUME
    # and not before it has echoed
    assert "first" in patient.server.waited_for(SHARED)
    assert two.get(1) == page_of(1)


def test_after_a_restart_an_absent_member_is_expelled(make_host: MakeHost) -> None:
    times = {"lease_ms": 100, "expel_ms": 1500}
    host = make_host(workers=2, **times)
    two = Two(host)
    two.put(1)
    assert two.get(1) == page_of(1)
    host.restart(**times)
    offer = resume(two, 1)
    if offer["verdict"] != p.RESUME:  # a slow machine: then it was expelled itself
        assert not offer["rejoin"]
        two.pools[1] = two.peers[1].new_pool(shared=SHARED.bytes, new_mount=True)
    expel_first(two)
    until(lambda: not host.server.waited_for(SHARED), two.peers[1].echo)
    assert two.peers[1].get(two.pools[1], 1) is None
    assert host.engine.usage().ephemeral_pages == 0


def test_tokens_keep_their_age_over_a_restart(make_host: MakeHost) -> None:
    times = {"lease_ms": 100, "expel_ms": 400}
    host = make_host(workers=1, **times)
    peer = host.guest("first")
    peer.new_pool(shared=SHARED.bytes, new_mount=True)
    persistent = peer.new_pool(persistent=True)
    peer.put(persistent, 1, page_of(1))
    peer.echo()
    host.stop()
    time.sleep(0.5)
    host.start(**times)
    peer = host.again(peer, "first")
    offer = peer.begin(session=peer.memory.session)
    assert (offer["verdict"], offer["rejoin"], offer["pools_kept"]) == (p.NEW_EPOCH, False, True)
    assert peer.get(persistent, 1) == page_of(1)


def test_expulsion_is_remembered_over_a_restart(make_host: MakeHost) -> None:
    host = make_host(workers=1, lease_ms=50, expel_ms=100)
    peer = host.guest("first")
    peer.new_pool(shared=SHARED.bytes, new_mount=True)
    peer.echo()
    until(lambda: host.server.session("first").state == SessionState.EXPELLED)
    # times that would let it back in
    host.restart(**PATIENT)
    assert host.server.session("first").state == SessionState.EXPELLED
    peer = host.again(peer, "first")
    offer = peer.begin(session=peer.memory.session)
    assert (offer["verdict"], offer["rejoin"]) == (p.NEW_EPOCH, False)
    # and that its mounts stay out is remembered, too
    host.restart(**PATIENT)
    peer = host.again(peer, "first")
    offer = peer.begin(session=peer.memory.session)
    assert (offer["verdict"], offer["rejoin"]) == (p.RESUME, False)
    assert peer.join(shared=SHARED.bytes).status == p.ETIMEDOUT


def test_members_that_nobody_can_resume_leave(patient: Host) -> None:
    """Whatever is in the arena without a session: its pools would wait for ever."""
    two = Two(patient)
    two.put(1)
    patient.stop()
    patient.arena.with_name("state").unlink()
    patient.start(**PATIENT)
    assert patient.engine.usage().shared_pools == 0
