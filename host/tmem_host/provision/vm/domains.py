# SPDX-License-Identifier: GPL-2.0-or-later
"""The domains of one libvirt connection: looked up, asked, and told apart."""

import contextlib
from collections.abc import Iterator

from tmem_host.provision.vm.bindings import libvirt
from tmem_host.provision.vm.errors import LibvirtFailed, NoSuchVm, VmError, WrongState
from tmem_host.provision.vm.peer import pid_file, qemu_pid
from tmem_host.provision.vm.places import Places


class Domains:
    """What others build on: the connection at `uri` and the domains in it. Errors are VmError."""

    def __init__(self, uri: str, places: Places) -> None:
        self.uri = uri
        self.places = places
        self._libvirt: libvirt.virConnect | None = None

    def alive(self) -> bool:
        """Whether libvirt still answers on this connection."""
        try:
            return bool(self._connection().isAlive())
        except libvirt.libvirtError:
            return False

    def name_of(self, uuid_or_id: str) -> str | None:
        """The name of the domain with this uuid or, while it runs, this id; None without one."""
        try:
            if uuid_or_id.isdecimal():
                return str(self._connection().lookupByID(int(uuid_or_id)).name())
            return str(self._connection().lookupByUUIDString(uuid_or_id).name())
        except (libvirt.libvirtError, OverflowError):
            return None

    def resolve(self, name_uuid_or_id: str) -> str:
        """The name of the domain so called, whoever made it; NoSuchVm."""
        if found := self.name_of(name_uuid_or_id):
            return found
        try:
            return str(self._connection().lookupByName(name_uuid_or_id).name())
        except libvirt.libvirtError:
            raise NoSuchVm(f"{self.uri} knows no domain {name_uuid_or_id!r}") from None

    def qemu_pid(self, name: str) -> int | None:
        """The process of a running domain's QEMU; None if it cannot be told."""
        return qemu_pid(pid_file(self.uri, self.places, name))

    # ---- for those who build on it -----------------------------------------------------------

    def _connection(self) -> "libvirt.virConnect":
        if self._libvirt is None:
            raise VmError("the connection to libvirt is not open")
        return self._libvirt

    def _domain(self, name: str) -> "libvirt.virDomain":
        self.places.vm(name)
        try:
            return self._connection().lookupByName(name)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                raise NoSuchVm(f"there is no VM {name}; see: tmem vm list") from None
            raise LibvirtFailed(f"cannot look {name} up: {error}") from error

    def _running(self, name: str) -> "libvirt.virDomain":
        domain = self._domain(name)
        if not domain.isActive():
            raise WrongState(f"the VM {name} is not running")
        return domain

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except libvirt.libvirtError as error:
            raise LibvirtFailed(f"cannot {what}: {error}") from error
