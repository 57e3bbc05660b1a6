# SPDX-License-Identifier: GPL-2.0-or-later
"""Which processors of the host a benchmark's threads run on, and that they are awake.

A guest hands each message on to QEMU's thread, that to the service, and back. Left alone, the
scheduler at times has each of them wake the next on its own processor, and the guest waits in its
kick until all have run, with another processor idle: a trip then takes twice as long, for seconds
or for minutes, and a ratio says which of the two was met. And a processor that sleeps takes from 2
to 50 us to wake, which is another figure on each machine, and on a virtual one at each time.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tmem_host.bench.errors import BenchError

# as QEMU names the threads of virtual processors: "CPU 0/KVM"
_VCPU = "CPU "
_LATENCY = Path("/dev/cpu_dma_latency")


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


@contextmanager
def kept_awake() -> Iterator[bool]:
    """While it is entered, the host's idle processors wait for work instead of sleeping, as its
    kernel offers for whoever needs to be woken within 0 us (PM QoS). False: they sleep as ever,
    since this user may not ask for that, or the kernel does not know it."""
    try:
        request = os.open(_LATENCY, os.O_WRONLY)
    except OSError:
        yield False
        return
    try:
        os.write(request, struct.pack("=i", 0))
        yield True
    finally:
        os.close(request)


def _tasks(pid: int) -> list[int]:
    return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]


def _name(pid: int, task: int) -> str:
    return Path(f"/proc/{pid}/task/{task}/comm").read_text()
