# SPDX-License-Identifier: GPL-2.0-or-later
"""Experiments as a user runs them: a command, real guests, a result; and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.provision.vm.skips import needs_libvirt, needs_qemu
from tmem_host.experiment.records import FILE_NAME, Result, Run, read
from tmem_host.provision.image import Image
from tmem_host.provision.paths import cache_directory

pytestmark = pytest.mark.timeout(1200)

DATA_BYTES = 16 << 20
PAGES = DATA_BYTES // 4096
LIMIT_S = 1000.0

READ = """
title = "small"
guests = 2
memory = ["112MiB"]
arms = ["none"]
arena = "64MiB"
[data]
size = "16MiB"
files = 3
"""
SWAP = """
workload = "memory"
guests = 1
memory = ["96MiB"]
arms = ["none"]
arena = "128MiB"
[load]
base = "16MiB"
peak = "48MiB"
passes = 1
swap = "128MiB"
"""


class Running:
    """`tmem experiment run` in a process of its own."""

    def __init__(self, folder: Path, text: str, *options: str) -> None:
        file = folder / "own.toml"
        file.write_text(text)
        self.output = folder / "result"
        self.said = folder / "said"
        with self.said.open("wb") as said:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tmem_host.cli", "experiment", "run", str(file)),
                    *("--output", str(self.output), *options),
                ],
                stdout=said,
                stderr=said,
            )

    def wait(self) -> int:
        """Its exit status."""
        return self._process.wait(LIMIT_S)

    def wait_for(self, words: str) -> None:
        """Until it says so."""
        deadline = time.monotonic() + LIMIT_S
        while words not in self.text():
            assert self._process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.2)

    def text(self) -> str:
        return self.said.read_text()

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def result(self) -> Result:
        return read(self.output)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def folder(tmp_path: Path, image: Image) -> Iterator[Path]:
    """Where an experiment may be run; nothing of it is left anywhere else."""
    needs_libvirt()
    needs_qemu()
    assert image.path.exists()
    before = _places()
    yield tmp_path
    left = _places() - before
    assert not left


def _places() -> set[Path]:
    """What experiments have on disk and in memory."""
    return {
        path
        for parent in ("/var/tmp", "/dev/shm")
        for path in Path(parent).glob("tmem-x-*")
        if path.is_dir()
    }


def _state() -> Path:
    """Where the experiment that runs has its VMs."""
    return Path(json.loads((cache_directory() / "experiment.lock").read_text())["state"])


def _qemus(state: Path) -> list[int]:
    """Processes of QEMU whose VMs are below that folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"qemu" in words and os.fsencode(state) in words:
            found.append(int(path.parent.name))
    return found


def of(result: Result, arm: str) -> dict[str, Run]:
    """The runs of an arm by phase."""
    return {run.phase: run for run in result.runs if run.arm == arm}


