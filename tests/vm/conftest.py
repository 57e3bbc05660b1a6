# SPDX-License-Identifier: GPL-2.0-or-later
"""Real guests: the kernel, the image, and a maker of VMs.

    def test_something(make_vm, shared_disk):
        a, b = make_vm(disks=(shared_disk(),), networks=("lan",), count=2)
        a.run("ls", "/dev/disk/by-serial/shared")

What a test makes is gone when it ends; if it fails, its guests' serial logs are in the report.
All VMs of a session are below one state directory, whose libvirt root this process keeps open.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.provision.vm.recorder import Recorder
from tests.provision.vm.skips import needs_libvirt, needs_qemu
from tests.vm.flavour import DEBUG, KERNEL_ARGUMENTS, memory_mib
from tests.vm.guest import Guest
from tmem_host.provision import image as images
from tmem_host.provision import kernel as kernels
from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm.places import Places, places_at
from tmem_host.provision.vm.probe import probe
from tmem_host.provision.vm.provisioner import Provisioner
from tmem_host.provision.vm.spec import Accelerator, Cache, Disk, VmSpec

_SERIAL_TAIL = 8000
_BOOT_LIMIT_S = 300.0


class MakeVm(Protocol):
    """Makes guests that boot at the same time; names are their own unless given."""

    def __call__(
        self, name: str | None = None, *, count: int = 1, **spec: Any
    ) -> "list[Guest]": ...


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    """The guest kernel with the project's patches; takes minutes where it is not in the cache."""
    return kernels.build(debug=DEBUG)


@pytest.fixture(scope="session")
def unpatched_kernel() -> Kernel:
    """The same without them."""
    return kernels.build(patched=False)


@pytest.fixture(scope="session")
def image(kernel: Kernel, request: pytest.FixtureRequest) -> Image:
    """An image with the modules of both; with those of the debug kernel alone, if that is run."""
    if DEBUG:
        return images.build_for(kernel)
    return images.build(kernels=[kernel, request.getfixturevalue("unpatched_kernel")])


@pytest.fixture(scope="session")
def accelerator(kernel: Kernel) -> Accelerator:
    """What this machine runs guests with."""
    needs_qemu()
    return probe(kernel.image).accelerator


@pytest.fixture(scope="session")
def places() -> Iterator[Places]:
    """Where this session's VMs are: on a disk, with a path that is short enough for sockets."""
    needs_libvirt()
    needs_qemu()
    directory = Path(tempfile.mkdtemp(prefix="tmem-vm-", dir="/var/tmp"))
    yield places_at(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def lifecycle() -> Recorder:
    """What a service would have been told of this session's domains."""
    return Recorder()


@pytest.fixture(scope="session")
def vms(places: Places, lifecycle: Recorder) -> Iterator[Provisioner]:
    """The VMs of this session."""
    with Provisioner(uri="qemu:///embed", places=places, lifecycle=lifecycle) as vms:
        yield vms
        for info in vms.vms():
            vms.destroy(info.name)


@pytest.fixture(scope="session")
def guest_defaults(kernel: Kernel, image: Image, accelerator: Accelerator) -> dict[str, Any]:
    """What every VmSpec needs."""
    return {"kernel": kernel.image, "base": image.path, "accelerator": accelerator}


@pytest.fixture
def make_vm(
    request: pytest.FixtureRequest, vms: Provisioner, guest_defaults: dict[str, Any]
) -> Iterator[MakeVm]:
    """Makes guests, which are gone when the test ends. Takes what VmSpec takes."""
    made: list[str] = []

    def make(name: str | None = None, *, count: int = 1, **spec: Any) -> list[Guest]:
        names = (
            [name or "vm"] if count == 1 else [f"{name or 'vm'}{n}" for n in range(1, count + 1)]
        )
        spec.setdefault("kernel_arguments", KERNEL_ARGUMENTS)
        spec["memory_mib"] = memory_mib(spec.get("memory_mib", VmSpec.memory_mib))
        for each in names:
            vms.create(VmSpec(name=each, **(guest_defaults | spec)), wait=False)
            made.append(each)
        for each in names:
            vms.wait(each, _BOOT_LIMIT_S)
        return [Guest(vms, each) for each in names]

    yield make
    if (report := request.node.stash.get(_REPORT, None)) is not None and report.failed:
        for each in made:
            _show_serial_log(request.node, vms.places.vm(each).serial_log, each)
    existing = {info.name for info in vms.vms()}
    for each in made:
        if each in existing:
            vms.destroy(each)


@pytest.fixture
def disk_directory() -> Iterator[Path]:
    """A directory for disks, where the page cache can be passed by; /tmp may be a tmpfs."""
    directory = Path(tempfile.mkdtemp(prefix="tmem-disks-", dir="/var/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def shared_disk(disk_directory: Path) -> Callable[..., Disk]:
    """Makes an empty disk for many guests: shared_disk("name", size_bytes)."""

    def make(name: str = "shared", size_bytes: int = 256 << 20) -> Disk:
        path = disk_directory / name
        with path.open("xb") as file:
            os.truncate(file.fileno(), size_bytes)
        return Disk(name=name, path=path, shared=True, cache=Cache.NONE)

    return make


_REPORT = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or report.failed:
        item.stash[_REPORT] = report
    return report


def _show_serial_log(item: pytest.Item, log: Path, name: str) -> None:
    text = log.read_text(errors="replace") if log.exists() else "(none)"
    item.stash[_REPORT].sections.append((f"serial log of {name}", text[-_SERIAL_TAIL:]))
