# SPDX-License-Identifier: GPL-2.0-or-later
"""A C object that lives until it is closed and no call uses it any more."""

from collections.abc import Callable
from threading import Condition, Lock
from typing import Generic, TypeVar

from tmem_shim.errors import ClosedError

Pointer = TypeVar("Pointer")


class Handle(Generic[Pointer]):
    """Guards `pointer`: used as a context manager around each call, it yields the pointer.

    The C contract forbids a call on what another thread has released, and the calls run without
    the interpreter's lock; so close() turns new calls away and waits for those that run.
    """

    __slots__ = ("_changed", "_closing", "_lock", "_pointer", "_release", "_released", "_running",
                 "_what")  # fmt: skip

    def __init__(self, what: str, pointer: Pointer, release: Callable[[Pointer], None]) -> None:
        self._what = what
        self._pointer = pointer
        self._release = release
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._running = 0
        self._closing = False
        self._released = False

    def __enter__(self) -> Pointer:
        with self._lock:
            if self._closing:
                raise ClosedError(self._what)
            self._running += 1
        return self._pointer

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            if self._closing and not self._running:
                self._changed.notify_all()

    def close(self) -> None:
        """Releases the pointer once no call uses it; when this returns, it is released.

        May be called again, and by several threads at once.
        """
        with self._changed:
            if self._closing:
                self._changed.wait_for(lambda: self._released)
                return
            self._closing = True
            self._changed.wait_for(lambda: not self._running)
        # Without the lock: who comes now shall be turned away, not wait for the end of a long
        # release that may itself be waiting for them.
        self._release(self._pointer)
        with self._changed:
            self._released = True
            self._changed.notify_all()
