# SPDX-License-Identifier: GPL-2.0-or-later
"""The shim in Python: pages, sessions, events, errors."""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.shim.conftest import PATIENT, Host
from tests.system.events import await_event, forget_events
from tmem_shim import errors, records
from tmem_shim._shim import ffi
from tmem_shim.abi import INDEX_MAX, PAGE_BYTES, Event, PoolFlags, Put, State
from tmem_shim.frontends import Cleancache, SwapArea
from tmem_shim.records import Config
from tmem_shim.session import BadSavedSession, SavedSession
from tmem_shim.shim import Shim

OID = (1, 2**63, 2**64 - 1)


def pages(count: int) -> bytes:
    return os.urandom(count * PAGE_BYTES)


# ---- pages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("persistent", [False, True])
def test_pages_come_back_until_they_are_flushed(host: Host, persistent: bool) -> None:
    pool = host.shim().new_pool(persistent=persistent)
    pool.wait_ready()
    data = pages(3)
    for i in range(3):
        assert pool.put(OID, INDEX_MAX - i, data[i * PAGE_BYTES : (i + 1) * PAGE_BYTES]) is (
            Put.STORED
        )
    assert pool.read(OID, INDEX_MAX) == data[:PAGE_BYTES]
    assert (pool.read(OID, INDEX_MAX) is not None) == persistent
    pool.flush_page(OID, INDEX_MAX - 1)
    assert pool.read(OID, INDEX_MAX - 1) is None
    assert pool.read(OID, INDEX_MAX - 2) == data[2 * PAGE_BYTES :]
    pool.flush()
    assert pool.read(OID, INDEX_MAX - 2) is None


@pytest.mark.parametrize("depth", [1, 7, 256])
def test_runs_of_pages(host: Host, depth: int) -> None:
    """Many at once, and which of them are there."""
    pool = host.shim().new_pool(persistent=True)
    pool.wait_ready()
    data, into = pages(700), bytearray(700 * PAGE_BYTES)
    assert pool.put_run(OID, 5, 700, data, depth=depth) == [Put.STORED] * 700
    assert pool.get_run(OID, 5, 700, into, depth=depth) == [True] * 700
    assert into == data
    pool.flush_range(OID, 100, 200)
    there = pool.get_run(OID, 5, 700, into, depth=depth)
    assert [5 + i for i, hit in enumerate(there) if not hit] == list(range(100, 300))


def test_wrong_arguments_do_nothing(host: Host) -> None:
    pool = host.shim().new_pool()
    with pytest.raises(ValueError, match="4096 bytes"):
        pool.put(OID, 0, b"short")
    with pytest.raises(ValueError, match="writable"):
        pool.get(OID, 0, bytes(PAGE_BYTES))
    with pytest.raises(ValueError, match="3 words"):
        pool.read((1, 2), 0)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        pool.read(OID, 2**64)
    with pytest.raises(ValueError, match="1 to 256"):
        pool.put_run(OID, 0, 1, pages(1), depth=257)


def test_a_pool_that_is_not_there(host: Host) -> None:
    shim = host.shim()
    pool = shim.new_pool()
    pool.wait_ready()
    pool.destroy()
    shim.stat()  # answered after it
    for call in (
        lambda: pool.put(OID, 0, pages(1)),
        lambda: pool.flush_page(OID, 0),
        pool.flush,
        pool.info,
        pool.wait_ready,
        pool.destroy,
    ):
        with pytest.raises(errors.UnknownPool):
            call()
    assert shim.pools() == []


def test_refusals(host: Host) -> None:
    shim = host.shim()
    with host.engine.find_client("guest") as client:
        client.set(frozen=True)
    refused = shim.new_pool()
    with pytest.raises(errors.PoolRefused) as caught:
        refused.wait_ready()
    assert caught.value.errno == 1000
    with pytest.raises(errors.BadConfig):
        Shim(host.socket(), config=Config(queue_entries=3))
    with pytest.raises(errors.BadConfig, match="107 bytes"):
        Shim("/" + "x" * 107)
    small = host.shim("small", config=Config(pools=1))
    small.new_pool()
    with pytest.raises(errors.BadPool) as full:
        small.new_pool()
    assert full.value.errno == errno.EMFILE


