# SPDX-License-Identifier: GPL-2.0-or-later
"""Host pressure: when the host runs short of memory, the arena gives some back.

Each sign of pressure lowers the budget by one step, not below the floor; after a calm time one step
is taken back, up to what is wanted. What to do is decided by Pressure, which knows no files; what
the kernel says is read by Signs; PressureWatch brings both together.
"""

import threading
import time
from collections.abc import Callable

from tmem_host.native import Engine, ShrinkReport
from tmem_host.service.config import PressureConfig
from tmem_host.service.journal import Tell
from tmem_host.service.signs import Signs

_LOOK_S = 1.0


class Pressure:
    """The control law. `budget_bytes` is what the arena may hold now, `wanted_bytes` what it may
    hold without pressure; times are seconds of one clock."""

    def __init__(self, config: PressureConfig, wanted_bytes: int, now: float) -> None:
        self.config = config
        self.wanted_bytes = wanted_bytes
        self.budget_bytes = wanted_bytes
        self._changed = now

    def want(self, wanted_bytes: int, now: float) -> None:
        """Another budget from now on, whatever pressure there was."""
        self.wanted_bytes = self.budget_bytes = wanted_bytes
        self._changed = now

    def pressed(self, now: float) -> int:
        """A sign of pressure: the new budget."""
        floor = min(self.config.floor, self.wanted_bytes)
        self.budget_bytes = min(self.budget_bytes, max(self.budget_bytes - self._step(), floor))
        self._changed = now
        return self.budget_bytes

    def calm(self, now: float) -> int | None:
        """No sign of pressure: the new budget, once the calm has lasted; else None."""
        if self.budget_bytes >= self.wanted_bytes:
            return None
        if now - self._changed < self.config.calm / 1000:
            return None
        self.budget_bytes = min(self.budget_bytes + self._step(), self.wanted_bytes)
        self._changed = now
        return self.budget_bytes

    def _step(self) -> int:
        return max(int(self.wanted_bytes * self.config.step), 1)


class PressureWatch:
    """Owns the engine's budget: operators and the configuration say what is wanted, and a thread
    lowers and raises it as the host needs. Any thread may call any method; a lock orders what
    becomes of the budget, and is held while the arena shrinks to it."""

    def __init__(
        self,
        engine: Engine,
        config: PressureConfig,
        wanted_bytes: int,
        tell: Tell,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._law = Pressure(config, wanted_bytes, clock())
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tmem-pressure", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, if it was started; the budget stays."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def set_budget(self, wanted_bytes: int) -> ShrinkReport:
        """Another budget from now on; what was given back. TmemError, and then nothing changed."""
        with self._lock:
            report = self._engine.set_budget(wanted_bytes)
            self._law.want(wanted_bytes, self._clock())
        return report

    def configure(self, config: PressureConfig) -> None:
        """Other settings from now on, at the latest a second later. When pressure is no longer to
        be looked at, the budget is what is wanted again. TmemError."""
        with self._lock:
            if not config.enabled:
                self._engine.set_budget(self._law.wanted_bytes)
                self._law.want(self._law.wanted_bytes, self._clock())
            self._law.config = config

    # ---- the thread ----------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopped.is_set():
            config = self._law.config
            if config.enabled:
                self._watch(config)
            else:
                self._stopped.wait(_LOOK_S)

    def _watch(self, config: PressureConfig) -> None:
        """Watches until there are other settings."""
        signs = Signs(config)
        where = ", ".join(signs.open_triggers()) or "the cgroup's limits and MemAvailable only"
        self._tell("pressure-watched", f"pressure is watched at {where}", None)
        try:
            while not self._stopped.is_set() and self._law.config is config:
                sign = signs.wait(_LOOK_S)
                with self._lock:
                    if self._law.config is config:
                        self._react(sign)
        finally:
            signs.close()

    def _react(self, sign: str | None) -> None:
        if sign is not None:
            before = self._law.budget_bytes
            if (budget := self._law.pressed(self._clock())) < before:
                given_kib = self._engine.set_budget(budget).returned_bytes >> 10
                told = f"{sign}: the budget is now {budget >> 20} MiB"
                self._tell("pressure", f"{told}; {given_kib} KiB were given back", None)
        elif (raised := self._law.calm(self._clock())) is not None:
            self._engine.set_budget(raised)
            self._tell("pressure-over", f"calm: the budget is {raised >> 20} MiB again", None)
