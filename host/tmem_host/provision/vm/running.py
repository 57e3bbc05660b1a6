# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that runs: what is done inside it."""

from typing import BinaryIO

from tmem_host.provision.agent import Agent, ExecResult
from tmem_host.provision.vm.errors import CommandFailed, VmError
from tmem_host.provision.vm.info import VmInfo
from tmem_host.provision.vm.places import VmPlaces
from tmem_host.provision.vm.provisioner import Provisioner

_LIMIT_S = 120.0
_SAID_CHARACTERS = 2000


class RunningGuest:
    """A VM whose guest has answered.

    `places` has its sockets: `user_socket` and `kernel_socket` are its tmem channels. Methods raise
    VmError and AgentError.
    """

    def __init__(self, vms: Provisioner, name: str) -> None:
        self.name = name
        self.vms = vms
        self.places: VmPlaces = vms.places.vm(name)
        self.agent: Agent = vms.agent(name)

    def try_run(
        self,
        *argv: str,
        stdin: bytes | None = None,
        stdout: BinaryIO | None = None,
        limit_s: float = _LIMIT_S,
    ) -> ExecResult:
        """Runs a command, however it ends. What it prints goes to `stdout` as it comes, or into
        the result."""
        # an agent serves one program at a time, and others may want to
        with self.agent as agent:
            return agent.exec(argv, stdin=stdin, stdout=stdout, limit_s=limit_s)

    def run(
        self,
        *argv: str,
        stdin: bytes | None = None,
        stdout: BinaryIO | None = None,
        limit_s: float = _LIMIT_S,
    ) -> str:
        """What a command prints, unless that goes to `stdout`; CommandFailed, with what it
        complains of, unless it succeeds."""
        result = self.try_run(*argv, stdin=stdin, stdout=stdout, limit_s=limit_s)
        if not result.ok:
            raise CommandFailed(f"in {self.name}, `{' '.join(argv)}` {_ending(result, limit_s)}")
        return result.stdout.decode(errors="replace")

    def shell(self, script: str, *, limit_s: float = _LIMIT_S) -> str:
        """What a shell script prints; CommandFailed as soon as one of its commands fails."""
        return self.run("sh", "-e", "-c", script, limit_s=limit_s)

    def info(self) -> VmInfo:
        """The VM as it is now."""
        return self.vms.info(self.name)

    def pid(self) -> int:
        """Of its QEMU."""
        pid = self.vms.qemu_pid(self.name)
        if pid is None:
            raise VmError(f"the QEMU of {self.name} cannot be told")
        return pid

    def address(self) -> str:
        """On its first network, without the length of the prefix; VmError if it is on none."""
        for address in self.info().networks.values():
            return address.partition("/")[0]
        raise VmError(f"the VM {self.name} is on no network")


def _ending(result: ExecResult, limit_s: float) -> str:
    if result.timed_out:
        how = f"was not done within {limit_s:.0f} s"
    elif result.signal is not None:
        how = f"was ended by signal {result.signal}"
    else:
        how = f"failed with status {result.status}"
    untrusted = (result.stderr or result.stdout)[-_SAID_CHARACTERS:].decode(errors="replace")
    said = " ".join("".join(c if c.isprintable() else " " for c in untrusted).split())
    return f"{how}: {said}" if said else how
