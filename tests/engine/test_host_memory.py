# SPDX-License-Identifier: GPL-2.0-or-later
"""What the arena takes from the host and gives back, by the host's own numbers."""

from __future__ import annotations

import errno
import os
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.arenas import allocated_bytes, small_host, take_memory, why_no_mount
from tests.engine.conftest import MIB, OpenEngine
from tests.engine.filling import fill, held, put_all
from tests.engine.pages import Kind, oid, page, random_page
from tmem_host.native import ArenaError, Encoding, Engine, Put, ShrinkReport, TmemError

HOST_BYTES = 64 * MIB


@pytest.fixture
def host() -> Iterator[Path]:
    """A host with 64 MiB of memory for arenas."""
    reason = why_no_mount()
    if reason is not None:
        pytest.skip(reason)
    with small_host(HOST_BYTES) as directory:
        yield directory


def large_engine(path: Path, budget_bytes: int) -> Engine:
    return Engine(path, budget_bytes=budget_bytes, max_bytes=1 << 30)


def available_bytes() -> int:
    """What the kernel of the host this test runs on could give to a process.

    MemAvailable and, since it leaves them out, the free pages on the lists of each CPU: recent
    kernels keep hundreds of MiB there for a while.
    """
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    available = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo(), re.MULTILINE)
    assert available is not None, "the kernel does not say what is available"
    on_lists = re.findall(r"^\s+count: +(\d+)$", Path("/proc/zoneinfo").read_text(), re.MULTILINE)
    return (int(available[1]) << 10) + sum(map(int, on_lists)) * page_bytes


def meminfo() -> str:
    return Path("/proc/meminfo").read_text()


def free_bytes(directory: Path) -> int:
    """What the file system has free."""
    free = os.statvfs(directory)
    return free.f_bavail * free.f_frsize


@pytest.mark.parametrize("persistent", [True, False])
def test_b_holds_when_the_host_is_full(host: Path, persistent: bool) -> None:
    """A full tmpfs is a counted refusal and no signal, and refused puts drop what was there."""
    with large_engine(host / "arena", 1 << 30) as engine:
        client = engine.create_client("guest")
        pool = client.new_pool(persistent=persistent)
        small = [(oid(1), index) for index in range(300)]
        for name, index in small:
            assert pool.put(name, index, page(Kind.TINY, index))
        refused = 0
        stored = []
        for index in range(2 * HOST_BYTES // 4096):
            answer = pool.put(oid(2), index, random_page(index % 1000))
            if answer:
                stored.append(index)
            else:
                assert answer is Put.NO_ROOM
                refused += 1
                assert pool.read(oid(2), index) is None
                if refused == 500:
                    break
        counters = engine.counters()
        if persistent:
            assert refused == 500
            assert counters.refused_host == refused
            assert len(stored) * 4160 > HOST_BYTES * 0.9
            for index in stored:
                assert pool.read(oid(2), index) == random_page(index % 1000)
        else:
            assert counters.evicted > 0
        dropped = 0
        for name, index in small:
            answer = pool.put(name, index, random_page(5000 + index))
            assert answer in (Put.STORED, Put.DROPPED, Put.NO_ROOM)
            assert pool.read(name, index) == (random_page(5000 + index) if answer else None)
            dropped += answer is Put.DROPPED
        assert dropped > 0 or not persistent
        assert allocated_bytes(host / "arena") <= HOST_BYTES


def test_memory_that_comes_free_is_used_again(host: Path) -> None:
    """The host was full because of others; when they go, puts are stored again."""
    with large_engine(host / "arena", 1 << 30) as engine:
        pool = engine.create_client("guest").new_pool(persistent=True)
        put_all(pool, 1, 10)
        ballast = take_memory(host)
        answers = {pool.put(oid(2), index, random_page(index)) for index in range(2000)}
        assert Put.NO_ROOM in answers
        refused = engine.counters().refused_host
        assert refused > 0
        ballast.unlink()
        put_all(pool, 3, 1000)
        assert engine.counters().refused_host == refused
        assert held(pool, 1, 10) == set(range(10))


def test_everything_else_works_on_a_full_host(host: Path) -> None:
    """Gets, flushes, replacing in place, new clients: nothing raises a signal."""
    with large_engine(host / "arena", 1 << 30) as engine:
        client = engine.create_client("guest")
        pool = client.new_pool(persistent=True)
        put_all(pool, 1, 500)
        take_memory(host)

        def make_clients() -> None:
            for number in range(2000):
                made = engine.create_client(f"guest {number}").new_pool()
                made.put(oid(1), 0, random_page(number))

        with pytest.raises(TmemError) as caught:
            make_clients()
        assert caught.value.errno == errno.ENOMEM
        assert held(pool, 1, 500) == set(range(500))
        pool.flush_range(oid(1), 0, 250)
        assert held(pool, 1, 500) == set(range(250, 500))
        put_all(pool, 1, 100)
        assert engine.scrub(10_000) > 0
        assert engine.recovery().scrub_damaged_pages == 0


def test_an_arena_that_does_not_fit_is_refused_with_a_sentence(host: Path) -> None:
    """Opening reserves what it needs before it writes there."""
    take_memory(host)
    with pytest.raises(ArenaError) as caught:
        large_engine(host / "arena", 1 << 30)
    assert caught.value.errno in (errno.ENOSPC, errno.ENOMEM)
    assert str(caught.value)


def check_report(report: ShrinkReport, asked: int, resident_before: int) -> None:
    assert report.asked_bytes == asked
    assert report.held_busy_bytes == 0
    explained = report.returned_bytes + report.held_persistent_bytes
    assert explained >= min(asked, resident_before)


def test_shrinking_gives_the_bytes_back_to_the_host(host: Path) -> None:
    """By what the file system says is free, and by what is allocated to the file."""
    path = host / "arena"
    with large_engine(path, 32 * MIB) as engine:
        client = engine.create_client("guest")
        client.set(encoding=Encoding.RAW)
        put_all(client.new_pool(), 1, 6000)
        for asked in (1, 1 * MIB, 5 * MIB + 1, 1 << 40):
            before, free_before = engine.usage(), free_bytes(host)
            allocated = allocated_bytes(path)
            report = engine.shrink(asked)
            after = engine.usage()
            check_report(report, asked, before.resident_bytes)
            assert report.returned_bytes >= min(asked, before.freeable_bytes)
            assert before.resident_bytes - after.resident_bytes == report.returned_bytes
            assert allocated - allocated_bytes(path) == report.returned_bytes
            assert free_bytes(host) - free_before == report.returned_bytes
            evicted = before.ephemeral_pages - after.ephemeral_pages
            assert report.evicted_pages == evicted
        assert engine.usage().ephemeral_pages == 0
        assert engine.usage().resident_bytes == before.resident_bytes - report.returned_bytes
        assert engine.usage().freeable_bytes == 0


def huge_bytes_mapped(path: Path) -> int:
    """How much of the arena this process has mapped in huge pages."""
    mapped = 0
    ours = False
    inode = str(path.stat().st_ino)
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"^[0-9a-f]+-[0-9a-f]+ ", line):
            ours = line.split()[4] == inode
        elif ours and line.startswith("ShmemPmdMapped:"):
            mapped += int(line.split()[1]) << 10
    return mapped


