# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest kernel boots, with its modules and with those of other sources."""

import hashlib
import re
from pathlib import Path

from tests.provision.kernel.guest import boot, build_module
from tmem_host.provision.kernel import Kernel

_SCRIPT = """\
echo "release $(uname -r)"
echo "config $(zcat /proc/config.gz | md5sum)"
for module in ocfs2 ocfs2_stack_o2cb ocfs2_dlm btrfs; do
    modprobe $module && echo "loaded $module"
done
insmod /find_cures.ko
echo $(cat /proc/filesystems)
echo "up $(cut -d' ' -f1 /proc/uptime)"
"""


def test_boot(guest_kernel: Kernel, qemu: str, tmp_path: Path) -> None:
    module = build_module(Path(__file__).parent / "module/find_cures.c", guest_kernel, tmp_path)
    lines = boot(qemu, guest_kernel, tmp_path, _SCRIPT, files=[module])
    assert f"release {guest_kernel.version}" in lines
    config = hashlib.md5(guest_kernel.config.read_bytes()).hexdigest()
    assert f"config {config}  -" in lines
    for name in ("ocfs2", "ocfs2_stack_o2cb", "ocfs2_dlm", "btrfs"):
        assert f"loaded {name}" in lines
    (filesystems,) = (line for line in lines if "squashfs" in line and "tmpfs" in line)
    for name in ("ext4", "squashfs", "overlay", "tmpfs", "devtmpfs", "configfs", "ocfs2", "btrfs"):
        assert name in filesystems.split()
    # as the hooks module finds them
    found = re.findall(r"find_cures: (\w\d+ \d)$", "\n".join(lines), re.M)
    there = 1 if guest_kernel.patched else 0
    cures = ("f8", "f9", "s1", "s2", "s3", "s4", "s5", "f12")
    assert found == [f"{cure} {there}" for cure in cures]