def test_front_ends(host: Host) -> None:
    """Under the names of the kernel's hooks."""
    shim = host.shim()
    page, into = pages(1), bytearray(PAGE_BYTES)
    cache = Cleancache(shim)
    cache.pool.wait_ready()
    cache.put_page(OID, 0, page)
    assert cache.get_page(OID, 0, into)
    assert into == page
    assert not cache.get_page(OID, 0, into)
    cache.put_page(OID, 1, page)
    cache.invalidate_page(OID, 1)
    cache.put_page(OID, 2, page)
    cache.invalidate_inode(OID)
    assert not cache.get_page(OID, 1, into)
    assert not cache.get_page(OID, 2, into)
    cache.invalidate_fs()
    with SwapArea(shim, 3, 1000) as area:
        with pytest.raises(errors.BadSwapArea):
            SwapArea(shim, 3, 1000)
        while not area.store(999, page):  # until the host has made the pool
            pass
        assert not area.store(1000, page)
        area.load(999, into)
        assert into == page
        area.invalidate_page(999)
    with pytest.raises(errors.BadSwapArea):
        SwapArea(shim, 32, 1)


def test_a_store_that_fails_says_why(host: Host) -> None:
    """Each reason has a counter of its own; what the host says is told apart, too."""
    shim, page = host.shim(), pages(1)

    def counted(offset: int) -> list[str]:
        before = shim.counters()
        assert not area.store(offset, page)
        after = shim.counters()
        changed = [name for name in after if after[name] != before[name]]
        return [name for name in changed if name.startswith("stores") or "refused" in name]

    with host.engine.find_client("guest") as client, SwapArea(shim, 0, 4000) as area:
        while not area.store(0, page):  # until the host has made the pool
            pass
        assert counted(4000) == ["stores_no_pool"]
        client.set(frozen=True)
        assert counted(1) == ["stores_refused_frozen", "puts_refused_frozen"]
        client.set(frozen=False, persistent_quota_bytes=PAGE_BYTES)
        assert counted(1) == ["stores_refused_quota", "puts_refused_quota"]
        client.set(persistent_quota_bytes=0)
        host.engine.set_budget(1)
        full = next(i for i in range(1, 4000) if not area.store(i, pages(1)))
        assert counted(full) == ["stores_refused_full", "puts_refused_full"]
        forget_events(shim)
        host.stop()
        await_event(shim, Event.BROKEN)
        assert counted(0) == ["stores_down"]
        host.start()
        await_event(shim, Event.RESUMED)


# ---- sessions --------------------------------------------------------------------------------


def test_a_session_goes_on_in_another_shim(host: Host) -> None:
    shim = host.shim()
    kept = shim.new_pool(persistent=True)
    lost = shim.new_pool()
    for pool in (kept, lost):
        pool.wait_ready()
        assert pool.put(OID, 7, bytes([7]) * PAGE_BYTES)
    saved = SavedSession.from_map(shim.save(60).to_map())
    with pytest.raises(errors.ClosedError):
        kept.read(OID, 7)
    again = host.shim(session=saved)
    assert await_event(again, Event.RESUMED).code == 0
    assert [pool.info().flags for pool in again.pools()] == [PoolFlags.PERSISTENT, PoolFlags(0)]
    assert [pool.read(OID, 7) for pool in again.pools()] == [bytes([7]) * PAGE_BYTES] * 2


def test_an_unfinished_session_keeps_persistent_pages(host: Host) -> None:
    """The same boot id is the same guest; what nobody saved is a new epoch."""
    shim = host.shim()
    pool = shim.new_pool(persistent=True)
    pool.wait_ready()
    assert pool.put(OID, 7, bytes([7]) * PAGE_BYTES)
    saved = shim.save(60)
    again = host.shim(session=dataclasses.replace(saved, session=None))
    assert await_event(again, Event.STARTED).code == 2
    assert again.pools()[0].read(OID, 7) == bytes([7]) * PAGE_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"boot_id": "00"},
        {"boot_id": 3},
        {"session": [1, 2]},
        {"session": [1, 2, 3, 4, -5]},
        {"pools": [{}]},
        {"pools": [{"host_id": 0, "flags": 1, "uuid": "x"}]},
        {"pools": 7},
    ],
)
def test_what_is_no_saved_session_is_refused(change: dict[str, object]) -> None:
    good = SavedSession(boot_id=bytes(16), session=(1, 2, 3, 4, 5)).to_map()
    assert SavedSession.from_map(good).to_map() == good
    with pytest.raises(BadSavedSession):
        SavedSession.from_map({**good, **change})


