# SPDX-License-Identifier: GPL-2.0-or-later
"""The virtio device whose queues the kernel's transport drives itself (V1).

It looks like any other console: it is the one with a port of a certain name, and names are known
only while the driver virtio_console has it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from tmem_guest.cli.errors import CommandError

PORT_NAME: Final = "org.kvmtmem.kernel.0"
CONSOLE_DRIVER: Final = "virtio_console"
_CONSOLE_ID: Final = 3


def find_device(root: Path, port: str = PORT_NAME) -> str:
    """The name of the virtio device with a port, such as virtio2.

    A console that no driver has is given back to virtio_console first, to learn its ports' names.
    CommandError if there is no such port.
    """
    if device := _device_of_port(root, port):
        return device
    for device in _unbound_consoles(root):
        bind(root, device)
    if device := _device_of_port(root, port):
        return device
    raise CommandError(
        f"there is no virtio port {port}: the virtual machine needs a virtio-serial"
        " controller of its own with a port of that name (docs/provisioning.md)"
    )


def driver_of(root: Path, device: str) -> str | None:
    """The driver that has a virtio device; None without one or without the device."""
    try:
        return os.path.basename(os.readlink(_devices(root) / device / "driver"))
    except OSError:
        return None


def check_unused(root: Path, port: str = PORT_NAME) -> None:
    """CommandError if a process has the port open: it would lose it."""
    for name in _ports(root, port):
        device = root / "dev" / name.parent.name
        try:
            os.close(os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise CommandError(
                    f"the port {port} is in use: a process has {device} open"
                ) from error
            raise CommandError(f"cannot open {device}: {error.strerror}") from error


def unbind(root: Path, device: str) -> None:
    """Takes a device from virtio_console; CommandError if it cannot be taken."""
    driver = driver_of(root, device)
    if driver is None:
        return
    if driver != CONSOLE_DRIVER:
        raise CommandError(f"the device {device} is busy: the driver {driver} has it")
    _write(root, "unbind", device)


def bind(root: Path, device: str) -> None:
    """Gives a device that no driver has to virtio_console; CommandError."""
    _write(root, "bind", device)


def _write(root: Path, action: str, device: str) -> None:
    path = root / "sys/bus/virtio/drivers" / CONSOLE_DRIVER / action
    try:
        path.write_text(device)
    except OSError as error:
        raise CommandError(
            f"cannot {action} {device} and the driver {CONSOLE_DRIVER}: {error.strerror}"
        ) from error


def _device_of_port(root: Path, port: str) -> str | None:
    for name in _ports(root, port):
        return (name.parent / "device").resolve().name
    return None


def _ports(root: Path, port: str) -> list[Path]:
    """The files that give the port its name; one, if there is such a port."""
    names = (root / "sys/class/virtio-ports").glob("*/name")
    return [name for name in names if name.read_text().strip() == port]


def _unbound_consoles(root: Path) -> list[str]:
    found = []
    for path in sorted(_devices(root).glob("virtio*")):
        kind = int((path / "device").read_text(), 16)
        if kind == _CONSOLE_ID and driver_of(root, path.name) is None:
            found.append(path.name)
    return found


def _devices(root: Path) -> Path:
    return root / "sys/bus/virtio/devices"
