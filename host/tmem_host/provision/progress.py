# SPDX-License-Identifier: GPL-2.0-or-later
"""How long work shows that it goes on: a bar on a terminal, plain lines elsewhere."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress


class Task(ABC):
    """One piece of work under way."""

    @abstractmethod
    def advance(self, steps: int = 1) -> None:
        """`steps` more steps are done."""


class Progress(ABC):
    """Where work reports to. One task at a time."""

    @abstractmethod
    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[Task]:
        """Runs the body as work called `title` of `total` steps; None if that is not known."""
        yield _SilentTask()

    @abstractmethod
    def note(self, text: str) -> None:
        """Says something that stays readable; between tasks only."""


def progress_on(stream: TextIO) -> Progress:
    """A bar if `stream` is a terminal, else plain lines."""
    return _Bars(stream) if stream.isatty() else Lines(stream)


class _SilentTask(Task):
    def advance(self, steps: int = 1) -> None:
        pass


class Silent(Progress):
    """Says nothing."""

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[Task]:
        yield _SilentTask()

    def note(self, text: str) -> None:
        pass


class _LineTask(Task):
    def __init__(self, stream: TextIO, title: str, total: int | None) -> None:
        self._stream = stream
        self._title = title
        self._total = total
        self._done = 0
        self._quarters = 0

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        if not self._total:
            return
        quarters = min(4 * self._done // self._total, 3)
        if quarters > self._quarters:
            self._quarters = quarters
            print(f"{self._title}: {25 * quarters} %", file=self._stream, flush=True)


class Lines(Progress):
    """A line when work begins, at each quarter of it, and when it is done."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[Task]:
        self.note(f"{title} ...")
        began = time.monotonic()
        yield _LineTask(self._stream, title, total)
        self.note(f"{title}: done in {time.monotonic() - began:.0f} s")

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class _BarTask(Task):
    def __init__(self, bars: RichProgress, title: str, total: int | None) -> None:
        self._bars = bars
        self._id = bars.add_task(title, total=total)

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._id, steps)


class _Bars(Progress):
    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)

    @contextmanager
    def task(self, title: str, total: int | None = None) -> Iterator[Task]:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with RichProgress(*columns, console=self._console) as bars:
            yield _BarTask(bars, title, total)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)
