# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's /sys, /proc and /dev in a folder, with devices and modules that come and go."""

import os
import shutil
from pathlib import Path

import pytest

from tmem_guest.kernel import devices

CONSOLE, DISK = 3, 2
_MODPROBE = """#!/bin/sh
case " @MISSING@ " in
*" $1 "*) echo "modprobe: FATAL: Module $1 not found in directory /lib/modules/5.10" >&2; exit 1 ;;
esac
if [ -n "@REFUSAL@" ] && [ "$1" = tmem_transport ]; then
	echo "modprobe: ERROR: could not insert '$1': @REFUSAL@" >&2
	exit 1
fi
echo "$*" >> @ROOT@/loaded
mkdir -p @ROOT@/sys/module/$1/parameters
[ "$1" = tmem_transport ] || exit 0
echo Y > @ROOT@/sys/module/$1/parameters/attached
echo ${2#device=} > @ROOT@/sys/module/$1/parameters/device
ln -s ../../drivers/tmem_transport @ROOT@/sys/bus/virtio/devices/${2#device=}/driver
"""
_MODINFO = """#!/bin/sh
[ "$1" = --parameters ] || exit 2
case " @MISSING@ " in
*" $2 "*) echo "modinfo: ERROR: Module $2 not found." >&2; exit 1 ;;
esac
case $2 in
tmem_hooks) echo "swap_area_mib:MiB of each swap area (default: 0)" ;;
tmem_transport) printf "%s:what it is for\\n" device attached poll_us staged_pages ;;
esac
"""
_RMMOD = """#!/bin/sh
if [ -n "@REFUSAL@" ]; then
	echo "rmmod: ERROR: Module $1 is in use" >&2
	exit 1
fi
read -r device < @ROOT@/sys/module/$1/parameters/device
rm -r @ROOT@/sys/bus/virtio/devices/$device/driver @ROOT@/sys/module/$1
"""


class System:
    """A guest that has one virtio disk, and consoles as they are added."""

    def __init__(self, root: Path, programs: Path) -> None:
        self.root = root
        self._programs = programs
        self._ports: dict[str, list[str]] = {}
        for folder in ("dev", "proc", "sys/class/virtio-ports", "sys/module"):
            (root / folder).mkdir(parents=True)
        for name in ("virtio_console", "tmem_transport"):
            (root / "sys/bus/virtio/drivers" / name).mkdir(parents=True)
        (root / "proc/mounts").write_text("debugfs /sys/kernel/debug debugfs rw 0 0\n")
        (root / "proc/swaps").write_text("Filename Type Size Used Priority\n")
        self._add_device("virtio0", DISK)
        programs.mkdir()
        self.programs()

    def add_console(self, device: str, *ports: str) -> None:
        """Adds a console, bound to virtio_console, with named ports."""
        self._add_device(device, CONSOLE)
        self._ports[device] = list(ports)
        self.change("bind", device)

    def change(self, action: str, device: str) -> None:
        """What the kernel does when a device is bound to virtio_console, or unbound."""
        folder = self.root / "sys/bus/virtio/devices" / device
        number = device.removeprefix("virtio")
        for index, name in enumerate(self._ports[device]):
            port = self.root / "sys/class/virtio-ports" / f"vport{number}p{index + 1}"
            if action == "unbind":
                shutil.rmtree(port)
                (self.root / "dev" / port.name).unlink()
                continue
            port.mkdir()
            (port / "name").write_text(f"{name}\n")
            (port / "device").symlink_to(folder)
            (self.root / "dev" / port.name).touch()
        if action == "bind":
            (folder / "driver").symlink_to("../../drivers/virtio_console")
        else:
            (folder / "driver").unlink()

    def driver(self, device: str) -> str | None:
        """Which driver has the device."""
        return devices.driver_of(self.root, device)

    def programs(self, *, missing: str = "", refusal: str = "") -> None:
        """What modprobe, modinfo and rmmod do: the modules `missing` are not there, and the system
        says `refusal` to loading or unloading the transport."""
        for name, text in (
            ("modprobe", _MODPROBE),
            ("modinfo", _MODINFO),
            ("rmmod", _RMMOD),
        ):
            script = (
                text.replace("@ROOT@", str(self.root))
                .replace("@MISSING@", missing)
                .replace("@REFUSAL@", refusal)
            )
            (self._programs / name).write_text(script)
            (self._programs / name).chmod(0o755)

    @property
    def loaded(self) -> list[str]:
        """What modprobe was asked for and did."""
        path = self.root / "loaded"
        return path.read_text().splitlines() if path.exists() else []

    def debug(self, part: str, **files: str) -> None:
        """What a module shows in debugfs."""
        folder = self.root / "sys/kernel/debug/tmem" / part
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)

    def _add_device(self, device: str, kind: int) -> None:
        folder = self.root / "sys/bus/virtio/devices" / device
        folder.mkdir(parents=True)
        (folder / "device").write_text(f"{kind:#06x}\n")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """Root's, with two consoles; the second one has the kernel's port."""
    system = System(tmp_path / "root", tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    monkeypatch.setattr("os.geteuid", lambda: 0)

    def write(root: Path, action: str, device: str) -> None:
        system.change(action, device)

    monkeypatch.setattr(devices, "_write", write)
    system.add_console("virtio1", "org.kvmtmem.agent.0", "org.kvmtmem.0")
    system.add_console("virtio2", devices.PORT_NAME)
    return system