def huge_pages_not_found() -> int:
    """How often the kernel had no huge page when one was asked for."""
    counts = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    if "thp_collapse_alloc" not in counts:
        pytest.skip("this kernel has no huge pages for shared memory")
    return int(counts["thp_collapse_alloc_failed"])


def test_huge_pages_come_back_in_pieces(arena_path: Path) -> None:
    """A large arena takes memory in huge pages, and gives back as little of one as it is asked."""
    size = 96 * MIB
    path = arena_path
    not_found = huge_pages_not_found()
    with Engine(path, budget_bytes=size, max_bytes=size) as engine:
        client = engine.create_client("guest")
        client.set(encoding=Encoding.RAW)
        pool = client.new_pool()
        count = 0
        while engine.usage().resident_bytes < 64 * MIB:
            pool.put(oid(1), count, random_page(count))
            count += 1
            assert engine.usage().resident_bytes == allocated_bytes(path)
        if huge_bytes_mapped(path) == 0:
            assert huge_pages_not_found() > not_found
            pytest.skip("the host has no huge page to spare")
        for asked in (1, 1 * MIB, 3 * MIB, 16 * MIB):
            before = allocated_bytes(path)
            returned = engine.shrink(asked).returned_bytes
            assert asked <= returned <= asked + engine.usage().extent_bytes
            assert before - allocated_bytes(path) == returned
            assert engine.usage().resident_bytes == allocated_bytes(path)
        for index in sorted(held(pool, 1, count)):
            assert pool.put(oid(2), index, random_page(index)) is Put.STORED
    with Engine(path, budget_bytes=size) as engine:
        assert engine.usage().resident_bytes == allocated_bytes(path)


