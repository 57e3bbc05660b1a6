# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong with virtual machines, by what the caller can do about it."""

from pathlib import Path

from tmem_host.provision.errors import ProvisionError


class VmError(ProvisionError):
    """Base of what goes wrong with virtual machines."""


class BadName(VmError):
    """A name cannot be that of a VM, a disk or a network."""


class BadSetting(VmError):
    """A setting is outside its range, or cannot be read."""


class BadXml(VmError):
    """A domain that libvirt's schemas do not allow."""


class VmExists(VmError):
    """A VM of this name exists."""


class NoSuchVm(VmError):
    """No VM has this name."""


class WrongState(VmError):
    """The VM is running and must not be, or the other way round."""


class NoSpace(VmError):
    """A file system has no room for what was asked."""


class Busy(VmError):
    """Another process holds what only one may have: a state directory, a console."""


class LibvirtFailed(VmError):
    """libvirt refused; the sentence has its own words."""


class Refused(VmError):
    """What was asked would lose pages that the guest believes to be swapped out."""


class CommandFailed(VmError):
    """A command in a guest did not succeed."""


class GuestFailed(VmError):
    """A guest did not come up, or did not stay up. `log` is its serial log, if it wrote one."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


class GuestPanicked(GuestFailed):
    """The guest's kernel panicked."""


class GuestLost(GuestFailed):
    """The guest is gone though nobody stopped it: its QEMU died, or it switched itself off."""


class GuestSilent(GuestFailed):
    """The guest runs, but its agent did not answer in time."""
