# SPDX-License-Identifier: GPL-2.0-or-later
"""What tmem costs this guest, over its own channel."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import Final

from tmem_guest.cli.errors import CommandError
from tmem_guest.session import Session
from tmem_shim.abi import OFF, PAGE_BYTES, Oid
from tmem_shim.pool import Pool
from tmem_shim.records import Config

ROUND_TRIPS: Final = 200
# Objects of the pool that the benchmark makes and destroys.
_RAW: Final[Oid] = (1, 0, 0)
_STORED: Final[Oid] = (2, 0, 0)
_ABSENT: Final[Oid] = (3, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Result:
    """Times include a call through Python for each run, and for each page of sequential reads."""

    pages: int
    depth: int
    round_trip_us: float  # median of a small question and its answer
    get_us: float  # a page that the host has, one at a time
    puts_per_s: float  # `depth` at once
    gets_per_s: float
    put_mib_per_s: float
    get_mib_per_s: float
    miss_trips_per_page: float  # of a sequential read of pages that the host does not have
    hit_trips_per_page: float  # ... that it has
    sequential_gets_per_s: float  # of the latter, one caller


def run(session: Session, pages: int, depth: int) -> Result:
    """Measures over the entered `session`, in a pool of its own that it destroys. CommandError
    when the host does not take as many pages."""
    # As the channel is: without reading ahead and without summaries.
    session.restart(Config(ahead_pages=OFF, summary_windows=OFF))
    pool = session.shim.new_pool()
    pool.wait_ready()
    try:
        round_trip_us = _round_trip_us(session)
        data, into = os.urandom(pages * PAGE_BYTES), bytearray(pages * PAGE_BYTES)
        put_s = _put(pool, _RAW, data, depth)
        get_s = _get(pool, into, pages, depth)
        if into != data:
            raise CommandError("the host gave back other pages than were put: they are damaged")
        few = min(pages, ROUND_TRIPS)
        _put(pool, _RAW, data[: few * PAGE_BYTES], depth)
        one_s = _get(pool, into, few, 1) / few
    finally:
        pool.destroy()
    # As a front end has it.
    session.restart(None)
    pool = session.shim.new_pool()
    pool.wait_ready()
    try:
        _put(pool, _STORED, data, depth)
        miss_trips, _, _ = _read_in_order(session, pool, _ABSENT, pages)
        hit_trips, hits, read_s = _read_in_order(session, pool, _STORED, pages)
    finally:
        pool.destroy()
    if hits != pages:
        raise CommandError(f"the host kept {hits} of {pages} pages: try with fewer --pages")
    mib = pages * PAGE_BYTES / (1 << 20)
    return Result(
        pages=pages,
        depth=depth,
        round_trip_us=round_trip_us,
        get_us=one_s * 1e6,
        puts_per_s=pages / put_s,
        gets_per_s=pages / get_s,
        put_mib_per_s=mib / put_s,
        get_mib_per_s=mib / get_s,
        miss_trips_per_page=miss_trips / pages,
        hit_trips_per_page=hit_trips / pages,
        sequential_gets_per_s=pages / read_s,
    )


def _round_trip_us(session: Session) -> float:
    times_us = []
    for _ in range(ROUND_TRIPS):
        started = time.perf_counter_ns()
        session.shim.stat()
        times_us.append((time.perf_counter_ns() - started) / 1000)
    return statistics.median(times_us)


def _put(pool: Pool, oid: Oid, data: bytes, depth: int) -> float:
    pages = len(data) // PAGE_BYTES
    started = time.perf_counter()
    results = pool.put_run(oid, 0, pages, data, depth=depth)
    took_s = time.perf_counter() - started
    stored = sum(map(bool, results))
    if stored != pages:
        raise CommandError(f"the host stored {stored} of {pages} pages: try with fewer --pages")
    return took_s


def _get(pool: Pool, into: bytearray, pages: int, depth: int) -> float:
    memory = memoryview(into)[: pages * PAGE_BYTES]
    started = time.perf_counter()
    results = pool.get_run(_RAW, 0, pages, memory, depth=depth)
    took_s = time.perf_counter() - started
    if not all(results):
        raise CommandError(f"the host kept {sum(results)} of {pages} pages: try with fewer --pages")
    return took_s


def _read_in_order(session: Session, pool: Pool, oid: Oid, pages: int) -> tuple[int, int, float]:
    """Round trips, hits and seconds of reading an object from its beginning to its end."""
    page = bytearray(PAGE_BYTES)
    before = session.shim.counters()["round_trips"]
    started = time.perf_counter()
    hits = sum(pool.get(oid, index, page) for index in range(pages))
    took_s = time.perf_counter() - started
    return session.shim.counters()["round_trips"] - before, hits, took_s
