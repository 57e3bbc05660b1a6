# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written is read; of a damaged file what is sound is read, and the rest is told."""

from __future__ import annotations

import tempfile
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trace.reference import HAS_PAGE, Client, File, Record, block, header, records_block
from tmem_host.native import Trace, TraceError, TraceOp

WORDS = st.integers(0, 2**64 - 1)
CLIENTS = [Client(0, b"web"), Client(1, b"db", weight=3)]


@st.composite
def records(draw: st.DrawFn) -> Record:
    op = draw(st.sampled_from(list(TraceOp)))
    low, high = {TraceOp.GET: (0, 32), TraceOp.FLUSH_RANGE: (1, 32767)}.get(op, (-32768, 32767))
    return Record(
        0,
        draw(WORDS),
        draw(WORDS),
        draw(WORDS),
        draw(WORDS),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(0, 1)),
        draw(st.integers(low, high)),
        draw(st.integers(-32768, 32767)),
        op,
        draw(st.sampled_from((0, 2, 4, 8))),
    )


@st.composite
def files(draw: st.DrawFn) -> File:
    blocks = draw(st.lists(st.lists(records(), min_size=1, max_size=20), max_size=5))
    time_ns = 0
    for record in (record for block_ in blocks for record in block_):
        time_ns += draw(st.integers(1, 2**40))
        record.time_ns = time_ns
    return File(CLIENTS, blocks)


def load(data: bytes) -> tuple[list[Record], list[str], list[str]]:
    """The records, the names of the clients, the problems."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(data)
        file.flush()
        with Trace(file.name) as trace:
            return (
                [Record(*operation[:-1]) for operation in trace.operations()],
                [client.name for client in trace.clients],
                trace.problems(),
            )


@given(files())
def test_what_is_written_is_read(file: File) -> None:
    found, names, problems = load(b"".join(file.parts()))
    assert [astuple(record) for record in found] == [
        astuple(record) for records in file.blocks for record in records
    ]
    assert (names, problems) == (["web", "db"], [])


@given(files(), st.data())
def test_of_a_file_that_was_cut_all_whole_blocks_are_read(file: File, data: st.DataObject) -> None:
    parts = file.parts()
    whole = b"".join(parts)
    cut = data.draw(st.integers(32, len(whole) - 1))
    found, _, problems = load(whole[:cut])
    ends, at = [], 0
    for part in parts:
        at += len(part)
        ends.append(at)
    sound = [block_ for block_, end in zip(file.blocks, ends[2:-1], strict=True) if end <= cut]
    assert len(found) == sum(map(len, sound))
    assert any("the end is missing" in problem for problem in problems)
    assert any("no whole block" in problem for problem in problems) == (cut not in (32, *ends))


@given(files(), st.data())
def test_damage_costs_its_block_and_is_told(file: File, data: st.DataObject) -> None:
    parts = file.parts()
    hurt = data.draw(st.integers(1, len(parts) - 1))
    at = data.draw(st.integers(0, len(parts[hurt]) - 1))
    bit = data.draw(st.integers(0, 7))
    part = bytearray(parts[hurt])
    part[at] ^= 1 << bit
    parts[hurt] = bytes(part)
    found, _, problems = load(b"".join(parts))
    sound = [block_ for i, block_ in enumerate(file.blocks) if i + 2 != hurt]
    assert [r.time_ns for r in found] == [r.time_ns for block_ in sound for r in block_]
    assert problems


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_header_are_survived(noise: bytes) -> None:
    found, names, problems = load(header() + noise)
    assert (found, names) == ([], [])
    assert problems


def test_blocks_of_several_workers_are_put_in_order() -> None:
    one = [Record(10, op=4), Record(30, op=5)]
    other = [Record(20, op=4, client=1), Record(40, op=5, client=1)]
    found, _, problems = load(b"".join(File(CLIENTS, [one, other]).parts()))
    assert [record.time_ns for record in found] == [10, 20, 30, 40]
    assert not problems


def test_pages_belong_to_the_records_that_have_them() -> None:
    pages = (bytes(4096), b"\x07" * 4096)
    block_ = [Record(1, flags=HAS_PAGE), Record(2, op=5), Record(3, flags=HAS_PAGE)]
    data = b"".join(File(CLIENTS, [block_], {0: pages}).parts())
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(data)
        file.flush()
        with Trace(file.name) as trace:
            assert trace.has_contents
            found = [trace.contents(operation) for operation in trace.operations()]
    assert found == [pages[0], None, pages[1]]


def test_what_is_impossible_is_passed_over_and_told() -> None:
    wrong = [Record(1, op=99), Record(2, op=5, count=33), Record(3, op=16, count=0), Record(4)]
    parts = [header(), records_block(0, wrong)]
    found, names, problems = load(b"".join(parts))
    assert [record.time_ns for record in found] == [4]
    assert names == ["client-0"]
    assert any("3 records are of no possible operation" in problem for problem in problems)
    assert any("names and settings of 1 client" in problem for problem in problems)


@pytest.mark.parametrize("client", [Client(1 << 20, b"far"), Client(0, b""), Client(0, b"a\0b")])
def test_a_client_that_cannot_be_is_passed_over(client: Client) -> None:
    _, names, problems = load(header() + block(1, 0, client.pack(), 1))
    assert not names
    assert any("no possible operation" in problem for problem in problems)


def test_a_missing_block_is_told() -> None:
    parts = File(CLIENTS, [[Record(1)], [Record(2)]]).parts()
    found, _, problems = load(b"".join(parts[:2] + parts[3:]))
    assert [record.time_ns for record in found] == [2]
    assert problems == ["1 blocks are missing"]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "this is no trace"),
        (b"TMEMTRC", "this is no trace"),
        (b"\x7fELF" + bytes(100), "this is no trace"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(TraceError, match=sentence):
        Trace(path)
    with pytest.raises(TraceError, match="No such file"):
        Trace(tmp_path / "absent")
    with pytest.raises(TraceError, match="not a file"):
        Trace(tmp_path)
