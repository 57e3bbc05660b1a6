# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cures S1 and S3 change, seen by two guests that mount one disk.

Each has a cleancache backend of its own that talks; that is enough to see when it is told what.
"""

import re
import time
from pathlib import Path

import pytest

from tests.provision.kernel import ocfs2
from tests.provision.kernel.guest import build_module, guest
from tmem_host.provision.kernel import Kernel

ADDRESSES = ["10.77.0.1", "10.77.0.2"]
# Heartbeats go every two seconds. Half a minute without one: a guest on a busy host is not dead.
DEAD_THRESHOLD = 16

_COMMON = """\
insmod /recorder.ko
ifconfig eth0 @ADDRESS@ up
@JOIN@
until_there() { until [ -e /mnt/$1 ]; do sleep 0.2; done; }
"""

# What is in the page cache when a file is written goes to no backend, so it is put before.
_FIRST = """\
head -c 65536 /dev/zero > /mnt/file
exec 4< /mnt/file
sync
echo 1 > /proc/sys/vm/drop_caches
cat /mnt/file > /dev/null
echo 1 > /proc/sys/vm/compact_memory; echo 1 > /proc/sys/vm/drop_caches
dd if=/bin/busybox of=/mnt/file bs=65536 count=1 conv=notrunc,fsync 2> /dev/null
echo "test: s1"
touch /mnt/written
until_there read
echo "test: s3"
touch /mnt/crash
until dmesg | grep -q "ocfs2: End replay journal (node 1"; do sleep 0.5; done
cat /mnt/other > /dev/null && echo "read what it had locked"
echo "test: end"
exec 4<&-
umount /mnt
"""

_SECOND = """\
until_there written
cat /mnt/file > /dev/null
touch /mnt/read
until_there crash
head -c 65536 /dev/zero > /mnt/other
sync
# as if its power went: no flush, no farewell
echo b > /proc/sysrq-trigger
"""


@pytest.fixture(scope="module")
def said(guest_kernel: Kernel, qemu: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the first guest and its backend said."""
    folder = tmp_path_factory.mktemp("clusters")
    module = build_module(Path(__file__).parent / "module/recorder.c", guest_kernel, folder)
    disk = ocfs2.cluster_image(folder / "cluster.img")
    socket = f"stream,addr.type=unix,addr.path={folder}/network"

    def script(node: int, text: str) -> str:
        join = disk.join(node, ADDRESSES, "/dev/vda", DEAD_THRESHOLD)
        return _COMMON.replace("@ADDRESS@", ADDRESSES[node]).replace("@JOIN@", join) + text

    for name in ("first", "second"):
        (folder / name).mkdir()
    files, disks = [module], [str(disk.path)]
    with guest(
        *(qemu, guest_kernel, folder / "first", script(0, _FIRST)),
        files=files,
        disks=disks,
        network=f"{socket},server=on",
    ) as first:
        while not (folder / "network").exists():
            assert first.process.poll() is None
            time.sleep(0.1)
        with guest(
            *(qemu, guest_kernel, folder / "second", script(1, _SECOND)),
            files=files,
            disks=disks,
            network=f"{socket},server=off",
        ):
            return "\n".join(first.finish())


def _recorded(said: str, name: str) -> list[str]:
    part = said.partition(f"test: {name}\n")[2].partition("test: ")[0]
    return re.findall(r"recorder: (.*)", part)


def test_both_were_there(said: str) -> None:
    assert "mounted\n" in said
    assert "read what it had locked\n" in said


def test_s1_a_downconvert_to_pr_flushes(guest_kernel: Kernel, said: str) -> None:
    dropped = [line for line in _recorded(said, "s1") if line.startswith("invalidate_inode")]
    assert dropped == (["invalidate_inode drops 16 of pool 1"] if guest_kernel.patched else [])


def test_s3_recovery_leaves_the_pool_and_joins_it_anew(guest_kernel: Kernel, said: str) -> None:
    changes = [line.partition(",")[0] for line in _recorded(said, "s3")]
    renewed = ["invalidate_fs 1", "init_shared_fs gives 2"]
    assert [line for line in changes if "_fs " in line] == (renewed if guest_kernel.patched else [])
    left = [line.partition(",")[0] for line in _recorded(said, "end")]
    assert f"invalidate_fs {2 if guest_kernel.patched else 1}" in left
