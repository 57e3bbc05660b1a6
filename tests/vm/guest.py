# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest in a test."""

from collections.abc import Sequence

from tmem_host.provision.agent import Agent, ExecResult
from tmem_host.provision.vm.info import VmInfo
from tmem_host.provision.vm.places import VmPlaces
from tmem_host.provision.vm.provisioner import Provisioner

_LIMIT_S = 120.0


class Guest:
    """A VM whose guest answered when it was made.

    `places` has its sockets: `user_socket` and `kernel_socket` are its tmem channels.
    """

    def __init__(self, vms: Provisioner, name: str) -> None:
        self.name = name
        self.vms = vms
        self.places: VmPlaces = vms.places.vm(name)
        self.agent: Agent = vms.agent(name)

    def try_run(self, *argv: str, stdin: bytes | None = None) -> ExecResult:
        """Runs a command, however it ends."""
        # an agent serves one program at a time, and others may want to
        with self.agent as agent:
            return agent.exec(argv, stdin=stdin, limit_s=_LIMIT_S)

    def boot_id(self) -> str:
        """It differs after each boot."""
        with self.agent as agent:
            return agent.ping().boot_id

    def run(self, *argv: str, stdin: bytes | None = None) -> str:
        """What a command prints; AssertionError with what it complains of unless it succeeds."""
        result = self.try_run(*argv, stdin=stdin)
        assert result.ok, f"{self.name}: {' '.join(argv)}: {_ending(result)}"
        return result.stdout.decode()

    def shell(self, script: str) -> str:
        """What a shell script prints; AssertionError as soon as one of its commands fails."""
        return self.run("sh", "-e", "-c", script)

    def info(self) -> VmInfo:
        """The VM as it is now."""
        return self.vms.info(self.name)

    def pid(self) -> int:
        """Of its QEMU."""
        pid = self.vms.qemu_pid(self.name)
        assert pid is not None
        return pid

    def serial(self) -> str:
        """What it said on its console."""
        log = self.places.serial_log
        return log.read_text(errors="replace") if log.exists() else ""


def addresses(guests: Sequence[Guest]) -> list[str]:
    """The addresses of guests that are on one network, without the length of its prefix."""
    return [next(iter(guest.info().networks.values())).partition("/")[0] for guest in guests]


def _ending(result: ExecResult) -> str:
    ending = "time is up" if result.timed_out else f"status {result.status or result.signal}"
    said = (result.stdout + result.stderr).decode(errors="replace")
    return f"{ending}\n{said}"
