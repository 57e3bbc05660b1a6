# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest under emulation that runs the image, as a domain of `tmem vm` would."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tmem_host.provision.agent import Agent
from tmem_host.provision.image import Image
from tmem_host.provision.kernel import Kernel
from tmem_host.provision.vm.domain_xml import EVERY_GUEST
from tmem_shim.agent_protocol import PORT_NAME

# A slow machine is no failure.
BOOT_LIMIT_S = 300.0


class Disk:
    """A sparse raw disk, with a file system if it is an overlay."""

    def __init__(self, folder: Path, serial: str, mebibytes: int = 128) -> None:
        self.serial = serial
        self.path = folder / f"{serial}.img"
        with open(self.path, "wb") as file:
            file.truncate(mebibytes << 20)
        if serial == "overlay":
            subprocess.run(["mkfs.ext4", "-q", "-F", str(self.path)], check=True)


class Guest:
    """A guest that was started; killed, if it still runs, at the end of the context."""

    def __init__(
        self,
        qemu: str,
        kernel: Kernel,
        image: Image,
        disks: Sequence[Disk],
        arguments: str = "",
    ) -> None:
        # Not pytest's: a socket's path is short.
        self.folder = Path(tempfile.mkdtemp(prefix="tmem-guest-"))
        self._console = self.folder / "console.log"
        words = (
            "root=/dev/vda ro rootfstype=squashfs init=/sbin/tmem-init"
            f" {EVERY_GUEST} panic=-1 quiet {arguments}"
        )
        command = [
            *(qemu, "-accel", "tcg", "-cpu", "max", "-m", "256", "-nodefaults"),
            *("-no-reboot", "-display", "none", "-serial", "chardev:console", "-chardev"),
            f"socket,id=console,path={self.folder}/console,server=on,wait=off"
            f",logfile={self._console}",
            *("-kernel", str(kernel.image), "-append", words),
            *("-drive", f"file={image.path},format=raw,if=none,id=base,readonly=on"),
            *("-device", "virtio-blk-pci,drive=base,serial=base"),
            *("-netdev", "user,id=net,restrict=on"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=agent,path={self.folder}/agent,server=on,wait=off"),
            *("-device", f"virtserialport,chardev=agent,name={PORT_NAME}"),
        ]
        for disk in disks:
            command += [
                *("-drive", f"file={disk.path},format=raw,if=none,id={disk.serial}"),
                *("-device", f"virtio-blk-pci,drive={disk.serial},serial={disk.serial}"),
            ]
        self.process = subprocess.Popen(command)
        self.agent = Agent(self.folder / "agent", guest="vm1")

    def __enter__(self) -> "Guest":
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.agent.close()
        self.process.kill()
        self.process.wait()
        if exc_value is not None:
            exc_value.add_note(f"The guest's console:\n{self.console()}")
        shutil.rmtree(self.folder)

    def console(self) -> str:
        """What the guest wrote on its serial console."""
        return self._console.read_text(errors="replace").replace("\r", "")

    def open_console(self) -> socket.socket:
        """The other end of the serial console. Of what is typed, QEMU drops the rest when it is
        closed."""
        console = socket.socket(socket.AF_UNIX)
        console.connect(str(self.folder / "console"))
        return console

    def run(self, script: str) -> str:
        """The output of a shell script that must succeed, in the guest."""
        result = self.agent.exec(["sh", "-c", script], limit_s=BOOT_LIMIT_S)
        assert (result.status, result.stderr) == (0, b""), result
        return result.stdout.decode()

    def power_off(self) -> None:
        """In order; QEMU ends with it."""
        self.agent.poweroff()
        assert self.process.wait(BOOT_LIMIT_S) == 0
