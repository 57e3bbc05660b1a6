# SPDX-License-Identifier: GPL-2.0-or-later
"""Where VMs keep their files.

    STATE/embed/          the root of qemu:///embed, libvirt's own
    STATE/lock            held by the one process that has that root open
    STATE/vms/NAME/       a VM's disks, its serial log and its record
    STATE/networks/NAME   a network between VMs
    STATE/failed/         serial logs of VMs that did not come up
    RUN/NAME/             a VM's sockets

STATE/run is RUN, except below qemu:///system. The path of a unix socket has at most 107 bytes,
libvirt's own sockets below the embed root included, which bounds the length of STATE.
"""

import grp
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from tmem_host.provision.errors import ProvisionError
from tmem_host.provision.vm.errors import BadName, VmError

# Also the host name in the guest, hence RFC 1123; "/console.sock" and a path of 60 stay below 107.
NAME_MAX = 32
_NAME = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,{NAME_MAX - 2}}}[a-z0-9])?")
# sun_path without its end; below STATE comes at most embed/lib/qemu/domain-99999-NAME/monitor.sock,
# for which libvirt cuts the name to 20.
_STATE_MAX = 107 - len("/embed/lib/qemu/domain-99999-/monitor.sock") - 20

_STATE_VARIABLE = "TMEM_VM_STATE"
_SERVICE_GROUP = "tmem"


@dataclass(frozen=True)
class Places:
    """The directories of VMs. Made when a VM is."""

    state: Path
    run: Path

    @property
    def embed(self) -> Path:
        """The root of qemu:///embed."""
        return self.state / "embed"

    @property
    def lock(self) -> Path:
        """Held by the process that has the embed root open."""
        return self.state / "lock"

    @property
    def failed(self) -> Path:
        """Serial logs of VMs that did not come up."""
        return self.state / "failed"

    @property
    def networks(self) -> Path:
        """A file for each network."""
        return self.state / "networks"

    @property
    def all_vms(self) -> Path:
        """A directory for each VM."""
        return self.state / "vms"

    def vm(self, name: str) -> "VmPlaces":
        """The places of one VM; BadName."""
        check_name("VM", name)
        return VmPlaces(self.all_vms / name, self.run / name)


@dataclass(frozen=True)
class VmPlaces:
    """The files of one VM."""

    files: Path
    sockets: Path

    @property
    def record(self) -> Path:
        """What it was made of."""
        return self.files / "vm.json"

    @property
    def serial_log(self) -> Path:
        """All that the serial console said since the VM was made."""
        return self.files / "serial.log"

    @property
    def overlay(self) -> Path:
        """The private disk over the shared base."""
        return self.files / "overlay.raw"

    def disk(self, name: str, suffix: str) -> Path:
        """A private data disk."""
        return self.files / f"disk-{name}.{suffix}"

    @property
    def console_socket(self) -> Path:
        """The serial console."""
        return self.sockets / "console.sock"

    @property
    def agent_socket(self) -> Path:
        """The port of the guest agent."""
        return self.sockets / "agent.sock"

    @property
    def user_socket(self) -> Path:
        """The tmem port of user space."""
        return self.sockets / "user.sock"

    @property
    def kernel_socket(self) -> Path:
        """The tmem port of the kernel."""
        return self.sockets / "kernel.sock"

    def port_socket(self, name: str) -> Path:
        """A port of VmSpec.ports."""
        return self.sockets / f"port-{name}.sock"


def check_name(what: str, name: str) -> None:
    """BadName unless `name` can be that of a VM, a disk or a network: `what` says which."""
    if not _NAME.fullmatch(name):
        raise BadName(
            f"{name!r} cannot be the name of a {what}: use up to {NAME_MAX} lower-case letters,"
            " digits and hyphens, with a letter or digit at both ends"
        )


def default_state() -> Path:
    """$TMEM_VM_STATE, else kvm-tmem below $XDG_STATE_HOME or ~/.local/state."""
    named = os.environ.get(_STATE_VARIABLE)
    if named:
        return Path(named).absolute()
    home = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(home):
        return Path(home) / "kvm-tmem"
    try:
        return Path.home() / ".local/state/kvm-tmem"
    except RuntimeError as error:
        raise ProvisionError(
            f"this user has no home directory; name a place for VMs with {_STATE_VARIABLE}"
        ) from error


def places_at(state: Path, run: Path | None = None) -> Places:
    """The places below `state`; VmError if its path is too long for sockets."""
    state = state.absolute()
    run = state / "run" if run is None else run.absolute()
    for path in (state, run):
        if len(os.fsencode(path)) > _STATE_MAX:
            raise VmError(
                f"the path {path} is too long for the sockets below it: name one of at most"
                f" {_STATE_MAX} bytes with {_STATE_VARIABLE}"
            )
    return Places(state, run)


def make_directory(path: Path, *, group: int | None = None) -> None:
    """Makes `path` with its parents, for this user alone; VmError.

    With a group, its members may reach what is in it, and sockets made in it are theirs too: QEMU
    makes them writable for their group, which they take from the directory (set-group-ID).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(stat.S_ISGID | 0o750)
    except OSError as error:
        raise VmError(f"cannot make the directory {path}: {error.strerror}") from error


def service_group() -> int | None:
    """The group of the service without privileges; None if there is none on this host."""
    try:
        return grp.getgrnam(_SERVICE_GROUP).gr_gid
    except KeyError:
        return None
