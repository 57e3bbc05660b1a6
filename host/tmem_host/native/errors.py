# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong in engine and server, as exceptions. A miss and a refused put are results
instead."""

from tmem_shim.errors import ClosedError, TmemError

__all__ = [
    "ArenaError",
    "BadClientName",
    "BadPoolFlags",
    "ClientError",
    "ClientExists",
    "ClientGone",
    "ClosedError",
    "DamagedPage",
    "FrozenError",
    "NoSession",
    "PoolError",
    "ServerError",
    "TmemError",
    "TooManyPools",
    "TraceError",
    "UnknownChannel",
    "UnknownClient",
    "UnknownPool",
]


class ArenaError(TmemError):
    """An arena could not be opened, checked or resized. `path` is its file."""

    def __init__(self, message: str, *, errno: int, path: str) -> None:
        super().__init__(message, errno=errno)
        self.path = path


class ServerError(TmemError):
    """A server could not be started, or a channel not be made."""


class UnknownChannel(ServerError):
    """There is no channel of this number."""


class TraceError(TmemError):
    """A trace could not be recorded, read or replayed."""


class ClientError(TmemError):
    """A call about a client failed."""


class ClientExists(ClientError):
    """A client of this name exists."""


class UnknownClient(ClientError):
    """No client has this name."""


class NoSession(ClientError):
    """The server knows no such client, or the client has no session."""


class ClientGone(ClientError):
    """The client was destroyed; this reference to it is all that is left."""


class BadClientName(ClientError):
    """The name is empty, too long, or cannot be a name at all."""


class PoolError(TmemError):
    """A call about a pool failed."""


class UnknownPool(PoolError):
    """The client has no pool of this id."""


class BadPoolFlags(PoolError):
    """The flags of a new pool were refused (rules 23, 24); nothing was made."""


class TooManyPools(PoolError):
    """The client holds as many pools as it may."""


class FrozenError(PoolError):
    """A frozen client asked for a new pool."""


class DamagedPage(TmemError):
    """A persistent page failed its check; it was dropped and is lost."""
