# SPDX-License-Identifier: GPL-2.0-or-later
"""Domain XML from the templates in vm-configs/domains/."""

import re
import shutil
import string
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

from tmem_host.provision.paths import source_root
from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.lifecycle import AGENT_PORT, KERNEL_PORT, USER_PORT
from tmem_host.provision.vm.places import VmPlaces
from tmem_host.provision.vm.spec import (
    BASE_SERIAL,
    OVERLAY_SERIAL,
    Accelerator,
    Cache,
    Disk,
    DiskFormat,
    IoProfile,
    VmSpec,
)

_EMULATOR = "qemu-system-x86_64"
# Slots of the PCI bus; those before are in the template.
_FIRST_DISK_SLOT = 0x06
_DISKS_MAX = 14
# Networks share one, as its functions.
_NETWORK_SLOT = 0x18
NETWORKS_MAX = 8
_FIRST_PORT_SLOT = 0x19
_PORTS_MAX = 5
# Controllers before are in the template.
_FIRST_PORT_CONTROLLER = 2


# A guest whose host is busy gets too few interrupts of the timer while its kernel looks whether
# there are any, and panics.
EVERY_GUEST = "console=ttyS0 no_timer_check"
# What has the image's init attach the kernel.
USES_TMEM = "tmem.kernel=attach"

_COMMENT = re.compile(r"[ \t]*<!--.*?-->\n", re.DOTALL)


class Markup(str):
    """XML as it is; any other text is escaped where it is filled in."""


@dataclass(frozen=True)
class Link:
    """A VM's place on a network: what QEMU is told, and what the guest."""

    group: str  # a multicast address
    port: int
    mac: str
    address: str  # in CIDR notation


def domain_xml(
    spec: VmSpec,
    places: VmPlaces,
    uuid: UUID,
    links: Sequence[Link] = (),
    *,
    keep_labels: bool = False,
) -> str:
    """The XML of a domain.

    `keep_labels` tells a libvirt that runs QEMU as another user to leave owner and group of the
    channels' sockets as their directory gives them, so that a service without privileges may open
    them. VmError if there is no QEMU, or too many disks, networks or ports.
    """
    for what, count, most in (
        ("disks", len(spec.disks), _DISKS_MAX),
        ("networks", len(links), NETWORKS_MAX),
        ("ports", len(spec.ports), _PORTS_MAX),
    ):
        if count > most:
            raise VmError(f"{spec.name} has too many {what}: {most} are most")
    initrd = "" if spec.initrd is None else _fill("<initrd>${path}</initrd>", path=str(spec.initrd))
    host = spec.accelerator is Accelerator.KVM
    filled = _fill(
        _template("domain"),
        type=spec.accelerator.value,
        name=spec.name,
        uuid=str(uuid),
        settings=Markup(spec.settings.to_xml()),
        memory_mib=str(spec.memory_mib),
        vcpus=str(spec.vcpus),
        kernel=str(spec.kernel),
        initrd=Markup(initrd),
        cmdline=command_line(spec, links),
        cpu=Markup("<cpu mode='host-passthrough'/>" if host else ""),
        emulator=emulator(),
        disks=Markup("".join(_disks(spec, places))),
        console_socket=str(places.console_socket),
        serial_log=str(places.serial_log),
        port_controllers=Markup("".join(_port_controllers(spec))),
        channels=Markup("".join(_channels(spec, places, keep_labels=keep_labels))),
        network_arguments=Markup("".join(_network_arguments(links))),
    )
    return _pretty(filled)


def _pretty(xml: str) -> str:
    ElementTree.register_namespace("qemu", "http://libvirt.org/schemas/domain/qemu/1.0")
    root = ElementTree.fromstring(xml)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def command_line(spec: VmSpec, links: Sequence[Link]) -> str:
    """The kernel's command line: the contract between VMs and the image."""
    words = [EVERY_GUEST, f"tmem.hostname={spec.name}"]
    if spec.base is not None:
        words += ["root=/dev/vda", "ro", "rootfstype=squashfs", "init=/sbin/tmem-init"]
    if spec.modules:
        words.append("tmem.modules=" + ",".join(spec.modules))
    if (own := spec.cluster) is not None:
        words.append(f"tmem.cluster={own.name}:{own.dead_after_beats}:{own.disk}:{own.nodes}")
    if spec.tmem:
        words.append(USES_TMEM)
    if links:
        words.append("tmem.net=" + ",".join(f"eth{i}:{x.address}" for i, x in enumerate(links)))
    if spec.kernel_arguments:
        words.append(spec.kernel_arguments)
    return " ".join(words)


