# SPDX-License-Identifier: GPL-2.0-or-later
"""What a domain's XML says of its tmem: channels and settings."""

from pathlib import Path
from xml.etree import ElementTree

from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.errors import LibvirtFailed
from tmem_host.provision.vm.lifecycle import KERNEL_PORT, USER_PORT, Channels
from tmem_host.provision.vm.settings import NAMESPACE, PREFIX, TmemSettings


def channels_of(xml: str) -> Channels:
    """The tmem channels of a domain's XML: those that are unix sockets on which QEMU listens."""
    paths: dict[str, Path] = {}
    for channel in ElementTree.fromstring(xml).iterfind("devices/channel[@type='unix']"):
        source = channel.find("source[@mode='bind']")
        target = channel.find("target[@type='virtio']")
        if source is None or target is None:
            continue
        name, path = target.get("name"), source.get("path")
        if name is not None and path is not None:
            paths[name] = Path(path)
    return Channels(user=paths.get(USER_PORT), kernel=paths.get(KERNEL_PORT))


def read_settings(domain: "libvirt.virDomain") -> TmemSettings:
    """The settings of a domain as it runs, or as it will; the defaults if it has none.

    BadSetting if they cannot be read, LibvirtFailed if libvirt fails.
    """
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return TmemSettings()
        raise LibvirtFailed(f"cannot read the metadata of {domain.name()}: {error}") from error
    return TmemSettings.from_xml(text)


def write_settings(domain: "libvirt.virDomain", settings: TmemSettings) -> None:
    """Sets them for the domain as it runs and for when it starts again; LibvirtFailed."""
    flags = 0
    if domain.isPersistent():
        flags |= libvirt.VIR_DOMAIN_AFFECT_CONFIG
    if domain.isActive():
        flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    try:
        domain.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, settings.to_xml(""), PREFIX, NAMESPACE, flags
        )
    except libvirt.libvirtError as error:
        raise LibvirtFailed(f"cannot set the metadata of {domain.name()}: {error}") from error
