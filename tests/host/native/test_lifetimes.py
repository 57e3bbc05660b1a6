# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever is closed, dropped or collected in whatever order: an exception, never a crash."""

import gc
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from tmem_host.native import Client, ClosedError, Engine, Pool
from tmem_shim.handle import Handle

OID = (1, 2, 3)


def test_everything_raises_once_the_engine_is_closed(
    engine: Engine, client: Client, persistent: Pool
) -> None:
    engine.close()
    for call in (
        engine.usage,
        engine.counters,
        engine.recovery,
        engine.clients,
        engine.scrub,
        lambda: engine.create_client("other"),
        lambda: engine.find_client("guest"),
        lambda: engine.shrink(1),
        lambda: engine.set_budget(1 << 20),
        lambda: engine.shared_auth_all,
        client.info,
        client.counters,
        client.destroy,
        client.new_pool,
        client.pools,
        lambda: client.set(weight=1),
        persistent.info,
        persistent.destroy,
        lambda: persistent.put(OID, 0, bytes(4096)),
        lambda: persistent.read(OID, 0),
    ):
        with pytest.raises(ClosedError, match="is closed"):
            call()


def test_closing_again_does_nothing(engine: Engine, client: Client) -> None:
    client.close()
    client.close()
    engine.close()
    client.close()
    engine.close()


def test_a_closed_reference_leaves_the_client(engine: Engine) -> None:
    with engine.create_client("guest") as client:
        pool = client.new_pool(persistent=True)
        pool.put(OID, 0, bytes(4096))
    with pytest.raises(ClosedError, match="client reference"):
        pool.read(OID, 0)
    assert engine.find_client("guest").pool(pool.id).read(OID, 0) == bytes(4096)


def test_closing_the_engine_lets_the_arena_go(arena_path: Path) -> None:
    engine = Engine(arena_path)
    client = engine.create_client("guest")
    engine.close()
    with Engine(arena_path) as again:
        assert [found.name for found in again.clients()] == ["guest"]
    assert client.name == "guest"


def test_an_engine_that_nobody_holds_is_closed(arena_path: Path) -> None:
    gc.disable()
    try:
        Engine(arena_path).create_client("guest")
        # without a cycle collection: nothing in it refers back to it
        Engine(arena_path).close()
    finally:
        gc.enable()


def test_a_client_keeps_its_engine(arena_path: Path) -> None:
    client = Engine(arena_path).create_client("guest")
    gc.collect()
    assert client.new_pool().put(OID, 0, bytes(4096))


def test_references_of_dropped_clients_are_given_back(engine: Engine) -> None:
    client = engine.create_client("guest")
    handle = weakref.ref(client)
    del client
    assert handle() is None
    for _ in range(1000):
        engine.find_client("guest")
    assert len(engine._held) == 0


def test_engine_and_client_in_one_garbage_cycle(arena_path: Path) -> None:
    engine = Engine(arena_path)
    client = engine.create_client("guest")
    cycle: list[object] = [engine, client, client.new_pool()]
    cycle.append(cycle)
    del engine, client, cycle
    gc.collect()
    Engine(arena_path).close()


def test_a_client_dropped_after_its_engine_was_closed(engine: Engine) -> None:
    client = engine.create_client("guest")
    pool = client.new_pool()
    engine.close()
    del pool, client
    gc.collect()


def test_an_engine_that_could_not_be_opened_is_dropped_quietly(arena_path: Path) -> None:
    arena_path.mkdir()
    for _ in range(3):
        with pytest.raises(Exception, match=r"."):
            Engine(arena_path)
    gc.collect()


def test_the_interpreter_ends_with_an_open_engine(arena_path: Path) -> None:
    program = (
        "import sys; from tmem_host.native import Engine\n"
        "engine = Engine(sys.argv[1]); client = engine.create_client('guest')\n"
        "pool = client.new_pool(persistent=True); pool.put((1, 2, 3), 0, bytes(4096))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, arena_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Engine(arena_path) as engine:
        assert engine.recovery().pages == 1


def test_a_failed_call_ends_its_use_of_the_handle() -> None:
    released: list[int] = []
    handle = Handle("thing", 5, released.append)

    def fail() -> None:
        with handle as value:
            raise KeyError(value)

    with pytest.raises(KeyError, match="5"):
        fail()
    handle.close()
    assert released == [5]
