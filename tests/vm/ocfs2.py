# SPDX-License-Identifier: GPL-2.0-or-later
"""An OCFS2 cluster of guests: one shared disk, the kernel's own cluster stack, no daemons."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from tests.vm.guest import Guest, addresses

CLUSTER = "tmem"
MODULES = ("ocfs2", "ocfs2_stack_o2cb")
MOUNT_POINT = "/mnt/shared"
_PORT = 7777


def make_file_system(path: Path, nodes: int) -> UUID:
    """Makes an OCFS2 on a disk's file, for so many nodes; its uuid."""
    subprocess.run(
        [
            *("mkfs.ocfs2", "-q", "-b", "4K", "-C", "4K", "-N", str(nodes)),
            *("--cluster-stack=o2cb", f"--cluster-name={CLUSTER}", "-F", str(path)),
        ],
        input=b"y\n",
        capture_output=True,
        check=True,
    )
    found = subprocess.run(
        ["blkid", "-p", "-o", "value", "-s", "UUID", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    return UUID(found.stdout.strip())


def start_cluster(guests: Sequence[Guest]) -> None:
    """Tells each guest of all nodes; they are on one network."""
    nodes = list(zip(guests, addresses(guests), strict=True))
    for local in guests:
        for number, (guest, address) in enumerate(nodes):
            folder = f"/sys/kernel/config/cluster/{CLUSTER}/node/{guest.name}"
            local.shell(
                # the kernel takes them in this order alone
                f"mkdir -p {folder}; cd {folder};"
                f" echo {_PORT} > ipv4_port; echo {address} > ipv4_address; echo {number} > num"
            )
            if guest is local:
                local.shell(f"echo 1 > {folder}/local")
        local.shell("which ocfs2_hb_ctl > /proc/sys/fs/ocfs2/nm/hb_ctl_path")


def mount(guest: Guest, disk: str, options: str = "noatime") -> None:
    """Mounts the shared disk of that serial number."""
    guest.shell(
        f"mkdir -p {MOUNT_POINT}; mount.ocfs2 -o {options} /dev/disk/by-serial/{disk} {MOUNT_POINT}"
    )
