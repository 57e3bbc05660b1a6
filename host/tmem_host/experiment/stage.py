# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of one point of an experiment: made for it, gone after it."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tmem_host.experiment.arms import ARMS, Arm
from tmem_host.experiment.datadisk import DISK_NAME, DataDisk
from tmem_host.experiment.errors import ExperimentError
from tmem_host.experiment.plan import Point
from tmem_host.experiment.service import PrivateService
from tmem_host.experiment.settings import Settings
from tmem_host.experiment.system import OVERLAY_BYTES, System
from tmem_host.provision.vm import cluster
from tmem_host.provision.vm.remote import RemoteProvisioner
from tmem_host.provision.vm.running import RunningGuest
from tmem_host.provision.vm.spec import IO_PROFILES, Cache, Disk, VmSpec
from tmem_host.provision.vm.stopping import undisturbed

SWAP_NAME = "swap"
FILES = cluster.MOUNT_POINT
MANIFEST = "/tmp/manifest.json"
_NETWORK = "cluster"
_BOOT_LIMIT_S = 300.0
_ATTACH_LIMIT_S = 60.0
_EMPTY_LIMIT_S = 30.0
_LOOK_AGAIN_S = 0.1
# Of the clients whose equal pages are kept once.
_TRUST_GROUP = 1


@dataclass(frozen=True)
class Stage:
    """Guests that are ready for a workload: booted, attached as the arm says, disks mounted.
    `shared` is the uuid of the file system if its pool is shared."""

    service: PrivateService
    vms: RemoteProvisioner
    guests: tuple[RunningGuest, ...]
    arm: Arm
    shared: UUID | None


@contextmanager
def staged(
    settings: Settings,
    point: Point,
    service: PrivateService,
    system: System,
    data: DataDisk | None,
) -> Iterator[Stage]:
    """Makes the guests of a point; they are gone at the end, whatever happens, and the arena is as
    empty as before. VmError, AgentError, ControlError, ExperimentError."""
    arm = ARMS[point.arm]
    copy = service.state / "data.raw"
    if data is not None:
        data.copy(copy)
    spec = _spec(settings, point, system, data=data, copy=copy)
    names = [f"node{number}" for number in range(1, settings.guests + 1)]
    with service.vms() as vms:
        try:
            for name in names:
                vms.create(dataclasses.replace(spec, name=name), wait=False)
            for name in names:
                vms.wait(name, _BOOT_LIMIT_S)
            guests = tuple(RunningGuest(vms, name) for name in names)
            if arm.tmem:
                _attach(service, guests, arm)
            if data is not None:
                _mount(settings, guests, data)
            if settings.workload == "memory":
                _swap_on(guests)
            shared = data.shared if data is not None and arm.shares else None
            if shared is not None:
                _check_shared(service, guests, shared)
            yield Stage(service, vms, guests, arm, shared)
        finally:
            with undisturbed():
                for info in vms.vms():
                    vms.destroy(info.name)
                copy.unlink(missing_ok=True)
        _empty_arena(service)


def _spec(
    settings: Settings, point: Point, system: System, *, data: DataDisk | None, copy: Path
) -> VmSpec:
    arm = ARMS[point.arm]
    io = IO_PROFILES[point.profile]
    disks = []
    if data is not None:
        shared = data.shared is not None
        disks.append(Disk(name=DISK_NAME, path=copy, shared=shared, cache=Cache.NONE, io=io))
    if settings.workload == "memory":
        swap_bytes = settings.load.swap
        disks.append(Disk(name=SWAP_NAME, size_bytes=swap_bytes, cache=Cache.NONE, io=io))
    return VmSpec(
        name="any",
        kernel=system.kernel.image,
        base=system.image.path,
        memory_mib=point.memory_mib,
        vcpus=settings.vcpus,
        accelerator=system.accelerator,
        overlay_bytes=OVERLAY_BYTES,
        disks=tuple(disks),
        networks=(_NETWORK,) if settings.shares_files else (),
        modules=cluster.MODULES if settings.shares_files else (),
        settings=arm.settings(None if data is None else data.shared),
        tmem=arm.tmem,
    )


def _attach(service: PrivateService, guests: tuple[RunningGuest, ...], arm: Arm) -> None:
    """Waits until the guests' kernels are in a session with the service."""
    with service.connect() as connection:
        for guest in guests:
            if arm.dedup:
                connection.call(
                    "client.set", client=guest.name, dedup=True, trust_group=_TRUST_GROUP
                )
            deadline = time.monotonic() + _ATTACH_LIMIT_S
            while connection.call("client.info", client=guest.name)["state"] != "active":
                if time.monotonic() > deadline:
                    raise ExperimentError(
                        f"the kernel of {guest.name} began no session with the service within"
                        f" {_ATTACH_LIMIT_S:.0f} s; its serial log: {_last_words(guest)}"
                    )
                time.sleep(_LOOK_AGAIN_S)


def _mount(settings: Settings, guests: tuple[RunningGuest, ...], data: DataDisk) -> None:
    if settings.shares_files:
        cluster.start_cluster(guests)
        for guest in guests:
            cluster.mount(guest, DISK_NAME)
    else:
        for guest in guests:
            guest.shell(f"mkdir -p {FILES}; mount -o noatime /dev/disk/by-serial/data {FILES}")
    manifest = data.manifest.read_bytes()
    for guest in guests:
        with guest.agent as agent:
            agent.write_file(MANIFEST, manifest)


def _swap_on(guests: tuple[RunningGuest, ...]) -> None:
    disk = f"/dev/disk/by-serial/{SWAP_NAME}"
    for guest in guests:
        guest.shell(f"mkswap {disk}; swapon {disk}")


def _check_shared(service: PrivateService, guests: tuple[RunningGuest, ...], shared: UUID) -> None:
    """ExperimentError unless the pool is the same for all: else something else were measured."""
    for guest in guests:
        pools = service.call("client.info", client=guest.name)["pool_list"]
        joined = [pool for pool in pools if pool["uuid"] == str(shared)]
        if not joined or joined[0]["members"] != len(guests):
            raise ExperimentError(
                f"{guest.name} does not share the pool {shared} with all guests; its kernel says:"
                f" {_last_words(guest)}"
            )


def _empty_arena(service: PrivateService) -> None:
    """What the last guests left is given back, so that the next ones find nothing."""
    deadline = time.monotonic() + _EMPTY_LIMIT_S
    with service.connect() as connection:
        while True:
            usage = connection.call("arena.usage")
            pages = usage["ephemeral_pages"] + usage["persistent_pages"]
            if pages == 0:
                break
            if time.monotonic() > deadline:
                raise ExperimentError(
                    f"{pages} pages of guests that are gone stay in the arena; the next point would"
                    " not begin with an empty one"
                )
            time.sleep(_LOOK_AGAIN_S)
        connection.call("arena.shrink", size=usage["resident_bytes"])


def _last_words(guest: RunningGuest) -> str:
    with contextlib.suppress(OSError):
        untrusted = guest.places.serial_log.read_bytes()[-400:].decode(errors="replace")
        return " ".join("".join(c if c.isprintable() else " " for c in untrusted).split())
    return "nothing"
