# SPDX-License-Identifier: GPL-2.0-or-later
"""What the life of a domain means to its clients; the service implements it.

A client is a domain's channel. Its session lives as long as the guest that opened it: it ends when
that guest is reset, stopped, or *rewound*, which is to run on from a state of the past. A rewound
guest has the boot id of the session and memory of another time; serving it would hand out pages
newer or older than it believes (rule R-e), so its session must end like any other.

Calls come from one thread, in the order in which things happened, and never two at a time. For each
domain the first call is started() and the last is stopped(); the others come between. What an
implementation raises is logged and goes no further.
"""

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from tmem_host.provision.vm.settings import TmemSettings

USER_PORT = "org.kvmtmem.0"
KERNEL_PORT = "org.kvmtmem.kernel.0"
AGENT_PORT = "org.kvmtmem.agent.0"


@dataclass(frozen=True)
class Domain:
    """Which domain: names may be used again, uuids are not."""

    uuid: UUID
    name: str


@dataclass(frozen=True)
class Channels:
    """The sockets on which QEMU listens for whoever serves a domain; None: it has no such port."""

    user: Path | None = None
    kernel: Path | None = None


@dataclass(frozen=True)
class Start:
    """How a domain came to run.

    `qemu_pid` is the process at the other end of the channels, None if it cannot be told.
    `settings` are those of its metadata, or the defaults without any; `problem` says why they
    could not be read, in which case such a domain must not be served.
    `found` is set for a domain that ran before anybody watched.
    """

    channels: Channels
    settings: TmemSettings
    qemu_pid: int | None
    found: bool = False
    problem: str | None = None


class Ending(enum.Enum):
    """Why a domain runs no more here."""

    SHUT_DOWN = "the guest shut down"
    DESTROYED = "it was destroyed"
    CRASHED = "the guest crashed"
    SAVED = "it was saved to a file"
    MIGRATED = "it was migrated to another host"
    FAILED = "its QEMU died, or could not start"
    REVERTED = "a snapshot was reverted to in which it did not run"
    UNKNOWN = "libvirt does not say"


class Rewind(enum.Enum):
    """How a guest came to run on from a state of the past."""

    RESTORED = "restored from a file"
    REVERTED = "reverted to a snapshot"
    MIGRATED = "migrated from another host"


class ClientLifecycle(Protocol):
    """What the service does when a domain's life takes a turn."""

    def started(self, domain: Domain, start: Start) -> None:
        """The domain runs, its channels can be connected to; rewound() follows if not fresh."""

    def paused(self, domain: Domain) -> None:
        """The guest's processors stand still; no answer is to be expected from it."""

    def resumed(self, domain: Domain) -> None:
        """The guest's processors run again, from where they were paused."""

    def reset(self, domain: Domain) -> None:
        """The guest was reset or rebooted itself. Its session ends; the channels stay."""

    def panicked(self, domain: Domain) -> None:
        """The guest's kernel panicked. Its session ends; it may still send (rule R-c)."""

    def rewound(self, domain: Domain, how: Rewind) -> None:
        """The guest runs on, or will, from a state of the past. Its session ends."""

    def settings_changed(self, domain: Domain, settings: TmemSettings) -> None:
        """The domain's settings are now these."""

    def settings_refused(self, domain: Domain, problem: str) -> None:
        """Somebody wrote settings that cannot be read; those that were stay in force."""

    def stopped(self, domain: Domain, ending: Ending) -> None:
        """The domain runs no more. Its session ends; nothing more is said of this run of it."""
