# SPDX-License-Identifier: GPL-2.0-or-later
"""Scrubbing in the background."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Self

from tmem_host.native.errors import ClosedError

if TYPE_CHECKING:
    from tmem_host.native.engine import Engine


class Scrubber:
    """Verifies every page the engine holds once, in a thread of its own, from entering to leaving.

    To be started after an arena was opened: damaged pages are then dropped and counted
    (Engine.recovery) before a guest asks for them. It works `pages_per_step` pages at a time and
    rests as long as each step took, so that it never takes more than half a core. It ends early,
    silently, when the engine is closed.
    """

    def __init__(self, engine: Engine, *, pages_per_step: int = 1024) -> None:
        if pages_per_step < 1:
            raise ValueError(f"pages_per_step {pages_per_step}: at least 1")
        self._engine = engine
        self._pages_per_step = pages_per_step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tmem-scrubber", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until every page has been verified, or the engine was closed; False after
        `timeout_s` seconds."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            pages = self._pages_per_step
            while pages and not self._stop.is_set():
                started = time.monotonic()
                pages = self._engine.scrub(self._pages_per_step)
                self._stop.wait(time.monotonic() - started)
        except ClosedError:
            pass
