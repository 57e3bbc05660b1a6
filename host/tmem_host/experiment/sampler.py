# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks at the host while a workload runs: memory once a second, and more often whether a shared
pool is served."""

import threading
import time
from collections.abc import Callable
from typing import Self

from tmem_host.control import Connection, ControlError
from tmem_host.experiment.meter import client_info, resident_bytes
from tmem_host.experiment.plan import Point
from tmem_host.experiment.records import Sample
from tmem_host.experiment.stage import Stage
from tmem_host.experiment.system import mem_available_bytes
from tmem_host.provision.vm.errors import VmError

_LOOK_S = 0.25
_SAMPLE_S = 1.0


class Sampler:
    """A context manager: looks in a thread of its own for as long as it is open.

    A guest or service that goes away meanwhile ends the sampling, not the experiment: whoever
    waits for the workload learns of it.
    """

    def __init__(
        self, stage: Stage, point: Point, phase: str, began: float, write: Callable[[Sample], None]
    ) -> None:
        """`began` is time.monotonic() of the header."""
        self._stage = stage
        self._point = point
        self._phase = phase
        self._began = began
        self._write = write
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tmem-sampler", daemon=True)
        self._looks = 0
        self._served = 0
        self._blocked_looks: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._pids = {guest.name: guest.pid() for guest in self._stage.guests}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def served_ratio(self) -> float | None:
        """Share of the looks at which the shared pool was served; None where there is none."""
        return self._served / self._looks if self._looks else None

    @property
    def blocked_by(self) -> dict[str, float]:
        """For how many seconds each client kept it from being served."""
        return {name: looks * _LOOK_S for name, looks in self._blocked_looks.items()}

    def _run(self) -> None:
        try:
            with self._stage.service.connect() as connection:
                next_sample = time.monotonic()
                while True:
                    if self._stage.shared is not None:
                        self._look(connection)
                    if time.monotonic() >= next_sample:
                        self._sample(connection)
                        next_sample = time.monotonic() + _SAMPLE_S
                    if self._stop.wait(_LOOK_S):
                        return
        except (ControlError, VmError):
            return

    def _look(self, connection: Connection) -> None:
        blocking: set[str] = set()
        for guest in self._stage.guests:
            pools = client_info(connection, guest.name)["pool_list"]
            joined = [pool for pool in pools if pool["uuid"] == str(self._stage.shared)]
            # who was expelled is not waited for, and gets nothing
            blocking.update(joined[0]["waits_for"] if joined else [guest.name])
        self._looks += 1
        if not blocking:
            self._served += 1
        for name in blocking:
            self._blocked_looks[name] = self._blocked_looks.get(name, 0) + 1

    def _sample(self, connection: Connection) -> None:
        self._write(
            Sample(
                t_seconds=time.monotonic() - self._began,
                arm=self._point.arm,
                profile=self._point.profile,
                round=self._point.round,
                memory_mib=self._point.memory_mib,
                phase=self._phase,
                guest_resident_bytes=resident_bytes(self._pids),
                arena_resident_bytes=connection.call("arena.usage")["resident_bytes"],
                mem_available_bytes=mem_available_bytes(),
            )
        )
