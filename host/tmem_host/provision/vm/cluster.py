# SPDX-License-Identifier: GPL-2.0-or-later
"""An OCFS2 cluster of guests: one shared disk, the kernel's own cluster stack, no daemons."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from tmem_host.provision.vm.disks import run_tool
from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.running import RunningGuest
from tmem_host.provision.vm.spec import Cluster

CLUSTER = "tmem"
MODULES = ("ocfs2", "ocfs2_stack_o2cb")
MOUNT_POINT = "/mnt/shared"
NODES_MAX = 8
# The kernel's own default.
DEAD_AFTER_BEATS = 31


def make_file_system(path: Path, nodes: int) -> UUID:
    """Makes an OCFS2 on a disk's file, for so many nodes; its uuid. VmError."""
    run_tool(
        "ocfs2-tools",
        *("mkfs.ocfs2", "-q", "-b", "4K", "-C", "4K", "-N", str(nodes)),
        *("--cluster-stack=o2cb", f"--cluster-name={CLUSTER}", "-F", str(path)),
        stdin="y\n",
    )
    found = run_tool("util-linux", "blkid", "-p", "-o", "value", "-s", "UUID", str(path)).strip()
    try:
        return UUID(found)
    except ValueError:
        raise VmError(f"mkfs.ocfs2 left no file system with a uuid on {path}") from None


def cluster_on(disk: str, nodes: int) -> Cluster:
    """The cluster of so many guests that become its nodes while they boot, with the shared disk of
    that name."""
    return Cluster(name=CLUSTER, dead_after_beats=DEAD_AFTER_BEATS, disk=disk, nodes=nodes)


def join_cluster(
    local: RunningGuest, nodes: Mapping[str, str], dead_after_beats: int = DEAD_AFTER_BEATS
) -> None:
    """Tells a guest that has booted of all nodes: addresses by name. VmError.

    A node is dead to the others when it has missed so many heartbeats of two seconds.
    """
    named = [f"{name}={address}" for name, address in nodes.items()]
    local.run("/tmem/bin/join-cluster", CLUSTER, str(dead_after_beats), local.name, *named)


def mount(guest: RunningGuest, disk: str, options: str = "noatime") -> None:
    """Mounts the shared disk of that serial number; VmError."""
    guest.shell(
        f"mkdir -p {MOUNT_POINT}; mount.ocfs2 -o {options} /dev/disk/by-serial/{disk} {MOUNT_POINT}"
    )
