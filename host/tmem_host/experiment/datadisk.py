# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk with the data set: made once for each set of settings and kept in the user's cache.

An ext4 is filled by the host. An OCFS2 is filled by a guest, which is ended afterwards.
"""

import hashlib
import json
import os
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from tmem_host.experiment import dataset
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
    key = hashlib.sha256(
        json.dumps(
            [
                dataset.RECIPE,
                asdict(settings.data),
                settings.seed,
                settings.read.record,
                settings.guests,
            ]
        ).encode()
    ).hexdigest()
    with cache.lock(key, progress, "makes this data set"):
        place = cache.place(key)
        if not place.is_dir():
            with (
                cache.workplace(key) as workplace,
                progress.task(f"making {settings.data.size >> 20} MiB of data"),
            ):
                staged = workplace / "staged"
                staged.mkdir()
                try:
                    _make(settings, service, system, staged)
                except OSError as error:
                    raise ExperimentError(
                        f"cannot make the data set in {workplace}: {error.strerror}"
                    ) from error
                cache.put(staged, key)
    text = (place / _UUID_FILE).read_text()
    return DataDisk(place / _DISK_FILE, place / _MANIFEST_FILE, UUID(text) if text else None)


def _make(settings: Settings, service: PrivateService, system: System, staged: Path) -> None:
    # guests read past the page cache, which may not be possible where the cache is
    work = service.state / "making"
    work.mkdir()
    disk, tar = work / _DISK_FILE, work / "data.tar"
    dataset.write_tar(
        settings.data, settings.seed, settings.read.record, tar, staged / _MANIFEST_FILE
    )
    with disk.open("xb") as file:
        # journals of ocfs2 are for each node
        size = settings.data.size * 11 // 10 + (64 + 48 * settings.guests) * _MIB
        os.truncate(file.fileno(), size // _MIB * _MIB)
    if settings.shares_files:
        uuid = str(cluster.make_file_system(disk, max(2, settings.guests)))
        _fill_in_guest(service, system, disk, tar)
    else:
        uuid = ""
        _fill_ext4(work / "files", disk, tar)
    (staged / _UUID_FILE).write_text(uuid)
    DataDisk(disk, staged, None).copy(staged / _DISK_FILE)
    for path in (disk, tar):
        path.unlink()


def _fill_ext4(folder: Path, disk: Path, tar: Path) -> None:
    with tarfile.open(tar) as archive:
        archive.extractall(folder, filter="data")
    # cleancache takes blocks of the size of a page only
    run_tool("e2fsprogs", "mkfs.ext4", "-q", "-F", "-b", "4096", "-d", str(folder), str(disk))
    run_tool("coreutils", "rm", "-r", str(folder))


def _fill_in_guest(service: PrivateService, system: System, disk: Path, tar: Path) -> None:
    spec = VmSpec(
        name="maker",
        kernel=system.kernel.image,
        base=system.image.path,
        memory_mib=_MAKER_MIB,
        accelerator=system.accelerator,
        overlay_bytes=OVERLAY_BYTES,
        disks=(
            Disk(name=DISK_NAME, path=disk, shared=True, cache=DiskCache.NONE),
            Disk(name=_TAR_NAME, path=tar),
        ),
        networks=("cluster",),
        modules=cluster.MODULES,
    )
    with service.vms() as vms:
        vms.create(spec)
        guest = RunningGuest(vms, spec.name)
        cluster.start_cluster([guest])
        cluster.mount(guest, DISK_NAME)
        guest.shell(
            f"tar -x -f /dev/disk/by-serial/{_TAR_NAME} -C {cluster.MOUNT_POINT} data\n"
            f"umount {cluster.MOUNT_POINT}",
            limit_s=_FILL_LIMIT_S,
        )
        vms.destroy(spec.name)
