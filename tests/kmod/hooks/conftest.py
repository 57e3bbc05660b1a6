# SPDX-License-Identifier: GPL-2.0-or-later
"""The module tmem_hooks in guests that have nothing else but busybox and a backend for tests."""

import dataclasses
import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.provision.conftest import qemu as _qemu
from tests.provision.kernel.guest import boot
from tmem_host.provision.kernel import Kernel, build_modules, find, module_sources
from tmem_host.provision.paths import source_root

qemu = _qemu

_KEEPER = Path(__file__).with_name("keeper.c")
_KBUILD = b"obj-m += keeper.o\nccflags-y += -I$(src)/.. -I$(src)/../../include\n"

# What scripts use. A round of `pages` reads what was read before, and dropped; one of `swap` fills
# the memory with what is written nowhere, and has it come back.
_FUNCTIONS = """\
cd /
hooks=/sys/kernel/debug/tmem/hooks
keeper=/sys/module/keeper/parameters
counter() { sed -n "s/^$1 //p" $hooks/counters; }
drop() { echo 1 > /proc/sys/vm/compact_memory; echo 1 > /proc/sys/vm/drop_caches; }
# a kernel that is short of memory may not drop, and a backend not take, what it is asked to
pages() {
	for look in 1 2 3 4 5; do
		drop; md5sum < /mnt/file > /tmp/first; drop
		before=$(counter gets_hit)
		md5sum < /mnt/file | cmp - /tmp/first || echo "WRONG: the file differs"
		if [ $(counter gets_hit) -gt $before ]; then
			echo "pages come back"
			return
		fi
	done
}
swap() {
	before=$(counter stores)
	fill kept
	fill more
	[ "$(md5sum < /ram/kept)" = "$kept" ] || echo "WRONG: memory differs"
	[ $(counter stores) -gt $before ] && echo "pages were stored"
	rm /ram/kept /ram/more
}
# more than half of what is free, and the sum of it in $kept
fill() {
	dd if=/dev/urandom of=/ram/$1 bs=1M count=${2:-36} 2> /dev/null
	[ $1 = kept ] && kept=$(md5sum < /ram/kept)
}
mkdir -p /ram; mount -t tmpfs -o size=200m tmpfs /ram
"""


@pytest.fixture(scope="session")
def kernel() -> Kernel:
    """The kernel of the guests."""
    found = find(patched=True)
    if found is None:
        pytest.skip("the guest kernel is not in the cache; make kernel builds it")
    return found


@pytest.fixture(scope="session")
def modules() -> Callable[[Kernel], list[Path]]:
    """The project's modules and the backend for tests, built for a kernel."""
    sources = module_sources(source_root())
    keeper = _KEEPER.read_bytes()
    files = {
        **sources.files,
        Path("c/kmod/keeper/Kbuild"): _KBUILD,
        Path("c/kmod/keeper/keeper.c"): keeper,
    }
    key = hashlib.sha256(sources.key.encode() + _KBUILD + keeper).hexdigest()
    with_keeper = dataclasses.replace(sources, files=files, key=key)
    return lambda kernel: build_modules(kernel, with_keeper).files


@dataclasses.dataclass(frozen=True)
class Machine:
    """Boots guests with a disk /dev/vda, on which is an ext4 with a file of 2 MiB, and one for
    swap, /dev/vdb."""

    qemu: str
    folder: Path
    modules: Callable[[Kernel], list[Path]]

    def run(self, kernel: Kernel, script: str, *more_disks: str) -> list[str]:
        """What a guest says that runs `script` to its end, finding nothing wrong."""
        (self.folder / "files").mkdir()
        (self.folder / "files/file").write_bytes(bytes(range(256)) * (2 << 12))
        ext4, swap = self.folder / "ext4.img", self.folder / "swap.img"
        for path, size in ((ext4, 32 << 20), (swap, 128 << 20)):
            with open(path, "wb") as file:
                file.truncate(size)
        mkfs = ("mkfs.ext4", "-q", "-b", "4096", "-d", str(self.folder / "files"), str(ext4))
        subprocess.run(mkfs, check=True)
        subprocess.run(("mkswap", str(swap)), check=True, capture_output=True)
        said = boot(
            self.qemu,
            kernel,
            self.folder,
            _FUNCTIONS + script,
            files=self.modules(kernel),
            disks=[str(ext4), str(swap), *more_disks],
            memory_mib=112,
        )
        assert not [line for line in said if "WRONG" in line]
        return said


@pytest.fixture
def machine(qemu: str, tmp_path: Path, modules: Callable[[Kernel], list[Path]]) -> Machine:
    return Machine(qemu, tmp_path, modules)
