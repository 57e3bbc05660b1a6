# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests on a shared pool, one of which stops running (rule R)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

import pytest

from tests.shim.conftest import PATIENT, Host
from tests.system.events import await_event, forget_events
from tmem_host.native import EndReason, EventKind, SessionState
from tmem_shim._shim import lib
from tmem_shim.abi import OFF, PAGE_BYTES, Event, PoolState
from tmem_shim.frontends import Cleancache
from tmem_shim.pool import Pool
from tmem_shim.records import Config
from tmem_shim.shim import Shim

SHARED = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
OID = (1, 0, 0)
TIMEOUT_S = 120.0


def page(version: int) -> bytes:
    return version.to_bytes(8, "little") * (PAGE_BYTES // 8)


def read(cache: Cleancache) -> bytes | None:
    into = bytearray(PAGE_BYTES)
    return bytes(into) if cache.get_page(OID, 0, into) else None


def read_served(cache: Cleancache) -> bytes:
    """What is there once the pool is served: a miss may be one for want of an echo."""
    while True:
        found = read(cache)
        if found is not None:
            return found


def mount(shim: Shim) -> Cleancache:
    cache = Cleancache(shim, SHARED)
    cache.pool.wait_ready(TIMEOUT_S)
    return cache


def await_expelled(host: Host, client: str) -> None:
    while True:
        event = host.server.next_event(TIMEOUT_S)
        assert event is not None, f"{client} is not expelled"
        if event.kind is EventKind.EXPELLED and event.client == client:
            return


# Long enough for this machine to be busy elsewhere.
EXPEL_MS = 3000
# A refused pool is asked for again after this (c/shim/pools_ask.c).
RETRY_MS = 1000
# Every get asks the host.
CONFIG = Config(get_ms=600_000, silent_ms=600_000, ahead_pages=OFF, summary_windows=OFF)


def test_a_guest_that_does_not_run_keeps_the_pool_from_being_served(
    make_host: Callable[..., Host],
) -> None:
    """Its flush may be on its way; when it runs again, everything goes on."""
    host = make_host(workers=1, lease_ms=500, expel_ms=24_000, giveup_ms=60_000)
    one, two = host.shim("one", config=CONFIG), host.shim("two", config=CONFIG)
    ours, theirs = mount(one), mount(two)
    ours.put_page(OID, 0, page(1))
    assert read_served(theirs) == page(1)
    two.pause()
    while "two" not in host.server.waited_for(SHARED):
        pass
    assert read(ours) is None
    assert host.server.session("one").unserved_gets > 0
    two.pause(False)
    assert read_served(ours) == page(1)
    assert read_served(theirs) == page(1)
    assert one.counters()["sessions_new"] == two.counters()["sessions_new"] == 1


def test_a_guest_that_stays_away_is_expelled(make_host: Callable[..., Host]) -> None:
    """The pool is emptied for the others; its mount stays out until the next one (R-a)."""
    host = make_host(workers=1, lease_ms=250, expel_ms=EXPEL_MS, giveup_ms=60_000)
    one, two = host.shim("one", config=CONFIG), host.shim("two", config=CONFIG)
    mount(one)
    theirs = mount(two)
    theirs.put_page(OID, 0, page(1))
    theirs.pool.wait_ready(TIMEOUT_S)
    two.stat()
    forget_events(two)
    two.pause()
    await_expelled(host, "two")
    two.pause(False)
    await_event(two, Event.STARTED)
    while theirs.pool.info().state is not PoolState.STAYS_OUT:
        two.stat()
    assert host.engine.usage().ephemeral_pages == 0
    assert read(theirs) is None
    theirs.put_page(OID, 0, page(2))
    assert host.engine.usage().ephemeral_pages == 0
    again = mount(two)
    again.put_page(OID, 0, page(3))
    assert read_served(again) == page(3)


def rejoin(shim: Shim) -> Pool:
    """As the kernel's hooks do for a mount whose pool was left while it lives on."""
    with shim.handle as pointer:
        return shim.pool(lib.tmem_shim_rejoin_pool(pointer, SHARED.bytes))


@pytest.mark.parametrize("silent", [False, True])
def test_a_mount_that_has_left_rejoins_only_if_its_guest_has_lived_on(
    make_host: Callable[..., Host], silent: bool
) -> None:
    """R-a: what it asked for before others took its guest for dead comes when it wakes."""
    host = make_host(workers=1, lease_ms=250, expel_ms=EXPEL_MS, giveup_ms=60_000)
    shim = host.shim("one", config=CONFIG)
    cache = mount(shim)
    cache.invalidate_fs()  # the host has seen it leave, so nobody expels it
    shim.pause()
    again = rejoin(shim)
    if silent:
        time.sleep(1.5 * EXPEL_MS / 1000)
    shim.pause(False)
    while again.info().state in {PoolState.WANTED, PoolState.ASKED}:
        time.sleep(0.01)
    assert again.info().state is (PoolState.STAYS_OUT if silent else PoolState.READY)


def test_a_mount_waits_for_its_frozen_client_without_getting_too_old(
    make_host: Callable[..., Host],
) -> None:
    """It asks every second, and echoes more often than that."""
    host = make_host(workers=1, lease_ms=250, expel_ms=RETRY_MS * 19 // 10, giveup_ms=60_000)
    shim = host.shim("one", config=CONFIG)
    cache = mount(shim)
    client = host.engine.find_client("one")
    client.set(frozen=True)
    while not shim.info().confirmed:  # it could not prove its age before
        time.sleep(0.001)
    host.server.end_session("one", EndReason.RESET)
    while (state := cache.pool.info().state) is not PoolState.REFUSED:
        assert state is not PoolState.STAYS_OUT
        time.sleep(0.01)
    time.sleep(4 * RETRY_MS / 1000)
    client.set(frozen=False)
    while (state := cache.pool.info().state) is not PoolState.READY:
        assert state is not PoolState.STAYS_OUT
        time.sleep(0.01)


def test_giving_up_a_flush_ends_the_session_before_the_lock_goes(
    make_host: Callable[..., Host],
) -> None:
    """R-b: the flush returns without an answer, and nobody gets what it should have removed."""
    host = make_host(workers=1, lease_ms=250, expel_ms=12_000, giveup_ms=1000)
    one, two = host.shim("one", config=CONFIG), host.shim("two", config=CONFIG)
    ours, theirs = mount(one), mount(two)
    theirs.put_page(OID, 0, page(1))
    assert read_served(ours) == page(1)
    forget_events(two)
    host.server.remove_channel(host.channels["two"])
    theirs.invalidate_inode(OID)
    assert await_event(two, Event.GAVE_UP)
    # The lock is another's now, who reads before the host has heard of anything.
    assert read(ours) is None
    host.channels["two"] = host.server.listen(host.socket("two"), client="two")
    await_event(two, Event.STARTED)
    while host.server.session("two").state is not SessionState.ACTIVE:
        pass
    assert host.engine.usage().ephemeral_pages == 0


def test_a_flush_waits_for_a_service_that_restarts(make_host: Callable[..., Host]) -> None:
    """M: until the host has it, the lock is not given up; then nobody reads the old page."""
    options = {"workers": 1, "expel_ms": 48_000, "giveup_ms": 120_000}
    host = make_host(**options)
    one, two = host.shim("one", config=CONFIG), host.shim("two", config=CONFIG)
    ours, theirs = mount(one), mount(two)
    theirs.put_page(OID, 0, page(1))
    assert read_served(ours) == page(1)
    forget_events(two)
    host.stop()
    await_event(two, Event.BROKEN)
    flush = threading.Thread(target=lambda: theirs.invalidate_inode(OID))
    flush.start()
    while not two.info().waiting:
        pass
    assert flush.is_alive()
    host.start(**options)
    flush.join()
    assert read(ours) is None
    ours.put_page(OID, 0, page(2))
    assert read_served(theirs) == page(2)
    assert two.counters()["giveups"] == 0


@pytest.mark.parametrize("leave", ["unmount", "end", "kill"])
def test_leaving_empties_the_pool(make_host: Callable[..., Host], leave: str) -> None:
    """R(1): in order or not."""
    host = make_host(workers=1, lease_ms=250, expel_ms=EXPEL_MS, giveup_ms=60_000)
    one, two = host.shim("one", config=CONFIG), host.shim("two", config=PATIENT)
    ours, theirs = mount(one), mount(two)
    ours.put_page(OID, 0, page(1))
    assert read_served(theirs) == page(1)
    if leave == "unmount":
        theirs.invalidate_fs()
    else:
        two.close(orderly=leave == "end")
    if leave != "unmount":
        while host.server.session("two").state in (SessionState.ACTIVE, SessionState.AWAITED):
            pass
    assert host.engine.usage().ephemeral_pages == 0
    ours.put_page(OID, 0, page(2))
    assert read_served(ours) == page(2)
