# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong, as exceptions. A miss and a refused put are results instead."""

import errno as errno_names


class TmemError(Exception):
    """Base of all errors of the engine and the shim.

    `errno` is positive. `client` (a name), `pool`, `oid` and `index` say what the failed call was
    about and are None where it was about nothing of the kind.
    """

    def __init__(
        self,
        message: str,
        *,
        errno: int,
        client: str | None = None,
        pool: int | None = None,
        oid: tuple[int, int, int] | None = None,
        index: int | None = None,
    ) -> None:
        super().__init__(message)
        self.errno = errno
        self.client = client
        self.pool = pool
        self.oid = oid
        self.index = index


class ClosedError(TmemError):
    """What the call was about was closed before the call."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is closed", errno=errno_names.EBADF)


class ShimError(TmemError):
    """Base of the errors of the shim alone."""


class BadConfig(ShimError):
    """A shim of this configuration is not possible."""


class NoSession(ShimError):
    """There is no session with the host; the message says why."""


class SessionBusy(ShimError):
    """The session cannot be saved: operations of it were not answered."""


class BadPool(ShimError):
    """A pool of these flags is not possible, or one more is not."""


class PoolRefused(ShimError):
    """The host refused to make the pool."""


class UnknownPool(ShimError):
    """The shim has no pool of this id."""


class PageDamaged(ShimError):
    """The host found a stored page damaged, and dropped it."""


class PagesLost(ShimError):
    """The host no longer has this guest's persistent pages."""


class BadSwapArea(ShimError):
    """A swap area of this number cannot be made, or is not there."""


class BadMount(ShimError):
    """A mount of this kind cannot be recorded."""


class NoHooks(ShimError):
    """The hooks are not loaded."""


class BackendBusy(ShimError):
    """Another backend is attached."""


class NotAttached(ShimError):
    """No backend is attached."""


class PagesHeld(ShimError):
    """The backend holds `pages` of swap, and stays."""

    def __init__(self, message: str, *, pages: int) -> None:
        super().__init__(message, errno=errno_names.EBUSY)
        self.pages = pages
