# SPDX-License-Identifier: GPL-2.0-or-later
"""What two looks at a guest make."""

from dataclasses import fields

from tmem_host.experiment.meter import GuestState, between
from tmem_host.provision.vm.info import DiskCounters


def state(factor: int, resident_bytes: int) -> GuestState:
    """Counters that have grown by `factor`."""

    def disk(base: int) -> DiskCounters:
        return DiskCounters(
            read_bytes=base * factor,
            read_requests=(base + 1) * factor,
            write_bytes=(base + 2) * factor,
            write_requests=(base + 3) * factor,
        )

    return GuestState(
        data=disk(10),
        swap=disk(20),
        resident_bytes=resident_bytes,
        cpu_seconds=30.0 * factor,
        requests=40 * factor,
        hits=50 * factor,
        hits_other=15 * factor,
        gets=60 * factor,
        puts=70 * factor,
    )


def test_counters_are_differences_and_memory_is_of_the_end() -> None:
    found = between("node1", state(1, 111), state(3, 222), 4.5)
    assert {item.name: getattr(found, item.name) for item in fields(found)} == {
        "name": "node1",
        "seconds": 4.5,
        "disk_read_bytes": 20,
        "disk_read_requests": 22,
        "disk_write_bytes": 24,
        "swap_read_bytes": 40,
        "swap_write_bytes": 44,
        "resident_bytes": 222,
        "cpu_seconds": 60.0,
        "round_trips": 80,
        "hits_own": 70,
        "hits_other": 30,
        "gets": 120,
        "puts": 140,
    }
