# SPDX-License-Identifier: GPL-2.0-or-later
"""What would rewind a guest or move it away from its tmem pages (R-e): refused while it has any."""

import uuid
from html import escape
from pathlib import Path

from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.domains import Domains
from tmem_host.provision.vm.places import Places
from tmem_host.provision.vm.policy import NobodyKnows, PersistentPages, check_may_rewind


class Rewinding(Domains):
    """Saves, snapshots and migration. `pages` knows what a guest has; where it cannot tell, only
    `force` does it to a guest that runs."""

    def __init__(self, uri: str, places: Places, pages: PersistentPages | None) -> None:
        super().__init__(uri, places)
        self._pages = pages or NobodyKnows()

    def save(self, name: str, path: Path, *, force: bool = False) -> None:
        """Saves a running guest to a file and ends it; Refused, WrongState, LibvirtFailed."""
        domain = self._running(name)
        self._check_may("save", domain, force=force)
        with self._asking(f"save {name}"):
            domain.save(str(path.absolute()))

    def managed_save(self, name: str, *, force: bool = False) -> None:
        """Saves a running guest for its next start; Refused, WrongState, LibvirtFailed."""
        domain = self._running(name)
        self._check_may("save", domain, force=force)
        with self._asking(f"save {name}"):
            domain.managedSave()

    def restore(self, path: Path) -> None:
        """Runs a saved guest on, without the tmem pages it had; LibvirtFailed."""
        with self._asking(f"restore {path}"):
            self._connection().restore(str(path.absolute()))

    def snapshot(self, name: str, snapshot: str, *, force: bool = False) -> None:
        """Takes a snapshot of disks and, of a running guest, memory; Refused, LibvirtFailed."""
        domain = self._domain(name)
        self._check_may("snapshot", domain, force=force)
        xml = _snapshot_xml(snapshot)
        with self._asking(f"snapshot {name}"):
            domain.snapshotCreateXML(xml, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE)

    def revert(self, name: str, snapshot: str, *, force: bool = False) -> None:
        """Takes a VM back to a snapshot; Refused, LibvirtFailed."""
        domain = self._domain(name)
        self._check_may("revert", domain, force=force)
        with self._asking(f"revert {name}"):
            domain.revertToSnapshot(domain.snapshotLookupByName(snapshot))

    def migrate(self, name: str, destination: str, *, force: bool = False) -> None:
        """Moves a running guest to another host, live; Refused, WrongState, LibvirtFailed."""
        domain = self._running(name)
        self._check_may("migrate", domain, force=force)
        flags = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
        with self._asking(f"migrate {name} to {destination}"):
            domain.migrateToURI3(destination, {}, flags)

    def _check_may(self, what: str, domain: "libvirt.virDomain", *, force: bool) -> None:
        # a guest that is off has no session, and so no pages
        if domain.isActive():
            number = uuid.UUID(bytes=domain.UUID())
            check_may_rewind(what, domain.name(), number, self._pages, force=force)


def _snapshot_xml(name: str) -> str:
    return f"<domainsnapshot><name>{escape(name)}</name></domainsnapshot>"
