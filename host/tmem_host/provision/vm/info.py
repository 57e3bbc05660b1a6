# SPDX-License-Identifier: GPL-2.0-or-later
"""What there is to know of a VM."""

from dataclasses import dataclass
from xml.etree import ElementTree

from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.channels import read_settings
from tmem_host.provision.vm.domain_xml import USES_TMEM
from tmem_host.provision.vm.errors import BadSetting, VmError
from tmem_host.provision.vm.networks import Networks
from tmem_host.provision.vm.peer import guest_resident_bytes
from tmem_host.provision.vm.places import Places
from tmem_host.provision.vm.settings import TmemSettings
from tmem_host.provision.vm.spec import BASE_SERIAL, Accelerator

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
}
_OFF_REASONS = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: "the guest shut down",
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: "it was stopped by force",
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: "the guest crashed",
    libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: "it was migrated",
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: "it was saved",
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: "its QEMU died, or could not start",
    libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: "it was reverted to a snapshot",
    libvirt.VIR_DOMAIN_SHUTOFF_DAEMON: "libvirt found it gone",
}


@dataclass(frozen=True, kw_only=True)
class VmInfo:
    """A VM at one moment. `resident_bytes` is what its memory takes on the host, if it runs."""

    name: str
    uuid: str
    state: str
    accelerator: str
    memory_bytes: int
    resident_bytes: int | None
    vcpus: int
    qemu_pid: int | None
    kernel: str
    image: str | None
    disks: dict[str, str]
    """path by serial number"""
    networks: dict[str, str]
    """address by network"""
    channels: dict[str, str]
    """socket by port name"""
    serial_log: str
    tmem: bool
    """whether its kernel is told to attach when it boots"""
    settings: TmemSettings | None
    settings_problem: str | None


@dataclass(frozen=True, kw_only=True)
class DiskCounters:
    """What a guest has done to a disk since it started, as QEMU counts it."""

    read_bytes: int
    read_requests: int
    write_bytes: int
    write_requests: int


def disk_counters(domain: "libvirt.virDomain") -> dict[str, DiskCounters]:
    """Of all disks of a running domain, by serial number; libvirtError if it does not run."""
    counted = {}
    for disk in ElementTree.fromstring(domain.XMLDesc()).iterfind("devices/disk"):
        target = disk.find("target")
        if target is None:
            continue
        read_requests, read_bytes, write_requests, write_bytes, _ = domain.blockStats(
            target.get("dev", "")
        )
        counted[disk.findtext("serial", "")] = DiskCounters(
            read_bytes=read_bytes,
            read_requests=read_requests,
            write_bytes=write_bytes,
            write_requests=write_requests,
        )
    return counted


def vm_info(
    domain: "libvirt.virDomain", places: Places, networks: Networks, pid: int | None
) -> VmInfo:
    """All of one VM; libvirtError if it is gone."""
    root = ElementTree.fromstring(domain.XMLDesc())
    active = domain.isActive()
    disks = {disk.findtext("serial", ""): _source(disk) for disk in root.iterfind("devices/disk")}
    name = domain.name()
    try:
        settings, problem = read_settings(domain), None
    except BadSetting as error:
        settings, problem = None, str(error)
    return VmInfo(
        name=name,
        uuid=domain.UUIDString(),
        state=_STATES.get(domain.state()[0], "unknown"),
        accelerator=_accelerator(root.get("type", "")),
        memory_bytes=domain.maxMemory() * 1024,
        resident_bytes=_resident(pid) if active else None,
        vcpus=int(root.findtext("vcpu", "0")),
        qemu_pid=pid if active else None,
        kernel=root.findtext("os/kernel", ""),
        image=disks.pop(BASE_SERIAL, None),
        disks=disks,
        networks={network: link.address for network, link in networks.links(name).items()},
        channels={
            target.get("name", ""): _source(channel)
            for channel in root.iterfind("devices/channel")
            if (target := channel.find("target")) is not None
        },
        serial_log=str(places.vm(name).serial_log),
        tmem=USES_TMEM in root.findtext("os/cmdline", "").split(),
        settings=settings,
        settings_problem=problem,
    )


def ending(domain: "libvirt.virDomain") -> str | None:
    """Why a domain runs no more; None while it does."""
    state, reason = domain.state()
    if state == libvirt.VIR_DOMAIN_CRASHED:
        return "the guest crashed"
    if state != libvirt.VIR_DOMAIN_SHUTOFF:
        return None
    return _OFF_REASONS.get(reason, "libvirt does not say why")


def _accelerator(domain_type: str) -> str:
    try:
        return Accelerator(domain_type).name
    except ValueError:
        return domain_type


def _resident(pid: int | None) -> int | None:
    try:
        return None if pid is None else guest_resident_bytes(pid)
    except VmError:
        # gone just now, or another user's
        return None


def _source(element: ElementTree.Element) -> str:
    source = element.find("source")
    if source is None:
        return ""
    return source.get("file") or source.get("path") or ""
