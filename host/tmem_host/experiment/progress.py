# SPDX-License-Identifier: GPL-2.0-or-later
"""What somebody who waits for an experiment sees: what is built, which arm and round, time left."""

from collections.abc import Iterator
from contextlib import contextmanager

from tmem_host.experiment.plan import Point, TimeLeft
from tmem_host.provision.progress import Progress, Task


class PointProgress(Progress):
    """Puts how far the experiment is before what `inner` shows. Guests' boots are part of a point
    and are not shown one by one."""

    def __init__(self, inner: Progress, points: list[Point]) -> None:
        self._inner = inner
        self._total = len(points)
        self._number = 0
        self._left = TimeLeft(points)
        self._point = ""

    def begin(self, point: Point) -> None:
        """A point begins."""
        self._number += 1
        self._point = str(point)
        if rest := self._rest():
            self.note(rest)

    def done(self, point: Point, seconds: float) -> None:
        """It is over."""
        self._left.done(point, seconds)

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[Task]:
        """Shows a phase of the point."""
        with self._inner.task(f"{self._place()}: {title}", total) as task:
            yield task

    def note(self, text: str) -> None:
        """As it is."""
        self._inner.note(text)

    def _place(self) -> str:
        return f"[{self._number}/{self._total}] {self._point}"

    def _rest(self) -> str:
        seconds = self._left.seconds()
        if seconds is None:
            return ""
        left = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
        return f"about {left} left"
