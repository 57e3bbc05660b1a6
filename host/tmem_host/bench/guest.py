# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest kernel's benchmark: a service and a guest of its own, and in the guest the calls of the
front ends in turns with a bare port (c/kmod/bench, guest/tmem_guest/kernel/bench.py)."""

import dataclasses
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from tmem_host.bench import driver
from tmem_host.bench.driver import Measured
from tmem_host.bench.errors import BenchError
from tmem_host.bench.guest_fields import GUEST_FIELDS, WAITED
from tmem_host.bench.machine import check_room, machine, project_version, revision
from tmem_host.bench.processors import Processors, choose, keep_apart, kept_awake
from tmem_host.bench.run import FORMAT, describe_field, plain
from tmem_host.experiment import system
from tmem_host.experiment.lock import only_one
from tmem_host.experiment.service import PrivateService
from tmem_host.experiment.system import OVERLAY_BYTES, System
from tmem_host.provision.progress import Progress
from tmem_host.provision.vm.disks import run_tool
from tmem_host.provision.vm.running import RunningGuest
from tmem_host.provision.vm.settings import Compression, TmemSettings
from tmem_host.provision.vm.spec import Cache, Disk, VmSpec

_SHM = Path("/dev/shm")
_BARE_PORT = "bench"
_DISK = "cold"
_FILE = "pages"
_SHARED = UUID("5b0c7d1e-92a4-4c5e-8f37-6a1d20e9b4c3")
_MOUNT_POINT = "/tmp/cold"
_MIB = 1 << 20
_EXTRA_BYTES = 256 * _MIB
_RUN_LIMIT_S = 3600.0


@dataclass(frozen=True)
class GuestSettings:
    """What to measure, and how long."""

    rounds: int = 5
    pages: int = 2048
    """that are moved at a time"""
    cold_bytes: int = 1 << 30
    """of the file that is read with nothing cached"""
    memory_mib: int = 1536
    """of the guest; the file fits into it"""
    vcpus: int = 1


def run_guest(
    settings: GuestSettings,
    progress: Progress,
    tell: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """Measures; the document, ready for JSON. BenchError, ExperimentError, or an error of
    provisioning, in one sentence. Whatever happens, nothing is left of guest and service."""
    processors = choose(settings.vcpus)
    on = machine(_SHM)
    arena_bytes = settings.cold_bytes + settings.pages * 16 * 4096 + _EXTRA_BYTES
    check_room(_SHM, arena_bytes, arena_bytes + (settings.memory_mib << 20) + _EXTRA_BYTES)
    tell("building the host end of the bare port")
    echo = driver.build("bench_echo")
    with only_one(progress) as state:
        check_room(state, 2 * settings.cold_bytes + OVERLAY_BYTES, 0)
        built = system.build(progress)
        with PrivateService(state, arena_bytes=arena_bytes) as service:
            tell("writing the disk")
            spec = _spec(settings, built, _make_disk(state, settings.cold_bytes))
            with kept_awake() as awake:
                if not awake:
                    tell("the host's processors may sleep: /dev/cpu_dma_latency cannot be written")
                measured = _measure(settings, service, spec, echo, tell, processors=processors)
    return {
        "benchmark": "guest",
        "format": FORMAT,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(on),
        "versions": dataclasses.asdict(system.versions(built)) | {"kvm_tmem": project_version()},
        "revision": plain(revision()),
        "guest": {
            "memory_bytes": settings.memory_mib << 20,
            "vcpus": settings.vcpus,
            "accelerator": built.accelerator.name,
            "disk": f"raw, cache={Cache.NONE.value}, ext4",
            "processors": dataclasses.asdict(processors) | {"awake": awake},
        },
        "settings": dataclasses.asdict(settings),
        "fields": {field.name: describe_field(field, measured) for field in GUEST_FIELDS},
    }


def _make_disk(state: Path, cold_bytes: int) -> Path:
    """A disk with a file system, and in it a file of pages that do not compress."""
    folder, disk = state / "files", state / "cold.raw"
    folder.mkdir()
    with (folder / _FILE).open("xb") as file:
        for at in range(0, cold_bytes, _MIB):
            file.write(os.urandom(min(_MIB, cold_bytes - at)))
    with disk.open("xb") as file:
        os.truncate(file.fileno(), cold_bytes + cold_bytes // 32 // 4096 * 4096 + 64 * _MIB)
    # cleancache takes blocks of the size of a page only
    run_tool("e2fsprogs", "mkfs.ext4", "-q", "-F", "-b", "4096", "-d", str(folder), str(disk))
    shutil.rmtree(folder)
    return disk


def _spec(settings: GuestSettings, built: System, disk: Path) -> VmSpec:
    return VmSpec(
        name="bench",
        kernel=built.kernel.image,
        base=built.image.path,
        memory_mib=settings.memory_mib,
        vcpus=settings.vcpus,
        accelerator=built.accelerator,
        overlay_bytes=OVERLAY_BYTES,
        disks=(Disk(name=_DISK, path=disk, cache=Cache.NONE),),
        ports=(_BARE_PORT,),
        # pages as they are, as in the other benchmarks
        settings=TmemSettings(compression=Compression.NONE, shared=frozenset({_SHARED})),
        tmem=True,
    )


def _measure(
    settings: GuestSettings,
    service: PrivateService,
    spec: VmSpec,
    echo: Path,
    tell: Callable[[str], None],
    *,
    processors: Processors,
) -> Measured:
    with service.vms() as vms:
        tell("booting the guest")
        vms.create(spec)
        guest = RunningGuest(vms, spec.name)
        guest.shell(
            f"mkdir -p {_MOUNT_POINT}; mount -o noatime /dev/disk/by-serial/{_DISK} {_MOUNT_POINT}"
        )
        with _running(echo, guest.places.port_socket(_BARE_PORT)) as host_end:
            keep_apart(processors, guest.pid(), [service.pid, host_end])
            tell("measuring")
            began = _waited_ns([guest.pid(), service.pid]), time.monotonic_ns()
            output = guest.run(
                *("tmem-guest", "kernel", "bench"),
                *("--rounds", str(settings.rounds), "--pages", str(settings.pages)),
                *("--shared", str(_SHARED), "--cold", f"{_MOUNT_POINT}/{_FILE}"),
                limit_s=_RUN_LIMIT_S,
            )
            ended = _waited_ns([guest.pid(), service.pid]), time.monotonic_ns()
        vms.destroy(spec.name)
    measured = driver.read(output)
    most_ns = max((ended[0][task] - began[0].get(task, 0) for task in ended[0]), default=0)
    measured.values[WAITED] = min(1.0, most_ns / (ended[1] - began[1]))
    return measured


@contextmanager
def _running(echo: Path, socket: Path) -> Iterator[int]:
    """The process id of the host end of the bare port; BenchError, with what it said, if it has
    ended."""
    process = subprocess.Popen(
        [echo, socket], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process.pid
    except Exception as error:
        if process.poll() is not None:
            said = process.stderr.read().strip() if process.stderr else ""
            raise BenchError(f"the host end of the bare port has ended: {said}") from error
        raise
    finally:
        process.kill()
        process.communicate()


def _waited_ns(pids: list[int]) -> dict[str, int]:
    """Of each thread: for how long it was ready to run, and others had the processor."""
    waited = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                waited[task.name] = int((task / "schedstat").read_text().split()[1])
            except OSError:
                continue  # it has ended
    return waited
