# SPDX-License-Identifier: GPL-2.0-or-later
"""Networks between VMs, without root, bridges or a process of their own.

A network is a multicast group on the loopback interface, of which each VM's QEMU is a member: one
Ethernet segment for up to 254 VMs that nothing leaves. Whoever runs programs on this host can
listen and talk there, as on any loopback port: a network for experiments, not for secrets.

A network is a file that names its group and who has which address, under a lock. It is made for
its first VM and removed with its last.
"""

import fcntl
import json
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tmem_host.provision.vm.domain_xml import Link
from tmem_host.provision.vm.errors import VmError
from tmem_host.provision.vm.places import check_name, make_directory

MEMBERS_MAX = 254
# The locally administered half of addresses, below QEMU's own prefix.
_MAC_PREFIX = "52:54:00"
_NEW = ".new"


class Networks:
    """All networks whose files are in one directory. Safe to use from many processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def join(self, network: str, vm: str) -> Link:
        """Puts a VM on a network, which is made if there is none; the VM's place on it.

        A VM that is on it already keeps its place. VmError if the network is full, or if the host
        has no multicast on its loopback interface.
        """
        with self._locked():
            state = self._read(network)
            if state is None:
                state = self._new()
            members: dict[str, int] = state["members"]
            if vm not in members:
                free = set(range(1, MEMBERS_MAX + 1)) - set(members.values())
                if not free:
                    raise VmError(f"the network {network} is full: {MEMBERS_MAX} VMs are on it")
                members[vm] = min(free)
                self._write(network, state)
            return _link(state, members[vm])

    def leave(self, vm: str) -> None:
        """Takes a VM off all networks; those with nobody left are removed."""
        if not self._directory.is_dir():
            return
        with self._locked():
            for network in self._names():
                state = self._read(network)
                if state is None or vm not in state["members"]:
                    continue
                del state["members"][vm]
                if state["members"]:
                    self._write(network, state)
                else:
                    self._path(network).unlink()

    def links(self, vm: str) -> dict[str, Link]:
        """The networks that a VM is on, and its place on each."""
        if not self._directory.is_dir():
            return {}
        with self._locked():
            states = {network: self._read(network) for network in self._names()}
        return {
            network: _link(state, state["members"][vm])
            for network, state in states.items()
            if state is not None and vm in state["members"]
        }

    def _names(self) -> list[str]:
        return sorted(path.stem for path in self._directory.glob("*.json"))

    def _path(self, network: str) -> Path:
        check_name("network", network)
        return self._directory / f"{network}.json"

    def _read(self, network: str) -> dict[str, Any] | None:
        path = self._path(network)
        try:
            state: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise VmError(f"cannot read the network {path}: {error}; remove the file") from error
        return state

    def _write(self, network: str, state: dict[str, Any]) -> None:
        # whole or not at all, whoever is killed
        path = self._path(network)
        new = path.with_suffix(_NEW)
        new.write_text(json.dumps(state))
        new.replace(path)

    def _new(self) -> dict[str, Any]:
        subnet = self._free_subnet()
        group, port = _any_group()
        _try_multicast(group, port)
        return {"group": group, "port": port, "subnet": subnet, "members": {}}

    def _free_subnet(self) -> int:
        # a VM may be on several networks, so no two have the same
        states = (self._read(network) for network in self._names())
        taken = {state["subnet"] for state in states if state is not None}
        free = set(range(256)) - taken
        if not free:
            raise VmError("there are 256 networks already; destroy VMs that are not needed")
        return min(free)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_directory(self._directory)
        with (self._directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for path in self._directory.glob(f"*{_NEW}"):
                path.unlink()
            yield


def check_multicast() -> None:
    """VmError if VMs of this host cannot be put on a network."""
    _try_multicast(*_any_group())


def _any_group() -> tuple[str, int]:
    # 239/8 is for private use; that two networks of one host meet takes both group and port
    number = random.SystemRandom()
    group = f"239.{number.randrange(256)}.{number.randrange(256)}.{number.randrange(1, 255)}"
    return group, number.randrange(20000, 60000)


def _link(state: dict[str, Any], member: int) -> Link:
    # the group makes addresses of different networks differ
    tail = int(state["group"].rpartition(".")[2])
    return Link(
        group=state["group"],
        port=state["port"],
        mac=f"{_MAC_PREFIX}:{tail:02x}:{state['subnet']:02x}:{member:02x}",
        address=f"10.77.{state['subnet']}.{member}/24",
    )


def _try_multicast(group: str, port: int) -> None:
    """VmError unless a datagram to the group comes back on the loopback interface."""
    loopback = socket.inet_aton("127.0.0.1")
    probe = b"kvm-tmem"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member:
        try:
            member.bind((group, port))
            member.setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + loopback
            )
            member.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, loopback)
            member.settimeout(5)
            member.sendto(probe, (group, port))
            with suppress(TimeoutError):
                if member.recv(len(probe)) == probe:
                    return
            reason = "nothing comes back"
        except OSError as error:
            reason = error.strerror or str(error)
    raise VmError(
        f"no network between VMs: multicast does not work on the loopback interface ({reason});"
        " run: ip link set lo up"
    )
