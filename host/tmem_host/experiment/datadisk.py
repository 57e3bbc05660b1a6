# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk with what guests read: made once for each set of settings and kept in the user's cache.

A guest, which is ended afterwards, fills it: the host need not know the file system, and its user
need not be root.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from tmem_host.experiment import dataset, toolchain
from tmem_host.experiment.errors import ExperimentError
from tmem_host.experiment.service import PrivateService
from tmem_host.experiment.settings import Settings
from tmem_host.experiment.system import OVERLAY_BYTES, System
from tmem_host.provision.cache import Cache
from tmem_host.provision.paths import cache_directory
from tmem_host.provision.progress import Progress
from tmem_host.provision.vm import cluster
from tmem_host.provision.vm.disks import run_tool
from tmem_host.provision.vm.running import RunningGuest
from tmem_host.provision.vm.spec import Cache as DiskCache
from tmem_host.provision.vm.spec import Disk, VmSpec

DISK_NAME = "data"
FILES = cluster.MOUNT_POINT
_TAR_NAME = "tar"
_DISK_FILE = "disk.raw"
_MANIFEST_FILE = "manifest.json"
_UUID_FILE = "uuid"
_MIB = 1 << 20
_FILL_LIMIT_S = 900.0
_MAKER_MIB = 256


@dataclass(frozen=True)
class DataDisk:
    """A disk in the cache, not to be written to. `shared` is the uuid of its file system where
    guests mount it together."""

    path: Path
    manifest: Path
    shared: UUID | None

    def copy(self, target: Path) -> None:
        """A copy for one use, without the holes; VmError."""
        run_tool(
            "coreutils", "cp", "--sparse=always", "--reflink=auto", str(self.path), str(target)
        )


def make(
    settings: Settings, service: PrivateService, system: System, progress: Progress
) -> DataDisk:
    """The disk for these settings and this seed; ExperimentError, VmError."""
    cache = Cache(cache_directory() / "data")
    key = _key(settings)
    with cache.lock(key, progress, "makes this disk"):
        place = cache.place(key)
        if not place.is_dir():
            with cache.workplace(key) as workplace:
                staged = workplace / "staged"
                staged.mkdir()
                try:
                    _make(settings, service, system, staged, progress=progress, log=cache.log(key))
                except OSError as error:
                    raise ExperimentError(
                        f"cannot make the data disk in {workplace}: {error.strerror}"
                    ) from error
                cache.put(staged, key)
    text = (place / _UUID_FILE).read_text()
    return DataDisk(place / _DISK_FILE, place / _MANIFEST_FILE, UUID(text) if text else None)


def _key(settings: Settings) -> str:
    parts: list[object]
    if settings.workload == "build":
        parts = [toolchain.RECIPE, settings.build.package]
    else:
        parts = [dataset.RECIPE, asdict(settings.data), settings.read.record]
        parts += [settings.seed, settings.guests]
    return hashlib.sha256(json.dumps([settings.workload, *parts]).encode()).hexdigest()


def _make(
    settings: Settings,
    service: PrivateService,
    system: System,
    staged: Path,
    *,
    progress: Progress,
    log: Path,
) -> None:
    # guests read past the page cache, which may not be possible where the cache is
    work = service.state / "making"
    work.mkdir()
    disk, tar = work / _DISK_FILE, work / "data.tar"
    manifest = staged / _MANIFEST_FILE
    if settings.workload == "build":
        with progress.task("making a Debian with a compiler", toolchain.STEPS) as task:
            toolchain.write_tar(settings.build, tar, log, task)
        manifest.touch()
    else:
        with progress.task(f"making {settings.data.size >> 20} MiB of data"):
            dataset.write_tar(settings.data, settings.seed, settings.read.record, tar, manifest)
    with disk.open("xb") as file:
        # journals of ocfs2 are for each node
        size = tar.stat().st_size * 3 // 2 + (64 + 48 * settings.guests) * _MIB
        os.truncate(file.fileno(), size // _MIB * _MIB)
    if settings.shares_files:
        uuid = str(cluster.make_file_system(disk, max(2, settings.guests)))
    else:
        uuid = ""
        # cleancache takes blocks of the size of a page only
        run_tool("e2fsprogs", "mkfs.ext4", "-q", "-F", "-b", "4096", str(disk))
    with progress.task("filling the data disk"):
        _fill(service, system, disk, tar, shared=settings.shares_files)
    (staged / _UUID_FILE).write_text(uuid)
    DataDisk(disk, manifest, None).copy(staged / _DISK_FILE)
    for path in (disk, tar):
        path.unlink()
    work.rmdir()


def _fill(service: PrivateService, system: System, disk: Path, tar: Path, *, shared: bool) -> None:
    spec = VmSpec(
        name="maker",
        kernel=system.kernel.image,
        base=system.image.path,
        memory_mib=_MAKER_MIB,
        accelerator=system.accelerator,
        overlay_bytes=OVERLAY_BYTES,
        disks=(
            Disk(name=DISK_NAME, path=disk, shared=shared, cache=DiskCache.NONE),
            Disk(name=_TAR_NAME, path=tar),
        ),
        networks=("cluster",) if shared else (),
        modules=cluster.MODULES if shared else (),
        cluster=cluster.cluster_on(DISK_NAME, 1) if shared else None,
    )
    with service.vms() as vms:
        vms.create(spec)
        guest = RunningGuest(vms, spec.name)
        mount_data(guest, shared=shared)
        guest.shell(
            f"tar -x -f /dev/disk/by-serial/{_TAR_NAME} -C {FILES}\numount {FILES}",
            limit_s=_FILL_LIMIT_S,
        )
        vms.destroy(spec.name)


def mount_data(guest: RunningGuest, *, shared: bool) -> None:
    """Mounts the disk at FILES; VmError."""
    if shared:
        cluster.mount(guest, DISK_NAME)
    else:
        guest.shell(f"mkdir -p {FILES}; mount -o noatime /dev/disk/by-serial/{DISK_NAME} {FILES}")
