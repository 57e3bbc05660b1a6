# SPDX-License-Identifier: GPL-2.0-or-later
"""Which file systems put the pages that they drop, and ask for those that they read
(docs/kernel.md). No backend is needed to count that: hooks counts what it drops, too."""

import json

from tests.vm.conftest import MakeVm
from tests.vm.flavour import assert_kernel_is_well
from tests.vm.guest import Guest
from tmem_host.provision.vm.spec import Disk

PAGES = 2048
# Reads the file twice, each time from the disk: what is dropped is this file's pages alone.
_READ = """
import os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(2):
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(file, 0, os.SEEK_SET)
    while os.read(file, 1 << 20):
        pass
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
"""


def _called(guest: Guest, call: str) -> int:
    """How often the kernel has called hooks' `call`, whatever came of it."""
    counters = json.loads(guest.run("tmem-guest", "kernel", "counters", "--json"))["hooks"]
    return sum(value for name, value in counters.items() if name.partition("_")[0] == call)


def _puts_and_gets(guest: Guest, make: str, options: str) -> tuple[int, int]:
    """Of reading a file of PAGES pages twice, on a new file system."""
    guest.shell(
        f"{make} /dev/disk/by-serial/disk && mount {options} /dev/disk/by-serial/disk /mnt"
        f" && head -c {PAGES * 4096} /dev/urandom > /mnt/file && umount /mnt"
        f" && mount {options} /dev/disk/by-serial/disk /mnt"
    )
    before = [_called(guest, call) for call in ("puts", "gets")]
    guest.run("python3", "-c", _READ, "/mnt/file")
    puts, gets = (
        _called(guest, call) - was for call, was in zip(("puts", "gets"), before, strict=True)
    )
    guest.run("umount", "/mnt")
    return puts, gets


def test_what_is_put_and_what_is_asked_for(make_vm: MakeVm) -> None:
    # so much memory that nothing is dropped but what is told to
    [guest] = make_vm(
        memory_mib=512,
        modules=("tmem_hooks",),
        disks=(Disk(name="disk", size_bytes=256 << 20),),
    )
    read = 2 * PAGES
    puts, gets = _puts_and_gets(guest, "mkfs.ext4 -q -F -b 4096", "")
    assert puts == read
    # ... and those of other files
    assert gets >= read
    # blocks smaller than a page
    puts, gets = _puts_and_gets(guest, "mkfs.ext4 -q -F -b 1024", "")
    assert puts == read
    assert gets < PAGES
    for options in ("", "-o nodatasum", "-o compress-force=zstd"):
        puts, gets = _puts_and_gets(guest, "mkfs.btrfs -q -f", options)
        assert puts == 0, options
        assert gets >= read, options
    assert_kernel_is_well(guest.shell)
