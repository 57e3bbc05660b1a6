# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker, in a process of its own, on a file system of this host."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tmem_guest.workloads.blocks import ABSENT, ZEROS


class Worker:
    """A worker, asked one thing after another."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tmem_guest.workloads.worker", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._answers = msgpack.Unpacker(self._process.stdout, read_size=1)
        self._ids = 0

    def send(self, operation: str, **arguments: Any) -> int:
        assert self._process.stdin is not None
        self._ids += 1
        command = {"id": self._ids, "operation": operation, **arguments}
        self._process.stdin.write(msgpack.packb(command))
        self._process.stdin.flush()
        return self._ids

    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._answers.unpack()
        return answer

    def __call__(self, operation: str, **arguments: Any) -> Any:
        number = self.send(operation, **arguments)
        answer = self.answer()
        assert answer["id"] == number
        return answer["result"] if "result" in answer else answer["error"]

    def close(self) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        status = self._process.wait(60)
        self._process.stdout.close()
        return status


@pytest.fixture
def worker() -> Iterator[Worker]:
    # direct I/O is not for every tmpfs
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        worker = Worker(Path(directory))
        yield worker
        assert worker.close() == 0


def write(worker: Worker, how: str, first: int, count: int, version: int) -> None:
    arguments = {"path": "d/f", "file": 1, "first": first, "count": count, "writer": 0}
    assert worker("write", **arguments, version=version, how=how, sync=True) is None


def read(worker: Worker, how: str = "buffered", path: str = "d/f") -> Any:
    return worker("read", path=path, first=0, count=6, how=how, evict=True)


def test_every_way_to_write_is_seen_by_every_way_to_read(worker: Worker) -> None:
    worker("create", path="d/f")
    write(worker, "append", 0, 4, 1)
    write(worker, "buffered", 1, 1, 2)
    write(worker, "mmap", 2, 1, 3)
    write(worker, "direct", 3, 1, 4)
    for how in ("buffered", "mmap", "direct"):
        assert read(worker, how) == [1, 2, 3, 4, ABSENT, ABSENT]
    assert worker("look", path="d/f", block=2) == "file 1, block 2, version 3, written by node 0"


def test_sizes_holes_and_names(worker: Worker) -> None:
    worker("create", path="d/f")
    write(worker, "append", 0, 4, 1)
    worker("punch", path="d/f", first=1, count=1, sync=True)
    worker("truncate", path="d/f", blocks=3, sync=True)
    worker("truncate", path="d/f", blocks=5, sync=False)
    worker("evict", path="d/f")
    assert read(worker) == [1, ZEROS, 1, ZEROS, ZEROS, ABSENT]
    worker("rename", path="d/f", to="d/g")
    assert read(worker)[0] == 2
    assert read(worker, path="d/g")[0] == 1
    worker("unlink", path="d/g")
    assert read(worker, path="d/g")[0] == 2


def test_a_map_does_not_reach_beyond_the_end(worker: Worker) -> None:
    worker("create", path="d/f")
    write(worker, "append", 0, 1, 1)
    beyond = {"path": "d/f", "file": 1, "first": 0, "count": 2, "version": 2, "writer": 0}
    worker.send("write", **beyond, how="mmap", sync=False)
    number, text = worker.answer()["error"]
    assert number == 6
    assert "ends before" in text
    assert read(worker, "mmap") == [1, *[ABSENT] * 5]


def test_things_are_done_at_once(worker: Worker) -> None:
    slow = worker.send("run", argv=["sleep", "0.5"])
    quick = worker.send("run", argv=["echo", "here"])
    first, second = worker.answer(), worker.answer()
    assert [first["id"], second["id"]] == [quick, slow]
    assert first["result"] == {"status": 0, "said": "here\n"}


def test_what_makes_no_sense_is_an_error_of_its_own(worker: Worker) -> None:
    for command in ({"operation": "dance"}, {"operation": "sync", "loudly": True}):
        number, text = worker(**command)
        assert number == 0
        assert "dance" in text or "loudly" in text
