# SPDX-License-Identifier: GPL-2.0-or-later
"""Recording: everything that is served is in the file, in its order, or counted as dropped."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server.conftest import SHARED, Host
from tests.server.peer import GET, OID, PUT, Peer, page_of
from tests.trace.reference import RECORDS, read_blocks, records_of
from tmem_host.native import Engine, Operation, Trace, TraceError, TraceOp


def ops(trace: Trace) -> list[str]:
    return [TraceOp(operation.op).name for operation in trace.operations()]


def test_requests_are_recorded_as_they_were_served(host: Host, peer: Peer, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    before = peer.new_pool(persistent=True)
    host.server.start_trace(path)
    pool = peer.new_pool(shared=SHARED.bytes)
    assert peer.put(before, 3, page_of(1)) == 1
    assert peer.call(GET, pool=before, oid=OID, index=3, status=2).status == 1
    assert peer.call(GET, pool=pool, oid=OID, index=4).status in (0, -1001)
    status = host.server.stop_trace()
    assert (status.records, status.dropped, status.clients, status.code) == (5, 0, 1, 0)
    assert status.file_bytes == path.stat().st_size
    assert path.stat().st_mode & 0o137 == 0
    with Trace(path) as trace:
        found = list(trace.operations())
        assert ops(trace) == ["POOL", "NEW_POOL", "PUT", "GET", "GET"]
        assert [client.name for client in trace.clients] == ["guest"]
        assert trace.problems() == []
    known, made, put, got, missed = found
    assert (known.pool, known.oid2) == (before, 1)
    assert (made.pool, made.oid2 & 2, made.result) == (pool, 2, 1)
    uuid = made.oid0.to_bytes(8, "little") + made.oid1.to_bytes(8, "little")
    assert uuid == SHARED.bytes
    assert (put.pool, put.page_index, put.result) == (before, 3, 1)
    assert (put.oid0, put.oid1, put.oid2) == OID
    assert (got.pages, got.result) == (2, 1)
    assert missed.result in (0, -1001)
    assert [operation.time_ns for operation in found] == sorted(
        {operation.time_ns for operation in found}
    )


def test_the_file_is_as_documented(host: Host, peer: Peer, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    pool = peer.new_pool()
    host.server.start_trace(path, contents=True)
    for index in range(300):  # more pages than a block has
        assert peer.put(pool, index, page_of(index)) == 1
    host.server.stop_trace()
    blocks = read_blocks(path.read_bytes())
    assert [kind for kind, _, _ in blocks] == [1, 2, 2, 3]
    records = [
        record
        for kind, count, raw in blocks
        if kind == RECORDS
        for record in records_of(raw[: 56 * count], count)
    ]
    assert [record.index for record in records if record.op == PUT] == list(range(300))
    with Trace(path) as trace:
        found = [trace.contents(operation) for operation in trace.operations()]
    assert found == [None, *(page_of(index) for index in range(300))]


def test_ends_and_beginnings_of_sessions(host: Host, peer: Peer, tmp_path: Path) -> None:
    host.server.start_trace(tmp_path / "trace")
    peer.new_pool()
    again = host.again(peer)
    again.begin()
    host.server.stop_trace()
    with Trace(tmp_path / "trace") as trace:
        assert "START" in ops(trace)


def test_what_cannot_be_started(host: Host, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no trace is being recorded"):
        host.server.stop_trace()
    assert not host.server.trace_status().recording
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(TraceError, match="a file is there already"):
        host.server.start_trace(taken)
    assert taken.read_text() == "mine"
    with pytest.raises(TraceError, match="No such file or directory"):
        host.server.start_trace(tmp_path / "absent" / "trace")
    host.server.start_trace(tmp_path / "one")
    with pytest.raises(TraceError, match="recorded already"):
        host.server.start_trace(tmp_path / "two")
    assert not (tmp_path / "two").exists()
    assert host.server.trace_status().recording
    host.server.stop_trace()


def test_a_limit_ends_the_file_whole(host: Host, peer: Peer, tmp_path: Path) -> None:
    pool = peer.new_pool()
    host.server.start_trace(tmp_path / "trace", contents=True, max_bytes=40_000)
    for index in range(600):
        assert peer.put(pool, index, os.urandom(4096)) == 1
    status = host.server.stop_trace()
    assert "its limit of 40000 bytes" in status.message
    assert status.dropped
    assert (tmp_path / "trace").stat().st_size <= 40_000
    with Trace(tmp_path / "trace") as trace:
        assert trace.operation_count == status.records
        assert any(f"{status.dropped} operations were never" in text for text in trace.problems())
        assert any("ended early" in text for text in trace.problems())


def test_a_server_that_stops_ends_its_trace(host: Host, peer: Peer, tmp_path: Path) -> None:
    host.server.start_trace(tmp_path / "trace")
    peer.new_pool()
    host.stop()
    with Trace(tmp_path / "trace") as trace:
        assert trace.problems() == []
        assert "NEW_POOL" in ops(trace)


def test_under_load_all_is_recorded_or_counted(
    make_host: Callable[..., Host], tmp_path: Path
) -> None:
    """Several workers; each client's operations are in its order, and a replay hits as often."""
    host = make_host(workers=2)
    guests = [host.guest(f"guest-{number}") for number in range(4)]
    pools = [guest.new_pool() for guest in guests]
    host.server.start_trace(tmp_path / "trace")

    def work(guest: Peer, pool: int) -> None:
        for index in range(250):
            assert guest.put(pool, index, page_of(index)) == 1
        for index in range(250):
            assert guest.call(GET, pool=pool, oid=OID, index=index).status == 1

    threads = [threading.Thread(target=work, args=pair) for pair in zip(guests, pools, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = host.server.stop_trace()
    assert status.records + status.dropped == 4 * 501
    with Trace(tmp_path / "trace") as trace:
        by_client: dict[int, list[Operation]] = {}
        for operation in trace.operations():
            by_client.setdefault(operation.client, []).append(operation)
        assert len(by_client) == 4
        if not status.dropped:
            for mine in by_client.values():
                indexes = [operation.page_index for operation in mine if operation.op in (PUT, GET)]
                assert indexes == [*range(250), *range(250)]
            with Engine(host.arena.with_name("fresh")) as engine:
                report = trace.replay(engine)
            assert report.gets_hit == report.gets_hit_recorded == 1000
