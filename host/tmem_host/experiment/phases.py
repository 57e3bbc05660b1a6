# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one phase of a workload: a command in each of some guests, all at once, and measures it."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tmem_host.experiment import meter
from tmem_host.experiment.errors import ExperimentError
from tmem_host.experiment.plan import Point
from tmem_host.experiment.records import Run, Sample
from tmem_host.experiment.sampler import Sampler
from tmem_host.experiment.stage import Stage
from tmem_host.provision.agent import AgentError
from tmem_host.provision.vm.errors import GuestFailed, GuestLost, VmError
from tmem_host.provision.vm.running import RunningGuest

_LIMIT_S = 3600.0
_LOOK_AGAIN_S = 0.2
_SETTLE_S = 3.0
_SAID_MAX = 64 << 10


@dataclass(frozen=True)
class Phase:
    """What guests do in a phase: a command by the guest's name. The command says `begin` and `end`
    on lines of their own, and then a JSON object of numbers."""

    name: str
    commands: Mapping[str, tuple[str, ...]]


class Recorder:
    """Runs phases of one point and hands records to `write`. `began` is time.monotonic() of the
    header."""

    def __init__(
        self, stage: Stage, point: Point, began: float, write: Callable[[Run | Sample], None]
    ) -> None:
        self._stage = stage
        self._point = point
        self._began = began
        self._write = write

    def run(self, phase: Phase) -> Run:
        """Runs a phase and records it.

        VmError, AgentError, ControlError, ExperimentError; the guests' commands may then still
        run, and end with their guests.
        """
        self._give_back_idle()
        with self._who_is_gone():
            before = meter.look(self._stage)
            with Sampler(self._stage, self._point, phase.name, self._began, self._write) as sampler:
                commands = [_Command(self._stage, *command) for command in phase.commands.items()]
                _wait(commands)
            after = meter.look(self._stage)
        seconds = {command.name: command.ended - command.began for command in commands}
        run = Run(
            arm=self._point.arm,
            profile=self._point.profile,
            round=self._point.round,
            memory_mib=self._point.memory_mib,
            guests=len(self._stage.guests),
            phase=phase.name,
            seconds=max(command.ended for command in commands)
            - min(command.began for command in commands),
            work=_sums([command.figures for command in commands]),
            guest=[
                meter.between(
                    guest.name,
                    before.guests[guest.name],
                    after.guests[guest.name],
                    seconds.get(guest.name, 0.0),
                )
                for guest in self._stage.guests
            ],
            arena_resident_bytes=after.arena_resident_bytes,
            arena_pages=after.arena_pages,
            arena_shared_pages=after.arena_shared_pages,
            mem_available_bytes=after.mem_available_bytes,
            service_cpu_seconds=after.service_cpu_seconds - before.service_cpu_seconds,
            shared_served_ratio=sampler.served_ratio,
            blocked_by=sampler.blocked_by,
        )
        self._write(run)
        return run

    def _give_back_idle(self) -> None:
        """Returns to the host what of the arena holds nothing any more. A host that is short of
        memory has that back at once, but here the service reacts to no pressure."""
        idle = self._stage.service.call("arena.usage")["idle_bytes"]
        if idle:
            self._stage.service.call("arena.shrink", size=idle)

    @contextmanager
    def _who_is_gone(self) -> Iterator[None]:
        """What fails because a guest is gone says so; libvirt learns of it some moments later."""
        try:
            yield
        except GuestFailed:
            raise
        except (VmError, AgentError):
            deadline = time.monotonic() + _SETTLE_S
            while time.monotonic() < deadline:
                for guest in self._stage.guests:
                    if ended := self._stage.vms.ended(guest.name):
                        raise GuestLost(f"the guest {guest.name} is gone: {ended}") from None
                time.sleep(_LOOK_AGAIN_S)
            raise


class _Command:
    """A command in a guest, run by a thread of its own. Times are this host's."""

    def __init__(self, stage: Stage, name: str, argv: tuple[str, ...]) -> None:
        self.name = name
        self.error: BaseException | None = None
        self.figures: dict[str, float] = {}
        self._stage = stage
        self._argv = argv
        self._said = _Said()
        self._thread = threading.Thread(target=self._run, name=f"tmem-{name}", daemon=True)
        self._thread.start()

    @property
    def began(self) -> float:
        return self._said.times["begin"]

    @property
    def ended(self) -> float:
        return self._said.times["end"]

    def done(self) -> bool:
        """Waits a little; whether it is over. What went wrong is raised."""
        self._thread.join(_LOOK_AGAIN_S)
        if self.error is not None:
            raise self.error
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            # a connection is for one thread
            with self._stage.service.vms() as vms:
                guest = RunningGuest(vms, self.name)
                guest.run(*self._argv, limit_s=_LIMIT_S, stdout=self._said)
            self.figures = self._said.figures(self.name)
        except BaseException as error:
            self.error = error


class _Said(io.BytesIO):
    """What a workload says, with the time at which each of its words came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: dict[str, float] = {}

    def write(self, untrusted: Any) -> int:
        now = time.monotonic()
        if self.tell() + len(untrusted) > _SAID_MAX:
            raise ExperimentError("a guest's workload says more than it should")
        count = super().write(untrusted)
        words = self.getvalue().splitlines()
        for word in ("begin", "end"):
            if word.encode() in words:
                self.times.setdefault(word, now)
        return count

    def figures(self, name: str) -> dict[str, float]:
        """The numbers at its end; ExperimentError."""
        try:
            untrusted = json.loads(self.getvalue().rpartition(b"end\n")[2])
            figures = {str(key): float(value) for key, value in untrusted.items()}
        except (ValueError, TypeError, AttributeError):
            figures = None
        if figures is None or set(self.times) != {"begin", "end"}:
            raise ExperimentError(f"the workload in {name} did not say what it has done")
        return figures


def _wait(commands: list[_Command]) -> None:
    left = commands
    while left:
        left = [command for command in left if not command.done()]


def _sums(figures: list[dict[str, float]]) -> dict[str, float]:
    return {
        name: sum(each.get(name, 0.0) for each in figures)
        for name in {k for f in figures for k in f}
    }