def test_a_broken_channel_is_mended_without_anybody(host: Host) -> None:
    shim = host.shim()
    pool = shim.new_pool(persistent=True)
    pool.wait_ready()
    assert pool.put(OID, 0, bytes(PAGE_BYTES))
    for _ in range(5):
        forget_events(shim)
        shim.break_channel()
        await_event(shim, Event.RESUMED)
        assert pool.read(OID, 0) == bytes(PAGE_BYTES)
    assert shim.transport().opened == 6


def test_loads_wait_for_a_service_that_comes_back(host: Host) -> None:
    """P: however long that takes; nobody is told that the page is not there."""
    shim = host.shim()
    pool = shim.new_pool(persistent=True)
    pool.wait_ready()
    assert pool.put(OID, 0, bytes([9]) * PAGE_BYTES)
    forget_events(shim)
    host.stop()
    await_event(shim, Event.BROKEN)
    found: list[bytes | None] = []
    load = threading.Thread(target=lambda: found.append(pool.read(OID, 0)))
    load.start()
    await_event(shim, Event.LOAD_WAITS)
    assert not shim.transport().connected
    assert found == []
    host.start()
    load.join()
    assert found == [bytes([9]) * PAGE_BYTES]


def test_closing_ends_waits(host: Host) -> None:
    shim = host.shim()
    pool = shim.new_pool(persistent=True)
    pool.wait_ready()
    host.stop()
    await_event(shim, Event.BROKEN)
    load = threading.Thread(target=lambda: pool.read(OID, 0))
    load.start()
    await_event(shim, Event.LOAD_WAITS)
    shim.close()
    load.join()


def test_nobody_at_the_other_end(tmp_path: Path) -> None:
    with Shim(tmp_path / "none") as shim:
        with pytest.raises(errors.NoSession, match="no such port or socket"):
            shim.wait(2)
        with pytest.raises(errors.NoSession):
            shim.stat()
        with pytest.raises(errors.NoSession):
            shim.save(0.1)
        assert shim.info().state is State.CLOSED
        pool = shim.new_pool()
        assert pool.read(OID, 0) is None
        assert not pool.queue(OID, 0, bytes(PAGE_BYTES))


def test_a_given_socket_is_used_once(host: Host) -> None:
    """There is no path to open another one at."""
    ours, theirs = socket.socketpair()
    host.server.adopt(theirs, client="guest")
    with Shim(fd=ours.detach(), config=PATIENT) as shim:
        shim.wait(60)
        assert shim.stat()["epoch"] == 1
        shim.break_channel()
        await_event(shim, Event.BROKEN)
        with pytest.raises(errors.NoSession):
            shim.wait(0.05)


def test_many_threads_share_a_shim(host: Host) -> None:
    pool = host.shim().new_pool(persistent=True)
    pool.wait_ready()
    wrong: list[int] = []

    def use(number: int) -> None:
        data, into = pages(100), bytearray(100 * PAGE_BYTES)
        if not all(pool.put_run((number, 0, 0), 0, 100, data, depth=16)):
            wrong.append(number)
        if not all(pool.get_run((number, 0, 0), 0, 100, into, depth=16)) or into != data:
            wrong.append(number)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- the face itself -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", records.STRUCTS)
def test_records_have_the_fields_of_their_structs(kind: type) -> None:
    fields = [name for name, _ in ffi.typeof(records.STRUCTS[kind]).fields]
    assert sorted(field.name for field in dataclasses.fields(kind)) == sorted(fields)


def test_a_configuration_has_what_the_c_one_has() -> None:
    fields = {name for name, _ in ffi.typeof("struct tmem_shim_config").fields}
    ours = {field.name for field in dataclasses.fields(Config)}
    # who it is, and where its memory is, the transport says
    assert fields - ours == {"boot_id", "implementation", "piece_bytes"}


def test_every_counter_has_a_meaning(host: Host) -> None:
    counters = host.shim().counters()
    assert list(counters) == list(records.COUNTER_MEANINGS)
    fields = [name for name, _ in ffi.typeof("struct tmem_shim_counters").fields]
    assert list(counters) == fields
    assert counters["sessions_new"] == 1


def test_no_engine_is_in_it() -> None:
    """What a guest image carries works without the host's package, and has none of its code."""
    script = (
        "import sys; sys.modules['tmem_host'] = None; import tmem_guest.cli, tmem_guest.bench,"
        " tmem_shim.shim, tmem_shim.frontends; from tmem_shim import _shim; print(_shim.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    symbols = subprocess.run(
        ["nm", done.stdout.strip()], check=True, capture_output=True, text=True
    ).stdout
    assert " T tmem_shim_init" in symbols
    assert "tmem_engine" not in symbols
    assert "tmem_server" not in symbols
