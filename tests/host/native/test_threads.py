# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls run side by side, and closing waits for those that run."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tmem_host.native import Client, ClosedError, Encoding, Engine, check_arena
from tmem_shim.handle import Handle

OID = (1, 2, 3)


@pytest.fixture
def no_forced_switch() -> Iterator[None]:
    """Python threads change only where one lets go of the interpreter's lock by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("no_forced_switch")
def test_other_threads_run_during_a_call(arena_path: Path) -> None:
    with Engine(arena_path, budget_bytes=128 << 20) as engine, engine.create_client("g") as client:
        client.set(encoding=Encoding.RAW)
        pool = client.new_pool(persistent=True)
        page = os.urandom(4096)
        for index in range(10_000):
            pool.put(OID, index, page)

    ticks = 0
    stop = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            time.sleep(0)

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        # Between these two lines only the call itself can let the other thread run.
        before = ticks
        check_arena(arena_path, contents=True)
        after = ticks
    finally:
        stop.set()
        ticking.join()
    assert after > before


def test_threads_share_one_engine(engine: Engine) -> None:
    def work(number: int) -> int:
        with engine.create_client(f"guest{number}") as client:
            pool = client.new_pool(persistent=True)
            for index in range(300):
                page = number.to_bytes(2, "little") * 1024 + index.to_bytes(4, "little") * 512
                assert pool.put(OID, index, page)
                assert pool.read(OID, index) == page
            return client.counters().gets_hit

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(8))) == [300] * 8
    assert engine.counters().puts_stored == 8 * 300
    assert engine.usage().persistent_pages == 8 * 300


def test_settings_set_at_once_do_not_undo_each_other(engine: Engine, client: Client) -> None:
    def set_weight() -> None:
        for number in range(1, 501):
            engine.find_client("guest").set(weight=number)

    def set_cap() -> None:
        for number in range(1, 501):
            client.set(cap_bytes=number << 20)

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(set_weight), threads.submit(set_cap)]:
            future.result()
    settings = client.settings()
    assert (settings.weight, settings.cap_bytes) == (500, 500 << 20)


@pytest.mark.parametrize("attempt", range(10))
def test_closing_under_load(engine: Engine, attempt: int) -> None:
    pool = engine.create_client("guest").new_pool()
    running = threading.Barrier(4)

    def load() -> str:
        running.wait()
        index = 0
        try:
            while True:
                pool.put(OID, index, bytes(4096))
                engine.find_client("guest").info()
                index += 1
        except ClosedError:
            return "closed"

    with ThreadPoolExecutor(3) as threads:
        loads = [threads.submit(load) for _ in range(3)]
        running.wait()
        time.sleep(attempt / 1000)
        engine.close()
        assert [future.result() for future in loads] == ["closed"] * 3


def test_close_waits_for_a_running_call() -> None:
    released = threading.Event()
    handle = Handle("thing", 5, lambda _: released.set())
    inside, leave = threading.Event(), threading.Event()

    def call() -> None:
        with handle:
            inside.set()
            leave.wait()
            assert not released.is_set()

    with ThreadPoolExecutor(3) as threads:
        calling = threads.submit(call)
        inside.wait()
        closings = [threads.submit(handle.close) for _ in range(2)]
        while True:  # until a closing has begun, calls are served
            try:
                with handle:
                    pass
            except ClosedError:
                break
        assert not released.is_set()
        assert not any(closing.done() for closing in closings)
        leave.set()
        for future in [calling, *closings]:
            future.result()
    assert released.is_set()
