# SPDX-License-Identifier: GPL-2.0-or-later
"""How a guest that should come up fares: what it says on its serial console, and how it ends."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tmem_host.provision.agent import Agent, AgentLost, AgentUnreachable, GuestInfo
from tmem_host.provision.vm.errors import GuestFailed, GuestLost, GuestPanicked, GuestSilent
from tmem_host.provision.vm.places import VmPlaces, make_directory

# How long a guest that is gone may pass for one that boots.
_LOOK_AGAIN_S = 3.0
_TAIL_BYTES = 64 << 10
_BOOT_BEGINS = "Linux version "
_PANIC = "Kernel panic"
_SHOWN_LINES = 12


def wait_for_agent(
    agent: Agent, name: str, places: VmPlaces, limit_s: float, ended: Callable[[], str | None]
) -> GuestInfo:
    """Waits until the guest's agent answers.

    `ended` says why the domain runs no more, None while it does. GuestPanicked, GuestLost or
    GuestSilent, each with the last lines of the serial console.
    """
    deadline = time.monotonic() + limit_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            return agent.wait(max(0.0, min(_LOOK_AGAIN_S, left_s)))
        except (AgentLost, AgentUnreachable):
            raise_if_failed(name, places.serial_log, ended())
        if time.monotonic() >= deadline:
            raise GuestSilent(
                f"the guest {name} did not come up: its agent did not answer within {limit_s:.0f} s"
                f"{excerpt(places.serial_log)}",
                log=places.serial_log,
            )


@contextmanager
def explained(name: str, places: VmPlaces, ended: Callable[[], str | None]) -> Iterator[None]:
    """Tells a panic or a lost guest apart from an agent that went away for its own reasons."""
    try:
        yield
    except (AgentLost, AgentUnreachable) as error:
        try:
            raise_if_failed(name, places.serial_log, ended())
        except GuestFailed as failure:
            raise failure from error
        raise


def raise_if_failed(name: str, log: Path, ended: str | None) -> None:
    """GuestPanicked if the guest's kernel says so, GuestLost if it `ended` otherwise."""
    panic = panic_line(log)
    if panic is not None:
        raise GuestPanicked(f"the guest {name} panicked: {panic}{excerpt(log)}", log=log)
    if ended is not None:
        raise GuestLost(f"the guest {name} is gone: {ended}{excerpt(log)}", log=log)


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


def excerpt(log: Path) -> str:
    """The end of a serial log, to be put behind a sentence; empty if there is none."""
    lines = [line for line in _tail(log).splitlines() if line.strip()]
    if not lines:
        return "; it said nothing on its serial console"
    shown = "".join(f"\n    {line}" for line in lines[-_SHOWN_LINES:])
    return f"; the end of {log}:{shown}"


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
