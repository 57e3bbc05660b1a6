# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest answers, checked: it may send anything."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tmem_host.provision.agent.errors import AgentMisbehaved

_TEXT_CHARACTERS = 4096
_SIGNALS = 64

Value = TypeVar("Value")
Counts = dict[str, int]


@dataclass(frozen=True)
class GuestInfo:
    """A guest whose agent answers."""

    boot_id: str
    kernel: str
    uptime_s: float


@dataclass(frozen=True)
class ExecResult:
    """How a command ended: with a status, or by a signal."""

    status: int | None
    signal: int | None
    timed_out: bool
    """whether it was ended because its time was up"""
    stdout: bytes
    stderr: bytes
    """both empty if the caller took them elsewhere"""

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.status == 0 and not self.timed_out


@dataclass(frozen=True)
class FileInfo:
    """A file of a guest that was read."""

    size_bytes: int
    mode: int


@dataclass(frozen=True)
class Counters:
    """What a guest's kernel counts; empty where it has no such counters."""

    meminfo: Counts
    """in bytes; pages for the few that have no unit"""
    vmstat: Counts
    diskstats: dict[str, Counts]
    """by disk"""
    tmem: Counts
    """numbers below /sys/kernel/debug, by their path there"""


def guest_info(untrusted: object) -> GuestInfo:
    """The answer to ping."""
    return GuestInfo(
        boot_id=text(_key(untrusted, "boot_id")),
        kernel=text(_key(untrusted, "kernel")),
        uptime_s=_number(_key(untrusted, "uptime_s")),
    )


def exec_result(untrusted: object, stdout: bytes, stderr: bytes) -> ExecResult:
    """The answer to exec, with the output that came before it."""
    status = _optional(_key(untrusted, "status"), lambda value: _whole(value, 255))
    signal = _optional(_key(untrusted, "signal"), lambda value: _whole(value, _SIGNALS))
    if (status is None) == (signal is None):
        raise AgentMisbehaved("the guest says that a command ended neither, or both, by itself")
    timed_out = _key(untrusted, "timed_out")
    if not isinstance(timed_out, bool):
        raise _nonsense(timed_out)
    return ExecResult(status, signal, timed_out, stdout, stderr)


def file_info(untrusted: object, received_bytes: int) -> FileInfo:
    """The answer to read_file, after `received_bytes` of the file."""
    if _whole(_key(untrusted, "bytes")) != received_bytes:
        raise AgentMisbehaved("the guest says that a file has another length than it sent")
    return FileInfo(received_bytes, _whole(_key(untrusted, "mode"), 0o7777))


def counters(untrusted: object) -> Counters:
    """The answer to counters."""
    untrusted_disks = _key(untrusted, "diskstats")
    if not isinstance(untrusted_disks, dict):
        raise _nonsense(untrusted_disks)
    return Counters(
        meminfo=_counts(_key(untrusted, "meminfo")),
        vmstat=_counts(_key(untrusted, "vmstat")),
        diskstats={text(name): _counts(counts) for name, counts in untrusted_disks.items()},
        tmem=_counts(_key(untrusted, "tmem")),
    )


def text(untrusted: object) -> str:
    """A text to be shown: of bounded length, without what a terminal would obey."""
    if not isinstance(untrusted, str):
        raise _nonsense(untrusted)
    return "".join(
        character if character.isprintable() else "?" for character in untrusted[:_TEXT_CHARACTERS]
    )


def count(untrusted: object, most: int) -> int:
    """A whole number from 0 to `most`."""
    return _whole(untrusted, most)


def _key(untrusted: object, name: str) -> object:
    if not isinstance(untrusted, dict):
        raise _nonsense(untrusted)
    return untrusted.get(name)


def _counts(untrusted: object) -> Counts:
    if not isinstance(untrusted, dict):
        raise _nonsense(untrusted)
    found = {}
    for name, value in untrusted.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise _nonsense(value)
        found[text(name)] = value
    return found


def _optional(untrusted: object, check: Callable[[object], Value]) -> Value | None:
    return None if untrusted is None else check(untrusted)


def _whole(untrusted: object, most: int = 2**63 - 1) -> int:
    if not isinstance(untrusted, int) or isinstance(untrusted, bool) or not 0 <= untrusted <= most:
        raise _nonsense(untrusted)
    return untrusted


def _number(untrusted: object) -> float:
    if isinstance(untrusted, bool) or not isinstance(untrusted, int | float) or not untrusted >= 0:
        raise _nonsense(untrusted)
    return float(untrusted)


def _nonsense(untrusted: object) -> AgentMisbehaved:
    return AgentMisbehaved(f"the guest sent nonsense: {text(repr(untrusted)[:80])}")
