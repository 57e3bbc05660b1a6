# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots a kernel under emulation with nothing but busybox and the files of the test."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm.domain_xml import EVERY_GUEST

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
/bin/busybox ln -s bin /sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t debugfs debugfs /sys/kernel/debug
mount -t configfs configfs /sys/kernel/config
sh /test.sh
echo "test.sh: status $?"
poweroff -f
"""
_DEADLINE_SECONDS = 400


def build_module(source: Path, kernel: Kernel, folder: Path) -> Path:
    """Builds a module of one file against `kernel`, in `folder`."""
    shutil.copy2(source, folder)
    (folder / "Makefile").write_text(f"obj-m := {source.stem}.o\n")
    subprocess.run(
        ["make", "-s", "-C", str(kernel.build), f"M={folder}", "W=1", "modules"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        check=True,
    )
    return folder / f"{source.stem}.ko"


@dataclass(frozen=True)
class Guest:
    """A guest that runs its script and then goes off."""

    process: "subprocess.Popen[bytes]"
    console: Path

    def said(self) -> list[str]:
        """What it wrote on its serial console so far: of both, kernel and script."""
        return self.console.read_text(errors="replace").replace("\r", "").splitlines()

    def finish(self) -> list[str]:
        """Waits until it has gone off in order, having found nothing wrong; what it said."""
        self.process.wait(_DEADLINE_SECONDS)
        lines = self.said()
        assert "test.sh: status 0" in lines, "\n".join(lines)
        assert not any("BUG:" in line or "WARNING:" in line for line in lines), "\n".join(lines)
        return lines


@contextmanager
def guest(
    qemu: str,
    kernel: Kernel,
    folder: Path,
    script: str,
    *,
    files: Sequence[Path] = (),
    disks: Sequence[str] = (),
    network: str = "",
    memory_mib: int = 384,
) -> Iterator[Guest]:
    """Starts `script` in a guest that has `kernel`, its modules and `files` in /.

    Of `disks` each is a raw image, perhaps with options of QEMU's -drive after a comma; `network`
    is the argument of -netdev, less the id. `folder` is the guest's own.
    """
    initramfs = _initramfs(kernel, folder, script, files)
    console = folder / "console.log"
    console.touch()
    drives = [f"file={disk},if=virtio,format=raw,cache=none,file.locking=off" for disk in disks]
    card = ("-netdev", f"{network},id=net", "-device", "virtio-net-pci,netdev=net,romfile=")
    arguments = [
        *(qemu, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(memory_mib)),
        *("-nodefaults", "-no-reboot", "-display", "none", "-serial", f"file:{console}"),
        *("-kernel", str(kernel.image), "-initrd", str(initramfs)),
        *("-append", f"{EVERY_GUEST} panic=-1 quiet loglevel=7"),
        *(word for drive in drives for word in ("-drive", drive)),
        *(card if network else ()),
    ]
    with subprocess.Popen(arguments) as process:
        try:
            yield Guest(process, console)
        finally:
            process.kill()


def boot(
    qemu: str,
    kernel: Kernel,
    folder: Path,
    script: str,
    *,
    files: Sequence[Path] = (),
    disks: Sequence[str] = (),
    memory_mib: int = 384,
) -> list[str]:
    """Runs `script` in a guest to its end; returns what it said."""
    with guest(
        qemu, kernel, folder, script, files=files, disks=disks, memory_mib=memory_mib
    ) as started:
        return started.finish()


def _initramfs(kernel: Kernel, folder: Path, script: str, files: Sequence[Path]) -> Path:
    root = folder / "root"
    for name in ("bin", "dev", "lib", "proc", "sys", "tmp", "mnt"):
        (root / name).mkdir(parents=True)
    shutil.copy2("/bin/busybox", root / "bin")
    shutil.copytree(kernel.modules / "lib/modules", root / "lib/modules")
    for file in files:
        shutil.copy2(file, root)
    (root / "test.sh").write_text(script)
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    subprocess.run(
        "find . | cpio --quiet -o -H newc | gzip -1 > ../initramfs.gz",
        shell=True,
        cwd=root,
        check=True,
    )
    return folder / "initramfs.gz"
