# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests of one point of an experiment: made for it, gone after it."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tmem_host.experiment.arms import ARMS, Arm
from tmem_host.experiment.datadisk import DISK_NAME, FILES, DataDisk, mount_data
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
# Else the host would keep for all arms what tmem keeps.
DISK_CACHE = Cache.NONE
MANIFEST = "/tmp/manifest.json"
_NETWORK = "cluster"
_BOOT_LIMIT_S = 300.0
_ATTACH_LIMIT_S = 60.0
_EMPTY_LIMIT_S = 30.0
_LOOK_AGAIN_S = 0.1
_MOUNTS = 3
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
    *,
    logs: Path,
) -> Iterator[Stage]:
    """Makes the guests of a point; they are gone at the end, whatever happens, and the arena is as
    empty as before. If something goes wrong, inside or in the body, what guests and service have
    said is in the folder `logs`. VmError, AgentError, ControlError, ExperimentError."""
    arm = ARMS[point.arm]
    copy = service.state / "data.raw"
    if data is not None:
        data.copy(copy)
    spec = _spec(settings, point, system, data=data, copy=copy)
    names = [f"node{number}" for number in range(1, settings.guests + 1)]
    with service.vms() as vms:
        try:
            _at_once(service, names, lambda own, name: _start(service, own, spec, name, arm))
            for name in names:
                vms.wait(name, _BOOT_LIMIT_S)
            guests = tuple(RunningGuest(vms, name) for name in names)
            if arm.tmem:
                _attach(service, guests)
            if data is not None:
                _mount(settings, service, guests, data)
            if settings.workload == "memory":
                _swap_on(guests)
            shared = data.shared if data is not None and arm.shares else None
            if shared is not None:
                _have_shared(service, guests, shared)
            yield Stage(service, vms, guests, arm, shared)
        except Exception:
            _keep_logs(logs, service, [vms.places.vm(name).serial_log for name in names])
            raise
        finally:
            with undisturbed():
                made = [info.name for info in vms.vms()]
                _at_once(service, made, lambda own, name: own.destroy(name))
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
        disks.append(Disk(name=DISK_NAME, path=copy, shared=shared, cache=DISK_CACHE, io=io))
    if settings.workload == "memory":
        swap_bytes = settings.load.swap
        disks.append(Disk(name=SWAP_NAME, size_bytes=swap_bytes, cache=DISK_CACHE, io=io))
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
        cluster=cluster.cluster_on(DISK_NAME, settings.guests) if settings.shares_files else None,
        settings=arm.settings(None if data is None else data.shared),
        tmem=arm.tmem,
    )


def _start(
    service: PrivateService, vms: RemoteProvisioner, spec: VmSpec, name: str, arm: Arm
) -> None:
    """Starts a guest and says whom it trusts, which is too late once its kernel has a pool."""
    vms.create(dataclasses.replace(spec, name=name), wait=False)
    if not arm.dedup:
        return
    deadline = time.monotonic() + _ATTACH_LIMIT_S
    while name not in _clients(service):
        if time.monotonic() > deadline:
            raise ExperimentError(f"the service did not learn of {name}: its log says why")
        time.sleep(_LOOK_AGAIN_S)
    service.call("client.set", client=name, dedup=True, trust_group=_TRUST_GROUP)


def _clients(service: PrivateService) -> list[str]:
    return [client["name"] for client in service.call("client.list")]


def _attach(service: PrivateService, guests: tuple[RunningGuest, ...]) -> None:
    """Waits until the guests' kernels are in a session with the service."""
    with service.connect() as connection:
        for guest in guests:
            deadline = time.monotonic() + _ATTACH_LIMIT_S
            while connection.call("client.info", client=guest.name)["state"] != "active":
                if time.monotonic() > deadline:
                    raise ExperimentError(
                        f"the kernel of {guest.name} began no session with the service within"
                        f" {_ATTACH_LIMIT_S:.0f} s"
                    )
                time.sleep(_LOOK_AGAIN_S)


def _mount(
    settings: Settings, service: PrivateService, guests: tuple[RunningGuest, ...], data: DataDisk
) -> None:
    shared = settings.shares_files
    names = [guest.name for guest in guests]
    _at_once(service, names, lambda own, name: mount_data(RunningGuest(own, name), shared=shared))
    if settings.workload == "read":
        manifest = data.manifest.read_bytes()
        for guest in guests:
            with guest.agent as agent:
                agent.write_file(MANIFEST, manifest)


def _at_once(
    service: PrivateService, names: list[str], work: Callable[[RemoteProvisioner, str], object]
) -> None:
    """Does it for all VMs of these names at the same time. What goes wrong with the first of them
    is raised when all are done."""

    def one(name: str) -> None:
        # a connection is for one thread
        with service.vms() as vms:
            work(vms, name)

    with ThreadPoolExecutor(max(1, len(names))) as pool:
        for _ in pool.map(one, names):
            pass


def _swap_on(guests: tuple[RunningGuest, ...]) -> None:
    disk = f"/dev/disk/by-serial/{SWAP_NAME}"
    for guest in guests:
        guest.shell(f"mkswap {disk}; swapon {disk}")


def _have_shared(service: PrivateService, guests: tuple[RunningGuest, ...], shared: UUID) -> None:
    """ExperimentError unless the pool is the same for all: else something else were measured.

    A guest that fell silent for longer than T_expel while others booted is out of its pools until
    it mounts again, which it is told to.
    """
    for _ in range(_MOUNTS):
        outside = [guest for guest in guests if not shares(service, guest.name, shared)]
        if not outside:
            return
        for guest in outside:
            guest.shell(f"umount {FILES}")
            cluster.mount(guest, DISK_NAME)
    raise ExperimentError(
        f"{outside[0].name} does not share the pool {shared} with the other guests: this machine is"
        " too busy, or the service's log says why"
    )


def shares(service: PrivateService, name: str, shared: UUID) -> bool:
    """Whether a guest is in the shared pool; ControlError."""
    pools = service.call("client.info", client=name)["pool_list"]
    return any(pool["uuid"] == str(shared) for pool in pools)


def _empty_arena(service: PrivateService) -> None:
    """What the last guests left is given back, so that the next ones find nothing; nor are their
    settings those of others with their names."""
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
    for name in _clients(service):
        service.call("client.remove", client=name)


def _keep_logs(folder: Path, service: PrivateService, serial_logs: list[Path]) -> None:
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        shutil.copyfile(service.log, folder / service.log.name)
        for log in serial_logs:
            shutil.copyfile(log, folder / f"{log.parent.name}.log")
