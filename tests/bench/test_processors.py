# SPDX-License-Identifier: GPL-2.0-or-later
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tmem_host.bench import processors
from tmem_host.bench.errors import BenchError
from tmem_host.bench.processors import Processors, choose, keep_apart, kept_awake

# a process with one thread that is named as QEMU names that of a virtual processor
_AS_QEMU = """
import pathlib, sys, threading
def run():
    pathlib.Path("/proc/thread-self/comm").write_text("CPU 0/TCG")
    print("named", flush=True)
    sys.stdin.read()
threading.Thread(target=run).start()
"""
THERE = sorted(os.sched_getaffinity(0))


@pytest.fixture
def qemu() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", _AS_QEMU], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "named\n"
        yield process.pid
        process.kill()


def _affinity(pid: int, *, vcpu: bool = False) -> list[tuple[int, ...]]:
    """Of the threads of a process that are named as virtual processors, or that are not."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as comm:
            if comm.read().startswith("CPU ") == vcpu:
                found.append(tuple(sorted(os.sched_getaffinity(int(task)))))
    return found


@pytest.mark.skipif(len(THERE) < 2, reason="one processor cannot be kept for the guest")
def test_nothing_else_runs_where_the_guest_does(qemu: int) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as service:
        kept = choose(1)
        assert kept == Processors(vcpus=(THERE[0],), others=tuple(THERE[1:]))
        keep_apart(kept, qemu, [service.pid])
        assert _affinity(qemu, vcpu=True) == [kept.vcpus]
        assert _affinity(qemu) == [kept.others]
        assert _affinity(service.pid) == [kept.others]
        service.kill()


def test_as_many_virtual_processors_as_there_are_are_refused() -> None:
    with pytest.raises(BenchError, match=f"{len(THERE)} processors are too few"):
        choose(len(THERE))


def test_a_process_that_is_no_qemu_is_refused() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        with pytest.raises(BenchError, match="0 threads"):
            keep_apart(Processors(vcpus=(THERE[0],), others=()), other.pid, [])
        assert _affinity(other.pid) == [tuple(THERE)]
        other.kill()


def _opened() -> set[Path]:
    return {entry.resolve() for entry in Path("/proc/self/fd").iterdir()}


def test_processors_are_kept_awake_for_as_long_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    monkeypatch.setattr(processors, "_LATENCY", device)
    with kept_awake() as awake:
        assert awake
        # the kernel takes a number of its own byte order, for as long as the file is open
        assert device.read_bytes() == struct.pack("=i", 0)
        assert device in _opened()
    assert device not in _opened()


def test_who_may_not_keep_them_awake_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_LATENCY", tmp_path / "none")
    with kept_awake() as awake:
        assert not awake
    assert not (tmp_path / "none").exists()