def emulator() -> str:
    """The path of QEMU; VmError if there is none."""
    path = shutil.which(_EMULATOR)
    if path is None:
        raise VmError(f"{_EMULATOR} is not installed; run: apt-get install qemu-system-x86")
    return path


def _disks(spec: VmSpec, places: VmPlaces) -> list[str]:
    elements = []
    if spec.base is not None:
        elements.append(_disk(0, BASE_SERIAL, spec.base, access="<readonly/>"))
        elements.append(_disk(1, OVERLAY_SERIAL, places.overlay))
    for disk in spec.disks:
        elements.append(
            _disk(
                len(elements),
                disk.name,
                disk_path(disk, places),
                format_=disk.format,
                cache=disk.cache,
                io=disk.io,
                access="<shareable/>" if disk.shared else "",
            )
        )
    return elements


def disk_path(disk: Disk, places: VmPlaces) -> Path:
    """The file of a disk: its own, or one among the VM's files."""
    return disk.path or places.disk(disk.name, disk.format.value)


def _disk(
    index: int,
    serial: str,
    path: Path,
    *,
    format_: DiskFormat = DiskFormat.RAW,
    cache: Cache = Cache.WRITEBACK,
    io: IoProfile | None = None,
    access: str = "",
) -> str:
    return _fill(
        _template("disk"),
        format=format_.value,
        cache=cache.value,
        path=str(path),
        target="vd" + string.ascii_lowercase[index],
        slot=f"{_FIRST_DISK_SLOT + index:#04x}",
        iotune=Markup(_iotune(io or IoProfile())),
        access=Markup(access),
        serial=serial,
    )


def _iotune(io: IoProfile) -> str:
    limits = ""
    if io.bytes_per_second:
        limits += f"<total_bytes_sec>{io.bytes_per_second}</total_bytes_sec>"
    if io.iops:
        limits += f"<total_iops_sec>{io.iops}</total_iops_sec>"
    return f"<iotune>{limits}</iotune>" if limits else ""


def _port_controllers(spec: VmSpec) -> list[str]:
    return [
        _fill(
            "<controller type='virtio-serial' index='${index}' ports='2'>"
            "<address type='pci' bus='0x00' slot='${slot}'/></controller>",
            index=str(_FIRST_PORT_CONTROLLER + number),
            slot=f"{_FIRST_PORT_SLOT + number:#04x}",
        )
        for number, _ in enumerate(spec.ports)
    ]


def _channels(spec: VmSpec, places: VmPlaces, *, keep_labels: bool) -> list[str]:
    label = Markup("<seclabel model='dac' relabel='no'/>" if keep_labels else "")
    return [
        _fill(
            _template("channel"),
            path=str(path),
            label=label,
            name=name,
            controller=controller,
            port=port,
        )
        for path, name, controller, port in (
            # port 0 is for consoles
            (places.agent_socket, AGENT_PORT, "0", "1"),
            (places.user_socket, USER_PORT, "0", "2"),
            (places.kernel_socket, KERNEL_PORT, "1", "1"),
            *(
                (places.port_socket(name), f"org.kvmtmem.{name}.0", str(controller), "1")
                for controller, name in enumerate(spec.ports, _FIRST_PORT_CONTROLLER)
            ),
        )
    ]


def _network_arguments(links: Sequence[Link]) -> list[str]:
    # libvirt knows multicast networks, but not those that stay on the loopback interface.
    arguments = []
    for index, link in enumerate(links):
        function = f"{_NETWORK_SLOT:#x}.{index}"
        arguments += [
            "-netdev",
            f"socket,id=tmem{index},mcast={link.group}:{link.port},localaddr=127.0.0.1",
            "-device",
            f"virtio-net-pci,netdev=tmem{index},addr={function},multifunction=on,mac={link.mac},romfile=",
        ]
    return [_fill("<qemu:arg value='${value}'/>", value=value) for value in arguments]


def _template(name: str) -> str:
    path = source_root() / "vm-configs" / "domains" / f"{name}.xml"
    try:
        text = path.read_text()
    except OSError as error:
        raise VmError(f"cannot read the template {path}: {error.strerror}") from error
    return _COMMENT.sub("", text)


def _fill(template: str, **values: str) -> str:
    quoted = {
        name: value if isinstance(value, Markup) else escape(value)
        for name, value in values.items()
    }
    return string.Template(template).substitute(quoted)
