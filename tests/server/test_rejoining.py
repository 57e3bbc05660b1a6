# SPDX-License-Identifier: GPL-2.0-or-later
"""Members of shared pools that come back: who may join again, and restarts of the service (R-a)."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from tests.server import peer as p
from tests.server import sharers
from tests.server.conftest import SHARED, Host
from tests.server.peer import Memory, Peer, page_of
from tests.server.sharers import PATIENT, MakeHost, Two, expel_first, leave_by_destroy, until
from tmem_host.native import EndReason, SessionState

workers = sharers.workers
patient = sharers.patient


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


def test_a_new_mount_of_who_stays_out_rejoins(patient: Host) -> None:
    """Recovery has no new mount leave and join again. What else was mounted before stays out."""
    other = uuid.uuid4().bytes
    two = Two(patient)
    two.peers[0].memory.confirmed = 0
    assert not two.peers[0].begin()["rejoin"]
    joined = two.peers[0].join(shared=SHARED.bytes, new_mount=True)
    assert two.peers[0].echo() == p.DONE
    assert two.peers[0].call(p.DESTROY_POOL, pool=joined.pool).status == p.DONE
    assert two.peers[0].join(shared=SHARED.bytes).index & p.SHARED
    assert two.peers[0].join(shared=other).status == p.ETIMEDOUT


def test_a_new_mount_stays_out_from_the_next_session_on(patient: Host) -> None:
    two = Two(patient)
    for _ in range(2):
        two.peers[0].memory.confirmed = 0
        assert not two.peers[0].begin()["rejoin"]
        assert two.peers[0].join(shared=SHARED.bytes).status == p.ETIMEDOUT
        assert two.peers[0].join(shared=SHARED.bytes, new_mount=True).status == p.DONE


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
