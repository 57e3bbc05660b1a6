# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures, seeds and replay of traces whose answers are known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.trace.reference import HAS_PAGE, Client, File, Record
from tmem_host.native import Encoding, Engine, Trace
from tmem_host.trace import Distances, measure
from tmem_host.trace.seeds import seeds

V1 = 1 << 24
NEW, DESTROY, PUT, GET, FLUSH, OBJECT, RANGE, FLUSH_POOL, START = 1, 2, 4, 5, 6, 7, 16, 17, 33


def write(path: Path, rows: list[dict[str, int]], pages: tuple[bytes, ...] = ()) -> Path:
    block = [Record(time_ns, **row) for time_ns, row in enumerate(rows, start=1)]
    file = File([Client(0, b"web"), Client(1, b"db")], [block], {0: pages} if pages else {})
    path.write_bytes(b"".join(file.parts()))
    return path


ROWS = [
    {"op": NEW, "pool": 7, "index": V1},
    {"op": NEW, "pool": 8, "index": V1 | 1, "oid2": 1},
    *({"op": PUT, "pool": 7, "index": i} for i in range(4)),
    *({"op": PUT, "pool": 8, "index": i} for i in range(2)),
    {"op": GET, "pool": 7, "index": 0},  # a hit, which takes it out
    {"op": GET, "pool": 7, "index": 0, "result": 0},
    {"op": GET, "pool": 8, "index": 1},  # persistent: it stays
    {"op": FLUSH, "pool": 7, "index": 1},
    {"op": RANGE, "pool": 7, "index": 2, "count": 9},
    {"op": OBJECT, "pool": 8},
    {"op": START, "client": 1, "result": 2},
]


def test_figures(tmp_path: Path) -> None:
    with Trace(write(tmp_path / "trace", ROWS)) as trace:
        found = measure(trace).as_map()
    assert found["distinct_pages"] == 6
    assert found["most_pages"] == 6
    assert found["all"]["hit_ratio"] == 2 / 3
    assert found["clients"]["web"]["operations"] == {
        "new_pool": 2, "put": 6, "get": 3, "flush_page": 1, "flush_range": 1, "flush_object": 1,
    }  # fmt: skip
    assert found["clients"]["db"]["operations"] == {"start": 1}
    assert found["clients"]["db"]["hit_ratio"] is None
    # the distances: 5 pages between, 0, and 1
    assert (
        found["reuse"] | {"first_uses": 6, "reuses": 3, "below": {"1": 1, "2": 1, "8": 1}}
        == (found["reuse"])
    )


@given(st.lists(st.integers(0, 20), max_size=200))
def test_distances_are_those_of_a_list(pages: list[int]) -> None:
    distances, recent = Distances(room=4), list[int]()
    for page in pages:
        expected = recent.index(page) if page in recent else None
        assert distances.use(page) == expected
        if page in recent:
            recent.remove(page)
        recent.insert(0, page)


def test_replay_gives_what_was_recorded(tmp_path: Path, arena_path: Path) -> None:
    with Trace(write(tmp_path / "trace", ROWS)) as trace, Engine(arena_path) as engine:
        report = trace.replay(engine)
        counters = engine.counters()
        clients = [client.name for client in engine.clients()]
    assert (report.gets, report.gets_hit, report.gets_hit_recorded) == (3, 2, 2)
    assert (report.puts, report.puts_done, report.made_up_pages) == (6, 6, 6)
    assert (report.flushes, report.pool_operations, report.passed_over) == (3, 3, 0)
    assert counters.gets_hit == 2
    assert clients == ["web", "db"]


def test_replay_with_contents_and_another_encoding(tmp_path: Path, arena_path: Path) -> None:
    rows = [{"op": NEW, "pool": 7, "index": V1}] + [
        {"op": PUT, "pool": 7, "index": i, "flags": HAS_PAGE} for i in range(2)
    ]
    pages = (bytes(4096), b"ab" * 1024 + bytes(range(256)) * 8)
    with (
        Trace(write(tmp_path / "trace", rows, pages)) as trace,
        Engine(arena_path) as engine,
    ):
        report = trace.replay(engine, encoding=Encoding.ZSTD)
        counters = engine.counters()
    assert report.made_up_pages == 0
    assert (counters.encoded_same, counters.encoded_zstd, counters.encoded_lz4) == (1, 1, 0)


def test_a_small_budget_costs_hits(tmp_path: Path, arena_path: Path) -> None:
    rows: list[dict[str, int]] = [{"op": NEW, "pool": 1, "index": V1}]
    rows += [{"op": PUT, "pool": 1, "oid0": i % 7, "index": i} for i in range(2000)]
    rows += [{"op": GET, "pool": 1, "oid0": i % 7, "index": i} for i in range(2000)]
    found = []
    with Trace(write(tmp_path / "trace", rows)) as trace:
        for number, budget in enumerate((2 << 20, 64 << 20)):
            path = arena_path.with_name(f"arena-{number}")
            with Engine(
                path, budget_bytes=budget, max_bytes=64 << 20, extent_bytes=64 << 10
            ) as engine:
                report = trace.replay(engine, encoding=Encoding.RAW)
                found.append(report.gets_hit)
    assert 0 < found[0] < found[1] == 2000


def test_pools_that_a_session_leaves_are_left(tmp_path: Path, arena_path: Path) -> None:
    rows: list[dict[str, int]] = [
        {"op": NEW, "pool": 1, "index": V1},
        {"op": PUT, "pool": 1},
        {"op": START, "result": 1},  # resumed: nothing is lost
        {"op": GET, "pool": 1},
        {"op": PUT, "pool": 1},
        {"op": START, "result": 2},
        {"op": GET, "pool": 1, "result": 0},
    ]
    with Trace(write(tmp_path / "trace", rows)) as trace, Engine(arena_path) as engine:
        report = trace.replay(engine)
        pages = engine.usage().ephemeral_pages
    assert (report.gets_hit, report.passed_over, pages) == (1, 1, 0)


def test_seeds_are_what_the_fuzzer_takes(tmp_path: Path) -> None:
    path = write(tmp_path / "trace", ROWS)
    with Trace(path) as trace:
        found = list(seeds(trace))
    assert len(found) == 1
    authorised = bytes(byte for who in range(6) for byte in (199, who))
    assert found[0].startswith(authorised)
    folder = tmp_path / "seeds"
    command = [sys.executable, "-m", "tmem_host.trace.seeds", str(path), str(folder)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
    assert [file.read_bytes() for file in folder.iterdir()] == found
    done = subprocess.run([*command[:3], "absent", str(folder)], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"No such file" in done.stderr
