# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls who waits for a file descriptor or for a moment."""

import select
import time
from collections.abc import Callable


class Loop:
    """Descriptors and timers, each with what is to be called.

    Built on epoll itself: a virtio port whose host is away must be watched for changes (EPOLLET),
    since it is in a state of hang-up all the time.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._timers: dict[object, tuple[float, Callable[[], None]]] = {}

    def watch(self, fd: int, events: int, ready: Callable[[int], None]) -> None:
        """Calls ready(events) whenever one of `events`, a hang-up or an error is seen on `fd`.

        Replaces what was asked for `fd` before.
        """
        if fd in self._ready:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._ready[fd] = ready

    def unwatch(self, fd: int) -> None:
        """Forgets `fd`, if it was watched; to be called before it is closed."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_in(self, owner: object, seconds: float, call: Callable[[], None]) -> None:
        """Calls `call` once, in `seconds`. An owner has one timer: this replaces it."""
        self._timers[owner] = (time.monotonic() + seconds, call)

    def cancel(self, owner: object) -> None:
        """Forgets the timer of `owner`, if it has one."""
        self._timers.pop(owner, None)

    def step(self, *, wait: bool) -> None:
        """Waits until somebody is to be called, unless not to `wait`, and calls all who are."""
        for fd, events in self._epoll.poll(self._timeout() if wait else 0):
            # Whoever was called before may have unwatched it.
            ready = self._ready.get(fd)
            if ready is not None:
                ready(events)
        now = time.monotonic()
        for owner, (when, call) in list(self._timers.items()):
            if when <= now and self._timers.get(owner) == (when, call):
                del self._timers[owner]
                call()

    def _timeout(self) -> float | None:
        if not self._timers:
            return None
        first = min(when for when, _ in self._timers.values())
        return max(0.0, first - time.monotonic())

    def close(self) -> None:
        """Gives up the epoll descriptor."""
        self._epoll.close()
