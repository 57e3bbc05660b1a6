# SPDX-License-Identifier: GPL-2.0-or-later
"""How a guest that should come up fares: what it says on its serial console, and how it ends."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from tmem_host.provision.agent import Agent, AgentUnreachable, GuestInfo
from tmem_host.provision.vm.errors import GuestFailed, GuestLost, GuestPanicked, GuestSilent
from tmem_host.provision.vm.places import VmPlaces, make_directory

# Between the end of a guest's QEMU and libvirt's knowing.
_SETTLE_S = 3.0
_LOOK_AGAIN_S = 0.1
_TAIL_BYTES = 64 << 10
_BOOT_BEGINS = "Linux version "
_PANIC = "Kernel panic"
_SHOWN_LINES = 12


def wait_for_agent(guest: "Guest", limit_s: float) -> GuestInfo:
    """Waits until the guest's agent answers.

    GuestPanicked, GuestLost or GuestSilent, each with what the serial console said last.
    """
    with guest.agent() as agent:
        try:
            return agent.wait(limit_s)
        except AgentUnreachable as error:
            raise GuestSilent(
                f"the guest {guest.name} did not come up: its agent did not answer within"
                f" {limit_s:.0f} s{_excerpt(guest.places.serial_log)}",
                log=guest.places.serial_log,
            ) from error


class Guest:
    """A guest that is to stay up, known by its files.

    `ended` says why its domain runs no more, None while it does.
    """

    def __init__(self, name: str, places: VmPlaces, ended: Callable[[], str | None]) -> None:
        self.name = name
        self.places = places
        self._ended = ended
        self._looked_at_bytes = 0

    def agent(self) -> Agent:
        """Its agent, whose calls also end, with GuestFailed, when the guest panics or is lost."""
        return Agent(
            self.places.agent_socket, guest=self.name, watch=self.watch, explain=self.failure
        )

    def watch(self) -> None:
        """GuestPanicked or GuestLost if it has failed."""
        ended = self._ended()
        size = _size(self.places.serial_log)
        if ended is None and size == self._looked_at_bytes:
            return
        self._looked_at_bytes = size
        if failure := self._failed(ended):
            raise failure

    def failure(self) -> GuestFailed | None:
        """What became of a guest whose agent went away; None if it lives on."""
        deadline = time.monotonic() + _SETTLE_S
        while (failure := self._failed(self._ended())) is None and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN_S)
        return failure

    def _failed(self, ended: str | None) -> GuestFailed | None:
        log = self.places.serial_log
        if panic := panic_line(log):
            return GuestPanicked(f"the guest {self.name} panicked: {panic}{_oops(log)}", log=log)
        if ended is not None:
            return GuestLost(f"the guest {self.name} is gone: {ended}{_excerpt(log)}", log=log)
        return None


def listens(path: Path) -> bool:
    """Whether QEMU listens on a socket; asked without connecting, which the guest would see."""
    name = os.fsdecode(path)
    with Path("/proc/net/unix").open(errors="replace") as sockets:
        return any(line.rstrip("\n").endswith(f" {name}") for line in sockets)


def panic_line(log: Path) -> str | None:
    """What the kernel said as it panicked, since the guest last booted; None if it did not."""
    text = _tail(log).rpartition(_BOOT_BEGINS)[2]
    at = text.find(_PANIC)
    if at < 0:
        return None
    return text[at:].splitlines()[0].strip()


def _excerpt(log: Path) -> str:
    lines = [line for line in _tail(log).splitlines() if line.strip()]
    if not lines:
        return "; it said nothing on its serial console"
    return _shown(log, lines[-_SHOWN_LINES:])


def _oops(log: Path) -> str:
    """From the cause of a panic on, which comes before it."""
    lines = _tail(log).rpartition(_BOOT_BEGINS)[2].splitlines()
    at = next(number for number, line in enumerate(lines) if _PANIC in line)
    return _shown(log, lines[max(0, at - 2) : at + _SHOWN_LINES])


def _shown(log: Path, lines: list[str]) -> str:
    return f"; from {log}:" + "".join(f"\n    {line.strip()}" for line in lines)


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0


def rotate(log: Path) -> None:
    """Keeps the log of the run before beside that of the run to come, and none older."""
    if log.exists():
        log.replace(log.with_suffix(".log.old"))


def keep(log: Path, directory: Path, name: str) -> Path | None:
    """Moves a failed guest's log to where it stays; None if there is nothing in it."""
    if not log.exists() or log.stat().st_size == 0:
        return None
    make_directory(directory)
    kept = directory / f"{name}-{time.strftime('%Y%m%dT%H%M%S')}.log"
    shutil.copyfile(log, kept)
    return kept


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            untrusted = file.read().decode(errors="replace")
    except OSError:
        return ""
    # a guest's console may carry whatever a terminal would obey
    return "".join(c if c.isprintable() or c == "\n" else " " for c in untrusted)
