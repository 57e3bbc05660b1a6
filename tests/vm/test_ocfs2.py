# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests mount one clustered file system, and see each other's writes."""

from collections.abc import Callable

from tests.vm.conftest import MakeVm
from tmem_host.provision.vm import cluster
from tmem_host.provision.vm.spec import Disk


def test_two_nodes(make_vm: MakeVm, shared_disk: Callable[..., Disk]) -> None:
    disk = shared_disk()
    assert disk.path is not None
    uuid = cluster.make_file_system(disk.path, nodes=2)
    guests = make_vm(
        "node",
        count=2,
        disks=(disk,),
        networks=("cluster",),
        modules=cluster.MODULES,
        cluster=cluster.cluster_on(disk.name, 2),
    )
    for guest in guests:
        # they do not wait for a mount
        beating = guest.run("ls", f"/sys/kernel/config/cluster/{cluster.CLUSTER}/heartbeat")
        assert uuid.hex.upper() in beating.split()
        cluster.mount(guest, disk.name)
    a, b = guests
    for turn in range(3):
        a.shell(f"echo {turn} from a > {cluster.MOUNT_POINT}/file")
        assert b.run("cat", f"{cluster.MOUNT_POINT}/file") == f"{turn} from a\n"
        b.shell(f"echo {turn} from b > {cluster.MOUNT_POINT}/file")
        assert a.run("cat", f"{cluster.MOUNT_POINT}/file") == f"{turn} from b\n"
    assert str(uuid) in a.run("blkid", f"/dev/disk/by-serial/{disk.name}")
    for guest in guests:
        guest.run("umount", cluster.MOUNT_POINT)
