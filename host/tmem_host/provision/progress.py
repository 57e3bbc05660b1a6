# SPDX-License-Identifier: GPL-2.0-or-later
"""How long work shows that it goes on: a bar on a terminal, plain lines elsewhere."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


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
    if not stream.isatty():
        return Lines(stream)
    from tmem_host.provision.bars import Bars  # noqa: PLC0415  as it takes longer to load than most

    return Bars(stream)


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
