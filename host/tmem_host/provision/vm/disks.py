# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes and checks the files behind a VM's disks."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

from tmem_host.provision.vm.domain_xml import disk_path
from tmem_host.provision.vm.errors import NoSpace, VmError
from tmem_host.provision.vm.places import VmPlaces
from tmem_host.provision.vm.spec import Cache, Disk, DiskFormat, VmSpec

# What a file system needs beside its data before anybody writes; sparse files grow later.
_MARGIN_BYTES = 64 << 20


def make_disks(spec: VmSpec, places: VmPlaces) -> None:
    """Makes the private disks of a VM and checks the others; VmError, NoSpace.

    Private disks are sparse, but must fit: a guest must not meet the end of the host's disk.
    """
    private = [disk for disk in spec.disks if disk.path is None]
    overlay_bytes = 0 if spec.base is None else spec.overlay_bytes
    require_space(places.files, overlay_bytes + sum(disk.size_bytes for disk in private))
    for disk in private:
        _make(disk, places)
    for disk in spec.disks:
        check_file(disk_path(disk, places), uncached=disk.cache is Cache.NONE)
    if spec.base is not None:
        check_file(spec.base)
        _make_sparse(places.overlay, spec.overlay_bytes)
        run_tool("e2fsprogs", "mkfs.ext4", "-q", "-F", "-L", "overlay", str(places.overlay))


def require_space(directory: Path, bytes_: int) -> None:
    """NoSpace unless the file system of `directory` has room for `bytes_` more."""
    free = shutil.disk_usage(directory).free
    if free < bytes_ + _MARGIN_BYTES:
        raise NoSpace(
            f"no space: {directory} has {free >> 20} MiB free and the VM's disks may grow to"
            f" {bytes_ >> 20} MiB; free some, ask for smaller disks, or use another state directory"
        )


def check_file(path: Path, *, uncached: bool = False) -> None:
    """VmError unless `path` is there to be a disk, also past the page cache if `uncached`."""
    flags = os.O_RDONLY | (os.O_DIRECT if uncached else 0)
    try:
        os.close(os.open(path, flags))
    except OSError as error:
        if uncached and error.errno == errno.EINVAL:
            raise VmError(
                f"the file system of the disk {path} cannot be read past the page cache"
                " (O_DIRECT); move the file, tmpfs is of no use here"
            ) from error
        raise VmError(f"cannot open the disk {path}: {error.strerror}") from error


def _make(disk: Disk, places: VmPlaces) -> None:
    path = disk_path(disk, places)
    if disk.format is DiskFormat.RAW:
        _make_sparse(path, disk.size_bytes)
    else:
        run_tool(
            "qemu-utils", "qemu-img", "create", "-q", "-f", "qcow2", str(path), str(disk.size_bytes)
        )


def _make_sparse(path: Path, bytes_: int) -> None:
    try:
        with path.open("xb") as file:
            file.truncate(bytes_)
    except OSError as error:
        raise VmError(f"cannot make the disk {path}: {error.strerror}") from error


def run_tool(package: str, *command: str, stdin: str | None = None) -> str:
    """What a program prints; VmError if it fails, or if `package`, which has it, is missing."""
    # /usr/sbin is not on everybody's path
    environment = os.environ | {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise VmError(f"{command[0]} is not installed; run: apt-get install {package}")
    done = subprocess.run(
        [program, *command[1:]],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        complaint = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise VmError(f"{command[0]} failed: {complaint}")
    return done.stdout
