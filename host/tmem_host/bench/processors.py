# SPDX-License-Identifier: GPL-2.0-or-later
"""Which processors of the host a benchmark's threads run on.

A guest hands each message on to QEMU's thread, that to the service, and back. Left alone, the
scheduler at times has each of them wake the next on its own processor, and the guest waits in its
kick until all have run, with another processor idle: a trip then takes twice as long, for seconds
or for minutes, and a ratio says which of the two was met.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tmem_host.bench.errors import BenchError

# as QEMU names the threads of virtual processors: "CPU 0/KVM"
_VCPU = "CPU "


@dataclass(frozen=True)
class Processors:
    """Those of the host for the guest's virtual ones, and those for everything else."""

    vcpus: tuple[int, ...]
    others: tuple[int, ...]


def choose(vcpus: int) -> Processors:
    """The first processors are the guest's; BenchError where none is left then."""
    there = sorted(os.sched_getaffinity(0))
    if len(there) <= vcpus:
        raise BenchError(
            f"{len(there)} processors are too few for a guest with {vcpus}: one more has to be"
            " there for QEMU and the service"
        )
    return Processors(vcpus=tuple(there[:vcpus]), others=tuple(there[vcpus:]))


def keep_apart(processors: Processors, qemu: int, hosts: Sequence[int]) -> None:
    """Keeps the virtual processors of a QEMU (its process id) away from its other threads and from
    those of the processes `hosts`, from now on; BenchError if they cannot be told."""
    guest = [task for task in _tasks(qemu) if _name(qemu, task).startswith(_VCPU)]
    if len(guest) != len(processors.vcpus):
        raise BenchError(f"QEMU has {len(guest)} threads with the name of a virtual processor")
    for pid in (qemu, *hosts):
        for task in _tasks(pid):
            os.sched_setaffinity(task, processors.vcpus if task in guest else processors.others)


def _tasks(pid: int) -> list[int]:
    return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]


def _name(pid: int, task: int) -> str:
    return Path(f"/proc/{pid}/task/{task}/comm").read_text()
