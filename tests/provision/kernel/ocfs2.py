# SPDX-License-Identifier: GPL-2.0-or-later
"""ocfs2 in guests that have no tools but busybox."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

IMAGE_BYTES = 100 << 20
_MKFS = ("mkfs.ocfs2", "-q", "-b", "4K", "-C", "4K", "-F")


@dataclass(frozen=True)
class ClusterImage:
    """A file system for two nodes."""

    path: Path
    uuid: str
    _heartbeat_sector: int

    def join(self, node: int, addresses: list[str], device: str, dead_threshold: int = 31) -> str:
        """The lines of a script that make a guest `node` of those at `addresses` and mount."""
        cluster = "/sys/kernel/config/cluster/tmem"
        lines = ["modprobe ocfs2_stack_o2cb", f"mkdir {cluster}"]
        for number, address in enumerate(addresses):
            folder = f"{cluster}/node/n{number}"
            lines += [
                f"mkdir {folder}",
                f"echo 7777 > {folder}/ipv4_port",
                f"echo {address} > {folder}/ipv4_address",
                f"echo {number} > {folder}/num",
                f"echo {int(number == node)} > {folder}/local",
            ]
        region = f"{cluster}/heartbeat/{self.uuid}"
        lines += [
            f"echo {dead_threshold} > {cluster}/heartbeat/dead_threshold",
            f"mkdir {region}",
            f"echo 512 > {region}/block_bytes",
            f"echo {self._heartbeat_sector} > {region}/start_block",
            f"echo 4 > {region}/blocks",
            # the kernel takes the device from a file that is open
            f"exec 3<> {device}",
            f"echo 3 > {region}/dev",
            "exec 3<&-",
            f"mount -t ocfs2 -o noatime,heartbeat=local {device} /mnt && echo mounted",
        ]
        return "\n".join(lines) + "\n"


def _make(path: Path, *arguments: str) -> Path:
    with open(path, "wb") as file:
        file.truncate(IMAGE_BYTES)
    command = [*_MKFS, *arguments, str(path)]
    subprocess.run(command, input=b"y\n", check=True, capture_output=True)
    return path


def local_image(path: Path) -> Path:
    """A file system that is mounted without a cluster."""
    return _make(path, "-N", "1", "-M", "local")


def cluster_image(path: Path) -> ClusterImage:
    """A file system for two nodes."""
    _make(path, "-N", "2", "--cluster-stack=o2cb", "--cluster-name=tmem")
    heartbeat = re.search(r"^\s+0 .* (\d+)\s+0x0", _ask(path, "stat //heartbeat"), re.M)
    uuid = re.search(r"UUID: (\w+)", _ask(path, "stats"))
    assert heartbeat
    assert uuid
    return ClusterImage(path, uuid[1], int(heartbeat[1]) * (4096 // 512))


def _ask(image: Path, question: str) -> str:
    return subprocess.run(
        ["debugfs.ocfs2", "-R", question, image], capture_output=True, text=True, check=True
    ).stdout
