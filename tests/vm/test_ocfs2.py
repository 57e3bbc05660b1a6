# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests mount one clustered file system, and see each other's writes."""

from collections.abc import Callable

from tests.vm import ocfs2
from tests.vm.conftest import MakeVm
from tmem_host.provision.vm.spec import Disk


def test_two_nodes(make_vm: MakeVm, shared_disk: Callable[..., Disk]) -> None:
    disk = shared_disk()
    assert disk.path is not None
    uuid = ocfs2.make_file_system(disk.path, nodes=2)
    guests = make_vm("node", count=2, disks=(disk,), networks=("cluster",), modules=ocfs2.MODULES)
    ocfs2.start_cluster(guests)
    for guest in guests:
        ocfs2.mount(guest, disk.name)
    a, b = guests
    for turn in range(3):
        a.shell(f"echo {turn} from a > {ocfs2.MOUNT_POINT}/file")
        assert b.run("cat", f"{ocfs2.MOUNT_POINT}/file") == f"{turn} from a\n"
        b.shell(f"echo {turn} from b > {ocfs2.MOUNT_POINT}/file")
        assert a.run("cat", f"{ocfs2.MOUNT_POINT}/file") == f"{turn} from b\n"
    assert str(uuid) in a.run("blkid", f"/dev/disk/by-serial/{disk.name}")
    for guest in guests:
        guest.run("umount", ocfs2.MOUNT_POINT)