def test_shrinking_shows_in_the_hosts_available_memory(arena_path: Path) -> None:
    """What the host has available rises when the arena shrinks, by about what it says. Others
    use the machine at the same time, hence the median of some rounds."""
    size = 256 * MIB
    risen = []
    with Engine(arena_path, budget_bytes=size, max_bytes=size) as engine:
        client = engine.create_client("guest")
        client.set(encoding=Encoding.RAW)
        pool = client.new_pool()
        for _ in range(7):
            for index in range(size // 4200):
                pool.put(oid(2), index, random_page(index % 200))
            assert engine.usage().resident_bytes > 0.9 * size
            full = available_bytes()
            report = engine.shrink(size)
            assert report.returned_bytes > 0.9 * size
            risen.append((available_bytes() - full) / report.returned_bytes)
    assert 0.5 < statistics.median(risen) < 1.5, risen


def test_persistent_pages_are_moved_out_of_sparse_extents(open_engine: OpenEngine) -> None:
    """One page here and there does not hold an extent each."""
    engine = open_engine(16 * MIB)
    client = engine.create_client("guest")
    client.set(encoding=Encoding.RAW)
    pool = client.new_pool(persistent=True)
    put_all(pool, 1, 3000)
    kept = set(range(0, 3000, 10))
    for index in range(3000):
        if index not in kept:
            pool.flush_page(oid(1), index)
    before = engine.usage()
    report = engine.shrink(1 << 40)
    check_report(report, 1 << 40, before.resident_bytes)
    assert report.moved_pages > 0
    assert report.evicted_pages == 0
    assert report.returned_bytes == before.freeable_bytes
    extents = -(-len(kept) // 3)  # three such pages to an extent
    tables = 4  # extents, for the rows of the tables
    assert engine.usage().resident_bytes <= (extents + tables) * before.extent_bytes
    assert report.held_persistent_bytes == engine.usage().resident_bytes
    assert held(pool, 1, 3000) == kept


@pytest.mark.parametrize("dedup", [False, True])
def test_freeable_is_what_shrinking_returns(open_engine: OpenEngine, dedup: bool) -> None:
    """The operator is promised exactly what there is, whatever the arena went through."""
    engine = open_engine(8 * MIB)
    client = engine.create_client("guest")
    client.set(dedup=dedup)
    ephemeral, persistent = client.new_pool(), client.new_pool(persistent=True)
    kinds = list(Kind)
    for index in range(4000):
        contents = page(kinds[index * 7 % len(kinds)], index % 400)
        (persistent if index % 3 == 0 else ephemeral).put(oid(index % 11), index, contents)
    for number in range(0, 11, 2):
        persistent.flush_object(oid(number))
    promised = engine.usage().freeable_bytes
    report = engine.shrink(1 << 40)
    assert report.returned_bytes == promised > 0
    assert engine.usage().freeable_bytes == 0
    assert engine.usage().ephemeral_pages == 0


def test_a_lower_budget_is_met_at_once(open_engine: OpenEngine, arena_path: Path) -> None:
    """And kept; raising it again takes nothing until it is needed."""
    engine = open_engine(8 * MIB)
    pool = engine.create_client("guest").new_pool()
    put_all(pool, 1, 1500)
    report = engine.set_budget(2 * MIB)
    assert report.returned_bytes > 3 * MIB
    assert engine.usage().resident_bytes <= 2 * MIB
    assert allocated_bytes(arena_path) <= 2 * MIB + 64 * 1024
    put_all(pool, 2, 1500)
    assert engine.usage().resident_bytes <= 2 * MIB
    engine.set_budget(8 * MIB)
    assert allocated_bytes(arena_path) <= 2 * MIB + 64 * 1024
    put_all(pool, 3, 1500)
    assert engine.usage().resident_bytes > 4 * MIB


def test_a_budget_below_what_is_persistent_is_a_target(open_engine: OpenEngine) -> None:
    """Nothing persistent is lost, nothing new is reserved, and the report says why."""
    engine = open_engine(8 * MIB)
    client = engine.create_client("guest")
    persistent, ephemeral = client.new_pool(persistent=True), client.new_pool()
    put_all(persistent, 1, 1000)
    put_all(ephemeral, 1, 300)
    report = engine.set_budget(MIB)
    usage = engine.usage()
    assert (usage.budget_bytes, usage.ephemeral_pages) == (MIB, 0)
    assert report.held_persistent_bytes >= usage.resident_bytes - MIB
    assert len(fill(persistent)) < 3  # places that were free already
    assert engine.counters().refused_full == 1
    assert held(persistent, 1, 1000) == set(range(1000))
    persistent.flush_range(oid(1), 100, 900)
    engine.set_budget(MIB)
    assert engine.usage().resident_bytes <= MIB
    assert persistent.put(oid(2), 0, page(Kind.SMALL, 1)) is Put.STORED
