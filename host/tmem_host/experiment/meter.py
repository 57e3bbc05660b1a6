# SPDX-License-Identifier: GPL-2.0-or-later
"""What the host can tell of guests and service: at one moment, and between two."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tmem_host.control import Connection
from tmem_host.experiment.datadisk import DISK_NAME
from tmem_host.experiment.records import GuestRun
from tmem_host.experiment.stage import SWAP_NAME, Stage
from tmem_host.experiment.system import cpu_seconds, mem_available_bytes
from tmem_host.provision.vm.info import DiskCounters
from tmem_host.provision.vm.peer import guest_resident_bytes

_NO_DISK = DiskCounters(read_bytes=0, read_requests=0, write_bytes=0, write_requests=0)


@dataclass(frozen=True)
class GuestState:
    """A guest at one moment; all but the resident bytes count up."""

    data: DiskCounters
    swap: DiskCounters
    resident_bytes: int
    cpu_seconds: float
    requests: int
    hits: int
    hits_other: int
    gets: int
    puts: int


@dataclass(frozen=True)
class HostState:
    """The host at one moment."""

    guests: Mapping[str, GuestState]
    arena_resident_bytes: int
    arena_pages: int
    arena_shared_pages: int
    mem_available_bytes: int
    service_cpu_seconds: float


def look(stage: Stage) -> HostState:
    """The host as it is now. VmError, ControlError."""
    with stage.service.connect() as connection:
        usage = connection.call("arena.usage")
        clients = {
            guest.name: client_info(connection, guest.name) if stage.arm.tmem else None
            for guest in stage.guests
        }
    first = clients[stage.guests[0].name]
    return HostState(
        guests={
            guest.name: _guest(stage, guest.name, clients[guest.name]) for guest in stage.guests
        },
        arena_resident_bytes=usage["resident_bytes"],
        arena_pages=usage["ephemeral_pages"] + usage["persistent_pages"],
        arena_shared_pages=0 if first is None else _shared_pages(first),
        mem_available_bytes=mem_available_bytes(),
        service_cpu_seconds=cpu_seconds(stage.service.pid),
    )


def client_info(connection: Connection, name: str) -> dict[str, Any]:
    """All of a client; ControlError."""
    found: dict[str, Any] = connection.call("client.info", client=name)
    return found


def between(name: str, before: GuestState, after: GuestState, seconds: float) -> GuestRun:
    """What a guest did between two moments."""
    hits_other = after.hits_other - before.hits_other
    return GuestRun(
        name=name,
        seconds=seconds,
        disk_read_bytes=after.data.read_bytes - before.data.read_bytes,
        disk_read_requests=after.data.read_requests - before.data.read_requests,
        disk_write_bytes=after.data.write_bytes - before.data.write_bytes,
        swap_read_bytes=after.swap.read_bytes - before.swap.read_bytes,
        swap_write_bytes=after.swap.write_bytes - before.swap.write_bytes,
        resident_bytes=after.resident_bytes,
        cpu_seconds=after.cpu_seconds - before.cpu_seconds,
        round_trips=after.requests - before.requests,
        hits_own=after.hits - before.hits - hits_other,
        hits_other=hits_other,
        gets=after.gets - before.gets,
        puts=after.puts - before.puts,
    )


def resident_bytes(pids: Mapping[str, int]) -> dict[str, int]:
    """Of each guest's memory, by the process of its QEMU; VmError."""
    return {name: guest_resident_bytes(pid) for name, pid in pids.items()}


def _guest(stage: Stage, name: str, client: dict[str, Any] | None) -> GuestState:
    disks = stage.vms.disk_counters(name)
    pid = next(guest for guest in stage.guests if guest.name == name).pid()
    counters: dict[str, int] = {} if client is None else client["counters"]
    session = None if client is None else client["session"]
    return GuestState(
        data=disks.get(DISK_NAME, _NO_DISK),
        swap=disks.get(SWAP_NAME, _NO_DISK),
        resident_bytes=guest_resident_bytes(pid),
        cpu_seconds=cpu_seconds(pid),
        requests=0 if session is None else session["requests"],
        hits=counters.get("gets_hit", 0),
        hits_other=counters.get("hits_other", 0),
        gets=_sum(counters, "gets_hit", "gets_missed", "gets_unserved", "gets_damaged"),
        puts=_sum(counters, "puts_stored", "puts_replaced"),
    )


def _sum(counters: Mapping[str, int], *names: str) -> int:
    return sum(counters.get(name, 0) for name in names)


def _shared_pages(client: dict[str, Any]) -> int:
    return sum(pool["pages"] for pool in client["pool_list"] if pool["uuid"] is not None)
