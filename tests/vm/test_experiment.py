# SPDX-License-Identifier: GPL-2.0-or-later
"""Experiments as a user runs them: a command, real guests, a result; and nothing left behind."""

from pathlib import Path

import pytest

from tests.vm import experiments
from tests.vm.experiments import READ, Running, nothing_left
from tmem_host.experiment.records import Result, Run
from tmem_host.provision.image import Image
from tmem_host.report.files import PAGE_NAME

pytestmark = pytest.mark.timeout(1200)

folder = experiments.folder

DATA_BYTES = 16 << 20
PAGES = DATA_BYTES // 4096
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


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory, image: Image) -> Running:
    """An experiment that was run in all arms that share, and in those that show what it changes;
    about a half of the pages of its data are copies of others."""
    arms = ("none", "shared", "shared-compressed", "control")
    with nothing_left(image):
        text = READ + "duplicates = 0.5\n"
        running = Running(tmp_path_factory.mktemp("reading"), text, "--report", "--arms", *arms)
        assert running.wait() == 0, running.text()
    return running


def of(result: Result, arm: str) -> dict[str, Run]:
    """The runs of an arm by phase."""
    return {run.phase: run for run in result.runs if run.arm == arm}


def test_its_record_and_report(reading: Running) -> None:
    result = reading.result()
    assert result.end is not None
    assert result.end.status == "complete"
    assert all(vars(result.header.versions).values())
    assert result.header.host.storage
    for sample in result.samples:
        assert all(0 < held <= 112 << 20 for held in sample.guest_resident_bytes.values())
        assert 0 < sample.mem_available_bytes < result.header.host.memory_bytes
    page = reading.output / PAGE_NAME
    assert reading.text().splitlines()[-1] == f"Report: {page}"
    assert page.stat().st_size > 0


def test_without_tmem(reading: Running) -> None:
    none = of(reading.result(), "none")
    assert list(none) == ["cold", "settle", "second", "warm", "reread"]
    for phase, guests in (("cold", 1), ("second", 1), ("warm", 1), ("reread", 2)):
        assert none[phase].work["bytes"] == guests * DATA_BYTES
    first, second = none["cold"].guest[0], none["second"].guest[1]
    assert first.disk_read_bytes >= DATA_BYTES
    assert second.disk_read_bytes >= DATA_BYTES
    # it fits into their RAM
    assert all(guest.disk_read_bytes < DATA_BYTES // 10 for guest in none["reread"].guest)
    assert all(run.arena_pages == 0 for run in none.values())
    # who only waits may take less than can be measured
    assert all(sum(guest.cpu_seconds for guest in run.guest) > 0 for run in none.values())
    phases = {sample.phase for sample in reading.result().samples if sample.arm == "none"}
    assert phases >= {"cold", "second", "reread"}


def test_what_one_guest_drops_the_other_finds(reading: Running) -> None:
    none, shared = (of(reading.result(), arm) for arm in ("none", "shared"))
    there = shared["settle"].arena_shared_pages
    # what was lost on its way is read again; none is there twice
    assert PAGES * 9 // 10 < there <= PAGES
    assert shared["settle"].guest[0].puts >= there
    assert shared["reread"].arena_shared_pages <= PAGES
    assert shared["reread"].arena_resident_bytes < DATA_BYTES * 5 // 4
    second = shared["second"].guest[1]
    assert second.hits_other >= there * 9 // 10
    assert second.hits_own == 0
    assert second.disk_read_bytes <= none["second"].guest[1].disk_read_bytes // 10
    assert shared["second"].service_cpu_seconds > 0
    # whoever was not served for a while did not share, which is measured, too
    assert all(run.shared_served_ratio is not None for run in shared.values())


@pytest.mark.parametrize("arm", ["none", "control"])
def test_where_nothing_is_shared_nobody_finds_anything(reading: Running, arm: str) -> None:
    runs = of(reading.result(), arm)
    for run in runs.values():
        assert run.shared_served_ratio is None
        assert run.arena_shared_pages == 0
        assert all(guest.hits_other == 0 for guest in run.guest)
    assert runs["second"].guest[1].disk_read_bytes >= DATA_BYTES


def test_the_control_arm_holds_what_its_guests_dropped(reading: Running) -> None:
    settle = of(reading.result(), "control")["settle"]
    assert settle.arena_pages > PAGES * 9 // 10
    assert settle.arena_resident_bytes > settle.arena_pages * 4096


def test_equal_pages_are_kept_once(reading: Running) -> None:
    arms = ("shared", "shared-compressed")
    held = {arm: of(reading.result(), arm)["settle"] for arm in arms}
    assert all(run.arena_shared_pages > PAGES * 9 // 10 for run in held.values())
    # a half of each page is zeros, and about a half of the pages are copies
    sizes = {arm: run.arena_resident_bytes for arm, run in held.items()}
    assert sizes["shared-compressed"] < sizes["shared"] * 4 // 10


def test_a_slow_disk(folder: Path) -> None:
    """It is as slow as its profile says, and what the host has does not come from it."""
    text = READ.replace("16MiB", "8MiB") + '[read]\nrecord = "16KiB"\n'
    running = Running(folder, text, "--arms", "none", "shared", "--profile", "contended")
    assert running.wait() == 0, running.text()
    none, shared = (of(running.result(), arm) for arm in ("none", "shared"))
    limits = running.result().header.disks.profiles["contended"]
    for run in (none["cold"], none["second"], shared["cold"]):
        requests = sum(guest.disk_read_requests for guest in run.guest)
        assert requests >= (8 << 20) // (16 << 10)
        # it may begin with a burst of as much as in a second
        assert run.seconds > requests / limits.iops - 2
    requests = none["second"].guest[1].disk_read_requests
    assert shared["second"].guest[1].disk_read_requests < requests / 10


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
