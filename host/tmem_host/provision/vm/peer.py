# SPDX-License-Identifier: GPL-2.0-or-later
"""Which process is at the other end of a channel, and how much memory its guest has.

Who a client is follows from which socket it is on (guarantee H), so whoever connects to a channel
makes sure that QEMU of that very domain listens there, not somebody who put a socket at its path.
"""

import itertools
import os
import socket
from pathlib import Path
from uuid import UUID

from tmem_host.peers import Peer, peer_of
from tmem_host.provision.vm.connection import EMBED, SYSTEM
from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.places import Places

# QEMU's name for a memory backend of type memfd.
_GUEST_MEMORY = "/memfd:memory-backend-memfd"


class WrongPeer(VmError):
    """Not the domain's QEMU is at the other end of a socket."""


def check_peer(connection: socket.socket, domain: UUID, pid_file: Path) -> Peer:
    """The peer of a connected channel; WrongPeer unless it is QEMU of `domain`.

    libvirt's pid file decides. Who may not read it compares the uuid on the peer's command line,
    and the peer's user with the owner of the socket, since anybody can choose a command line.
    """
    peer = peer_of(connection)
    path = _path(connection)
    try:
        expected = int(pid_file.read_text())
    except PermissionError:
        owner = path.stat().st_uid
        if peer.uid != owner or not _runs_domain(peer.pid, domain):
            raise WrongPeer(
                f"{peer} listens on {path}, which does not look like QEMU of the domain {domain}"
            ) from None
        return peer
    except (OSError, ValueError) as error:
        raise WrongPeer(f"cannot tell the QEMU of domain {domain}: {pid_file}: {error}") from error
    if peer.pid != expected:
        raise WrongPeer(
            f"process {peer.pid} listens on {path}, and QEMU of the domain {domain} is {expected}"
        )
    return peer


def pid_file(uri: str, places: Places, name: str) -> Path:
    """Where libvirt's QEMU driver keeps the process id of a domain's QEMU."""
    if uri == EMBED:
        directory = places.embed / "run/qemu"
    elif uri == SYSTEM:
        directory = Path("/run/libvirt/qemu")
    else:
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        base = Path(runtime) if runtime else Path.home() / ".cache"
        directory = base / "libvirt/qemu/run"
    return directory / f"{name}.pid"


def qemu_pid(pid_file: Path) -> int | None:
    """The process id of a running domain's QEMU; None if it cannot be told."""
    try:
        return int(pid_file.read_text())
    except (OSError, ValueError):
        return None


def guest_resident_bytes(pid: int) -> int:
    """How much of its memory a guest occupies on the host: the resident part of QEMU's memfd.

    VmError if the process is gone, may not be looked at, or has no such memory.
    """
    total = None
    inside = False
    try:
        with Path(f"/proc/{pid}/smaps").open() as lines:
            for line in lines:
                name, _, rest = line.partition(":")
                if "-" in name.split(" ")[0]:
                    inside = _GUEST_MEMORY in line
                elif inside and name == "Rss":
                    total = (total or 0) + int(rest.split()[0]) * 1024
    except OSError as error:
        raise VmError(f"cannot read the memory of process {pid}: {error.strerror}") from error
    if total is None:
        raise VmError(f"process {pid} has no guest memory in a memfd")
    return total


def _path(connection: socket.socket) -> Path:
    name = connection.getpeername()
    return Path(os.fsdecode(name))


def _runs_domain(pid: int, domain: UUID) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    named = any(
        option == b"-uuid" and value == str(domain).encode()
        for option, value in itertools.pairwise(words)
    )
    return named and b"qemu" in os.path.basename(words[0])
