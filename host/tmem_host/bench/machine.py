# SPDX-License-Identifier: GPL-2.0-or-later
"""What the figures were measured on: the machine, the versions, and the memory to measure in."""

import importlib.metadata
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tmem_host.bench.driver import SOURCE_TREE
from tmem_host.bench.errors import BenchError


@dataclass(frozen=True)
class Machine:
    """Of this host. `None` where the system does not say."""

    processor: str | None
    processors: int
    """that this process may use"""
    memory_bytes: int
    kernel: str
    tmpfs_huge: str
    """the mount option `huge` of the tmpfs that holds the arenas"""
    shmem_enabled: str | None
    """/sys/kernel/mm/transparent_hugepage/shmem_enabled"""


@dataclass(frozen=True)
class Revision:
    """What the source tree was checked out from."""

    commit: str
    modified: bool
    """files that git knows have changed since"""


def machine(folder: Path) -> Machine:
    """The machine, and the tmpfs that `folder` is on; BenchError if it is on something else."""
    return Machine(
        processor=_processor(),
        processors=len(os.sched_getaffinity(0)),
        memory_bytes=_meminfo("MemTotal"),
        kernel=os.uname().release,
        tmpfs_huge=_tmpfs_huge(folder),
        shmem_enabled=_chosen(Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")),
    )


def project_version() -> str:
    """Of the installed package."""
    return importlib.metadata.version("kvm-tmem")


def server_versions() -> dict[str, str]:
    """Of the servers that ours is compared with; BenchError if one is not installed."""
    versions = {}
    for name, program in (("redis", "redis-server"), ("memcached", "memcached")):
        try:
            done = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=True
            )
        except (FileNotFoundError, subprocess.CalledProcessError):
            raise BenchError(
                f"there is no {program} to compare with: install the packages redis-server"
                " and memcached (their services need not run)"
            ) from None
        words = done.stdout.replace("v=", " ").split()
        versions[name] = next(word for word in words if word[:1].isdigit())
    return versions


def revision() -> Revision | None:
    """None outside a checkout, or without git."""
    try:
        commit = _git("rev-parse", "--verify", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return Revision(commit, changes != "")


def check_room(folder: Path, folder_bytes: int, memory_bytes: int) -> None:
    """BenchError unless the file system of `folder`, and memory with it, have so much free."""
    for what, free_bytes, needed_bytes in (
        (f"{folder} has", shutil.disk_usage(folder).free, folder_bytes),
        ("memory has", _meminfo("MemAvailable"), memory_bytes),
    ):
        if free_bytes < needed_bytes:
            raise BenchError(
                f"{what} {free_bytes >> 20} MiB free, the benchmark needs"
                f" {needed_bytes >> 20} MiB there: ask for less with --size, or free some"
            )


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(SOURCE_TREE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str | None:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return None


def _meminfo(name: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise BenchError(f"/proc/meminfo says nothing of {name}")


def _tmpfs_huge(folder: Path) -> str:
    try:
        device = os.stat(folder).st_dev
    except OSError as error:
        raise BenchError(f"{folder}: {error.strerror}") from None
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        about_mount, _, about_system = line.partition(" - ")
        kind, _, options = about_system.split(" ", 2)
        if about_mount.split()[2] == number and kind == "tmpfs":
            given = [option for option in options.split(",") if option.startswith("huge=")]
            return given[0].removeprefix("huge=") if given else "never"
    raise BenchError(f"{folder} is not on a tmpfs: name one with --arena")


def _chosen(path: Path) -> str | None:
    """The word in brackets, in the kernel's way of showing a choice."""
    try:
        text = path.read_text()
    except OSError:
        return None
    return text.partition("[")[2].partition("]")[0] or None