def test_reading(folder: Path) -> None:
    running = Running(folder, READ)
    assert running.wait() == 0, running.text()
    result = running.result()
    assert result.end is not None
    assert result.end.status == "complete"
    none = of(result, "none")
    assert list(none) == ["cold", "settle", "second", "warm", "reread"]
    for phase, guests in (("cold", 1), ("second", 1), ("warm", 1), ("reread", 2)):
        assert none[phase].work["bytes"] == guests * DATA_BYTES
    first, second = none["cold"].guest[0], none["second"].guest[1]
    assert first.disk_read_bytes >= DATA_BYTES
    assert second.disk_read_bytes >= DATA_BYTES
    # it fits into their RAM
    assert all(guest.disk_read_bytes < DATA_BYTES // 10 for guest in none["reread"].guest)
    assert all(run.arena_pages == 0 for run in none.values())
    assert {sample.phase for sample in result.samples} >= {"cold", "second", "reread"}
    for sample in result.samples:
        assert all(0 < held <= 112 << 20 for held in sample.guest_resident_bytes.values())


def test_what_one_guest_drops_the_other_finds(folder: Path) -> None:
    running = Running(folder, READ, "--arms", "none", "shared")
    assert running.wait() == 0, running.text()
    result = running.result()
    none, shared = of(result, "none"), of(result, "shared")
    there = shared["settle"].arena_shared_pages
    # what was lost on its way is read again; none is there twice
    assert PAGES * 9 // 10 < there <= PAGES
    assert shared["settle"].guest[0].puts >= there
    assert shared["reread"].arena_shared_pages <= PAGES
    second = shared["second"].guest[1]
    assert second.hits_other >= there * 9 // 10
    assert second.hits_own == 0
    spared = none["second"].guest[1].disk_read_bytes - second.disk_read_bytes
    assert spared >= there * 4096 * 9 // 10
    # whoever was not served for a while did not share, which is measured, too
    assert all(run.shared_served_ratio is not None for run in shared.values())
    assert all(run.shared_served_ratio is None for run in none.values())


def test_equal_pages_are_kept_once(folder: Path) -> None:
    running = Running(folder, READ + "duplicates = 0.5\n", "--arms", "shared", "shared-compressed")
    assert running.wait() == 0, running.text()
    held = {arm: of(running.result(), arm)["settle"] for arm in ("shared", "shared-compressed")}
    assert all(run.arena_shared_pages > PAGES * 9 // 10 for run in held.values())
    # a half of each page is zeros, and about a half of the pages are copies
    sizes = {arm: run.arena_resident_bytes for arm, run in held.items()}
    assert sizes["shared-compressed"] < sizes["shared"] * 4 // 10


def test_memory(folder: Path) -> None:
    running = Running(folder, SWAP, "--arms", "none", "private")
    assert running.wait() == 0, running.text()
    arms = {arm: of(running.result(), arm) for arm in ("none", "private")}
    none, private = arms["none"], arms["private"]
    assert list(none) == ["hold", "peak-node1", "release"]
    assert none["peak-node1"].work["verified_bytes"] == 48 << 20
    assert none["peak-node1"].guest[0].swap_write_bytes > 0
    assert none["release"].guest[0].swap_read_bytes > 0
    # the host has room for all of it
    written = {arm: runs["peak-node1"].guest[0].swap_write_bytes for arm, runs in arms.items()}
    assert written["private"] < written["none"] // 10
    assert private["peak-node1"].guest[0].puts > 0


def _fails(running: Running, why: str) -> None:
    """It ends with one sentence that says why and where the result is, which says the same."""
    assert running.wait() == 1
    said = running.text()
    assert "Traceback" not in said
    [sentence] = [line for line in said.splitlines() if line.startswith("tmem: ")]
    assert why in sentence
    assert str(running.output) in sentence
    end = running.result().end
    assert end is not None
    assert (end.status, end.reason in sentence) == ("failed", True)


def test_a_guest_dies(folder: Path) -> None:
    running = Running(folder, READ)
    running.wait_for("cold ...")
    os.kill(_qemus(_state())[0], signal.SIGKILL)
    _fails(running, "is gone")
    assert (running.output / "logs/node1.log").stat().st_size > 0


def test_the_service_dies(folder: Path) -> None:
    running = Running(folder, READ, "--arms", "shared")
    running.wait_for("cold ...")
    os.kill(int((_state() / "service.pid").read_text()), signal.SIGKILL)
    _fails(running, "the service at")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_is_interrupted(folder: Path, number: signal.Signals) -> None:
    running = Running(folder, READ)
    running.wait_for("settle ..." if number == signal.SIGINT else "booting ...")
    running.send(number)
    assert running.wait() == 128 + signal.SIGINT
    assert running.text().splitlines()[-1] == "tmem: interrupted"
    end = running.result().end
    assert end is not None
    assert end.status == "interrupted"


def test_it_is_killed_and_the_next_one_cleans_up(folder: Path) -> None:
    killed = Running(folder, READ)
    killed.wait_for("booting ...")
    other = folder / "other"
    other.mkdir()
    second = Running(other, READ)
    assert second.wait() == 1
    assert "another experiment runs, in process" in second.text()
    assert not (second.output / FILE_NAME).exists()
    state = _state()
    while not _qemus(state):
        time.sleep(0.1)
    killed.send(signal.SIGKILL)
    killed.wait()
    assert killed.result().end is None
    assert _qemus(state)
    third = folder / "third"
    third.mkdir()
    next_one = Running(third, READ, "--memory", "1TiB")
    assert next_one.wait() == 1
    said = next_one.text().splitlines()
    assert said[0] == "removing what a killed experiment left"
    assert said[1].startswith("tmem: no memory: 2 guests and the arena may need ")
    assert len(said) == 2
    assert not _qemus(state)
