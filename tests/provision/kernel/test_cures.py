# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cures change, seen by one guest with a cleancache backend that talks.

Each is looked at with and without its patch. test_cures_of_clusters.py has what takes two guests.
"""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.provision.kernel import ocfs2
from tests.provision.kernel.guest import boot, build_module
from tmem_host.provision.kernel import Kernel

FILE_BYTES = 2 << 20

# A direct write that takes seconds, since the disk is throttled; a reader in the middle of it.
_SCRIPT = """\
insmod /recorder.ko
# Compaction takes pages from the lists of single processors, where they are not dropped. Not 2 or
# 3 for drop_caches: without F12 an inode that goes takes what the pool has of it along.
drop() { echo 1 > /proc/sys/vm/compact_memory; echo 1 > /proc/sys/vm/drop_caches; }

echo "test: f8"
mount -t ext4 -o ro /dev/vda /mnt
mount -o remount,rw /mnt

echo "test: f9"
# On a busy host the write may be over before the reader is: then once more.
for new in 1 2 3 4 5 6; do
	head -c @BYTES@ /dev/zero | tr '\\0' $new > /tmp/new
	cat /mnt/file > /dev/null; drop
	dd if=/tmp/new of=/mnt/file bs=@BYTES@ oflag=direct conv=notrunc 2> /dev/null &
	writer=$!
	sleep 1
	cat /mnt/file > /dev/null; drop
	if kill -0 $writer; then
		wait $writer
		echo "read while it was written"
		echo "stale bytes $(tr -d $new < /mnt/file | wc -c)"
		break
	fi
	wait $writer
done

# Dentries first, then inodes that nothing has used since the last look.
echo "test: f12"
head -c 65536 /tmp/new > /mnt/short; sync; drop
cat /mnt/short > /dev/null; sync; drop
for look in 1 2 3 4 5; do echo 2 > /proc/sys/vm/drop_caches; done
echo "test: f12 deleted"
rm /mnt/short

echo "test: s2"
cat /mnt/file > /dev/null; drop
umount /mnt

echo "test: s4"
mount -t ocfs2 /dev/vdb /mnt && echo mounted
umount /mnt

echo "test: cluster"
ifconfig lo 127.0.0.1 up
@JOIN@
head -c 65536 /tmp/new > /mnt/file
sync
drop
locks() { sed -n "/\tM/s/^/$1 /p" /sys/kernel/debug/ocfs2/@UUID@/locking_state; }
exec 4< /mnt/file
cat /mnt/file > /dev/null
dd if=/dev/zero of=/mnt/file bs=65536 count=1 oflag=direct conv=notrunc 2> /dev/null
locks before
dd if=/dev/zero of=/mnt/file bs=65536 count=1 oflag=direct conv=notrunc 2> /dev/null
locks after
echo "bytes $(tr -d '\\0' < /mnt/file | wc -c)"
exec 4<&-
umount /mnt
"""


def _throttled(folder: Path) -> str:
    """ext4 with a file, on a disk to which writing the file takes some seconds."""
    (folder / "files").mkdir()
    (folder / "files/file").write_bytes(b"0" * FILE_BYTES)
    path = folder / "ext4.img"
    with open(path, "wb") as file:
        file.truncate(ocfs2.IMAGE_BYTES)
    # with smaller blocks ext4 asks cleancache for nothing
    make = ["mkfs.ext4", "-q", "-b", "4096", "-d", f"{folder}/files", str(path)]
    subprocess.run(make, check=True)
    return f"{path},throttling.bps-write={FILE_BYTES // 6}"


@pytest.fixture(scope="module")
def said(guest_kernel: Kernel, qemu: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What guest and backend said."""
    folder = tmp_path_factory.mktemp("cures")
    module = build_module(Path(__file__).parent / "module/recorder.c", guest_kernel, folder)
    local = ocfs2.local_image(folder / "local.img")
    cluster = ocfs2.cluster_image(folder / "cluster.img")
    script = (
        _SCRIPT.replace("@BYTES@", str(FILE_BYTES))
        .replace("@JOIN@", cluster.join(0, ["127.0.0.1"], "/dev/vdc"))
        .replace("@UUID@", cluster.uuid)
    )
    disks = [_throttled(folder), str(local), str(cluster.path)]
    return boot(qemu, guest_kernel, folder, script, files=[module], disks=disks)


def _part(said: Sequence[str], name: str) -> str:
    text = "\n".join(said)
    return text.partition(f"test: {name}\n")[2].partition("\ntest: ")[0]


def _recorded(part: str) -> list[str]:
    return re.findall(r"recorder: (.*)", part)


def test_f8_one_pool_for_a_mount(guest_kernel: Kernel, said: list[str]) -> None:
    made = [line for line in _recorded(_part(said, "f8")) if line.startswith("init_fs")]
    assert len(made) == (1 if guest_kernel.patched else 2)


def test_f9_no_page_from_before_a_direct_write(guest_kernel: Kernel, said: list[str]) -> None:
    part = _part(said, "f9")
    assert "read while it was written" in part
    (stale,) = re.findall(r"stale bytes (\d+)", part)
    assert (int(stale) == 0) == guest_kernel.patched


def test_f12_pages_outlive_the_inode_in_memory(guest_kernel: Kernel, said: list[str]) -> None:
    dropped = [
        sum(int(pages) for pages in re.findall(r"invalidate_inode drops (\d+)", _part(said, part)))
        for part in ("f12", "f12 deleted")
    ]
    # one of 16 pages whose inode leaves memory, and is deleted then; and the file of f9
    pages = 16 + FILE_BYTES // 4096
    assert dropped == ([0, 16] if guest_kernel.patched else [pages, 0])


def test_s2_the_mount_has_its_id_while_it_leaves(guest_kernel: Kernel, said: list[str]) -> None:
    left = re.findall(r"invalidate_fs (\d+), the mount has (-?\d+)", _part(said, "s2"))
    assert len(left) == 1
    ((left_id, id_of_mount),) = left
    assert id_of_mount == (left_id if guest_kernel.patched else "-1")


def test_s4_a_local_mount_has_a_private_pool(guest_kernel: Kernel, said: list[str]) -> None:
    part = _part(said, "s4")
    assert "mounted" in part
    how = [line.split()[0] for line in _recorded(part) if " gives " in line]
    assert how == ["init_fs" if guest_kernel.patched else "init_shared_fs"]


def test_a_mount_of_a_cluster_joins(said: list[str]) -> None:
    part = _part(said, "cluster")
    assert "mounted" in part
    assert [line.split()[0] for line in _recorded(part) if " gives " in line] == ["init_shared_fs"]
    assert "bytes 0\n" in part


def _ex_taken(part: str, when: str) -> dict[str, int]:
    """How often EX was asked for, for each inode's lock (format of the kernel's locking_state)."""
    rows = (line.split() for line in part.splitlines() if line.startswith(f"{when} 0x"))
    return {row[2]: int(row[1 + 10 + 64 + 1]) for row in rows if row[2].startswith("M")}


def test_s5_a_direct_write_takes_ex_again(guest_kernel: Kernel, said: list[str]) -> None:
    part = _part(said, "cluster")
    before, after = _ex_taken(part, "before"), _ex_taken(part, "after")
    taken = [after[lock] - before[lock] for lock in before if after[lock] != before[lock]]
    # once before the write, and once when it is done
    assert taken == [2 if guest_kernel.patched else 1]
