# SPDX-License-Identifier: GPL-2.0-or-later
"""What guests of an experiment run, and what the host is: built, checked, and put on record."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tmem_host.experiment.errors import ExperimentError
from tmem_host.experiment.records import Host, Versions
from tmem_host.experiment.settings import Settings
from tmem_host.provision import image as images
from tmem_host.provision import kernel as kernels
from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.paths import source_root
from tmem_host.provision.progress import Progress
from tmem_host.provision.vm.domain_xml import emulator
from tmem_host.provision.vm.probe import probe
from tmem_host.provision.vm.spec import Accelerator

# QEMU's own, beside its guest's memory.
_QEMU_BYTES = 128 << 20
# Each guest's private disk.
OVERLAY_BYTES = 256 << 20
# A Debian with a compiler.
_BUILD_BYTES = 512 << 20
_TOOLS = {
    "mkfs.ext4": "e2fsprogs",
    "mkfs.ocfs2": "ocfs2-tools",
    "blkid": "util-linux",
    "setpriv": "util-linux",
}


@dataclass(frozen=True)
class System:
    """Kernel and image of all guests, and how the host runs them."""

    kernel: Kernel
    image: Image
    accelerator: Accelerator


def check_host(settings: Settings, state: Path) -> None:
    """ExperimentError, with what to do, unless tools, memory and space are there; at once, before
    anything is built."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for tool, package in _TOOLS.items():
        if shutil.which(tool, path=path) is None:
            raise ExperimentError(f"{tool} is not installed; run: apt-get install {package}")
    emulator()
    guests_bytes = settings.guests * (max(settings.memory) << 20)
    memory = guests_bytes + settings.guests * _QEMU_BYTES + settings.arena
    if mem_available_bytes() < memory:
        raise ExperimentError(
            f"no memory: {settings.guests} guests and the arena may need {memory >> 20} MiB, and"
            f" {mem_available_bytes() >> 20} MiB are available; ask for less with --memory, or free"
            " some"
        )
    _need(Path("/dev/shm"), settings.arena, "the arena")
    _need(state, settings.guests * OVERLAY_BYTES + _disk_bytes(settings), "the guests' disks")


def _disk_bytes(settings: Settings) -> int:
    """Of the disks that are measured, and of what they are made from."""
    if settings.workload == "memory":
        return settings.guests * settings.load.swap
    # an archive, the disk that is made of it, and the copy for the guests
    return 3 * (_BUILD_BYTES if settings.workload == "build" else settings.data.size)


def build(progress: Progress) -> System:
    """Kernel and image, from the cache if they were built before; ProvisionError."""
    kernel = kernels.build(progress=progress)
    image = images.build_for(kernel, progress=progress)
    verdict = probe(kernel.image)
    if verdict.notice is not None:
        progress.note(verdict.notice)
    return System(kernel, image, verdict.accelerator)


def host(system: System, state: Path) -> Host:
    """This host, for the record; guests' disks are in the folder `state`."""
    return Host(
        cpu=_processor(),
        processors=len(os.sched_getaffinity(0)),
        memory_bytes=_meminfo("MemTotal"),
        kernel=platform.release(),
        accelerator=system.accelerator.name,
        storage=_said("findmnt", "--noheadings", "--output=FSTYPE,SOURCE", "--target", str(state)),
    )


def versions(system: System) -> Versions:
    """Of all that is measured, for the record."""
    # here, since it fails where libvirt is missing, and then it has been said already
    from tmem_host.provision.vm.bindings import libvirt  # noqa: PLC0415

    number = libvirt.getVersion()
    qemu = _said(emulator(), "--version").partition(" Copyright")[0]
    return Versions(
        kvm_tmem=_own_version(),
        qemu=qemu.removeprefix("QEMU emulator version "),
        libvirt=f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}",
        guest_kernel=system.kernel.version,
        image=system.image.hash,
    )


def _own_version() -> str:
    """Of this package; a checkout adds its commit, and whether it was changed since."""
    version = importlib.metadata.version("kvm-tmem")
    commit = _said("git", "-C", str(source_root()), "describe", "--always", "--dirty=-changed")
    return f"{version}+{commit}" if commit else version


def _said(*command: str) -> str:
    """What it prints; nothing if it fails or is not there: a record is no reason to stop."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return " ".join(done.stdout.split()) if done.returncode == 0 else ""


def mem_available_bytes() -> int:
    """What the kernel thinks it could give out without swapping."""
    return _meminfo("MemAvailable")


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors; 0 for one that is gone."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _need(place: Path, bytes_: int, what: str) -> None:
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise ExperimentError(f"{what} needs {place}: {error.strerror}") from error
    if free < bytes_:
        raise ExperimentError(
            f"no space: {what} may need {bytes_ >> 20} MiB in {place}, which has {free >> 20} MiB"
            " free; free some, or ask for less"
        )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _meminfo(name: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ExperimentError(f"/proc/meminfo says nothing of {name}")
