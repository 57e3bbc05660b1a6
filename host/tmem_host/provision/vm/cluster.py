# SPDX-License-Identifier: GPL-2.0-or-later
"""An OCFS2 cluster of guests: one shared disk, the kernel's own cluster stack, no daemons."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from tmem_host.provision.vm.disks import run_tool
from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.running import RunningGuest, addresses

CLUSTER = "tmem"
MODULES = ("ocfs2", "ocfs2_stack_o2cb")
MOUNT_POINT = "/mnt/shared"
NODES_MAX = 8
# The kernel's own default.
DEAD_AFTER_BEATS = 31
_CONFIG = f"/sys/kernel/config/cluster/{CLUSTER}"
_PORT = 7777


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


def start_cluster(guests: Sequence[RunningGuest], dead_after_beats: int = DEAD_AFTER_BEATS) -> None:
    """Tells each guest of all nodes; they are on one network. VmError.

    A node is dead to the others when it has missed so many heartbeats of two seconds.
    """
    nodes = dict(zip([guest.name for guest in guests], addresses(guests), strict=True))
    for local in guests:
        join_cluster(local, nodes, dead_after_beats)


def join_cluster(
    local: RunningGuest, nodes: Mapping[str, str], dead_after_beats: int = DEAD_AFTER_BEATS
) -> None:
    """Tells one guest, as after its reboot, of all nodes: addresses by name. VmError."""
    lines = []
    for number, (name, address) in enumerate(nodes.items()):
        folder = f"{_CONFIG}/node/{name}"
        lines += [
            # the kernel takes them in this order alone
            f"mkdir -p {folder}",
            f"echo {_PORT} > {folder}/ipv4_port",
            f"echo {address} > {folder}/ipv4_address",
            f"echo {number} > {folder}/num",
        ]
        if name == local.name:
            lines.append(f"echo 1 > {folder}/local")
    lines.append(f"echo {dead_after_beats} > {_CONFIG}/heartbeat/dead_threshold")
    lines.append("which ocfs2_hb_ctl > /proc/sys/fs/ocfs2/nm/hb_ctl_path")
    local.shell("\n".join(lines))


def mount(guest: RunningGuest, disk: str, options: str = "noatime") -> None:
    """Mounts the shared disk of that serial number; VmError."""
    guest.shell(
        f"mkdir -p {MOUNT_POINT}; mount.ocfs2 -o {options} /dev/disk/by-serial/{disk} {MOUNT_POINT}"
    )
