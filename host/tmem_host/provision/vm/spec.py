# SPDX-License-Identifier: GPL-2.0-or-later
"""What a VM is to be, as whoever creates it says."""

import enum
from dataclasses import dataclass, field
from pathlib import Path

from tmem_host.provision.vm.errors import BadName, BadSetting
from tmem_host.provision.vm.places import check_name
from tmem_host.provision.vm.settings import TmemSettings

# virtio-blk cuts serial numbers to this.
_SERIAL_MAX = 20
OVERLAY_SERIAL = "overlay"
BASE_SERIAL = "base"
_MEMORY_MIN_MIB = 64


class Accelerator(enum.Enum):
    """How QEMU runs a guest's instructions; the value is libvirt's domain type."""

    KVM = "kvm"
    TCG = "qemu"


@dataclass(frozen=True, kw_only=True)
class IoProfile:
    """Limits of a disk, in both directions together; 0 for none. BadSetting if negative."""

    iops: int = 0
    bytes_per_second: int = 0

    def __post_init__(self) -> None:
        if min(self.iops, self.bytes_per_second) < 0:
            raise BadSetting("a limit of a disk cannot be negative")


# The disk profiles of experiments.
IO_PROFILES = {
    "native": IoProfile(),
    "contended": IoProfile(iops=200, bytes_per_second=30_000_000),
}


class DiskFormat(enum.Enum):
    """How a disk's contents lie in its file."""

    RAW = "raw"
    QCOW2 = "qcow2"


class Cache(enum.Enum):
    """What the host's page cache does for a disk."""

    WRITEBACK = "writeback"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A disk beside base and overlay. The guest has it as /dev/disk/by-serial/NAME.

    Without `path` it is private: made empty with `size_bytes`, and removed with its VM. With
    `path` it is a file that exists and stays. A `shared` disk may be given to many VMs; it is raw
    and without the host's cache. BadName, BadSetting.
    """

    name: str
    size_bytes: int = 0
    path: Path | None = None
    format: DiskFormat = DiskFormat.RAW
    shared: bool = False
    cache: Cache = Cache.WRITEBACK
    io: IoProfile = IO_PROFILES["native"]

    def __post_init__(self) -> None:
        check_name("disk", self.name)
        if len(self.name) > _SERIAL_MAX:
            raise BadName(f"the name of the disk {self.name} is longer than {_SERIAL_MAX}")
        if self.name in (OVERLAY_SERIAL, BASE_SERIAL):
            raise BadName(f"every VM has a disk {self.name} of its own; name the disk otherwise")
        if (self.path is None) != (self.size_bytes > 0):
            raise BadSetting(f"the disk {self.name} needs either a size or a file")
        if self.size_bytes % 512:
            raise BadSetting(f"the size of the disk {self.name} is not a multiple of 512 bytes")
        if self.shared and (
            self.path is None or self.format is not DiskFormat.RAW or self.cache is not Cache.NONE
        ):
            raise BadSetting(f"the disk {self.name} can be shared only as a raw file, uncached")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster of `nodes` guests that share the OCFS2 on a disk. A node is dead to the others when
    it has missed so many heartbeats of two seconds."""

    name: str
    dead_after_beats: int
    disk: str
    nodes: int


@dataclass(frozen=True, kw_only=True)
class VmSpec:
    """A VM to be created. BadName, BadSetting.

    `base` is the read-only squashfs that VMs share; None for a guest that lives in its `initrd`.
    `modules` are loaded while the guest boots. With `tmem` its kernel uses tmem from then on, for
    which the image has what it takes. `networks` are names; a network exists while a VM is on it.
    With a `cluster` it becomes a node of one while it boots: the others are on its first network,
    where nobody else is. Heartbeats go before the agent answers, so that mounts wait less for them.
    `ports` are names of further virtio-serial ports, each on a controller of its own: the port NAME
    is org.kvmtmem.NAME.0 in the guest. `kernel_arguments` come last on the kernel's command line.
    """

    name: str
    kernel: Path
    base: Path | None = None
    initrd: Path | None = None
    memory_mib: int = 256
    vcpus: int = 1
    accelerator: Accelerator = Accelerator.TCG
    overlay_bytes: int = 1 << 30
    disks: tuple[Disk, ...] = ()
    networks: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    cluster: Cluster | None = None
    tmem: bool = False
    kernel_arguments: str = ""
    settings: TmemSettings = field(default_factory=TmemSettings)

    def __post_init__(self) -> None:
        check_name("VM", self.name)
        for network in self.networks:
            check_name("network", network)
        for port in self.ports:
            check_name("port", port)
        if self.memory_mib < _MEMORY_MIN_MIB:
            raise BadSetting(f"{self.memory_mib} MiB are too few for a guest: {_MEMORY_MIN_MIB}")
        if self.vcpus < 1:
            raise BadSetting("a VM needs at least one processor")
        if self.tmem and self.base is None:
            raise BadSetting(f"the kernel of {self.name} cannot use tmem without an image")
        shared = [disk.name for disk in self.disks if disk.shared]
        if self.cluster is not None and (self.cluster.disk not in shared or not self.networks):
            raise BadSetting(f"{self.name} needs a network and a shared disk for its cluster")
        names = [disk.name for disk in self.disks]
        if len(set(names)) < len(names):
            raise BadName(f"two disks of {self.name} have the same name")
        if len(set(self.networks)) < len(self.networks):
            raise BadName(f"{self.name} is on one network twice")
        if len(set(self.ports)) < len(self.ports):
            raise BadName(f"two ports of {self.name} have the same name")
