# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of the C headers (tmem_abi.h, engine.h, server.h) under Python names."""

import enum
from typing import Final, TypeAlias

from tmem_host.native._engine import lib

PAGE_BYTES: Final = lib.TMEM_PAGE_BYTES
POOLS_PER_CLIENT_MAX: Final = lib.TMEM_POOLS_PER_CLIENT_MAX
CLIENT_NAME_MAX_BYTES: Final = lib.TMEM_CLIENT_NAME_MAX
INDEX_MAX: Final = 2**64 - 1

# The name of an object in a pool: TMEM_OID_WORDS unsigned 64-bit words.
Oid: TypeAlias = tuple[int, int, int]


class PoolFlags(enum.IntFlag):
    """The flag bits of a pool as it was granted."""

    PERSISTENT = lib.TMEM_POOL_PERSISTENT
    SHARED = lib.TMEM_POOL_SHARED


class Encoding(enum.IntEnum):
    """How a client's pages are kept; same-filled pages are recognised whatever is chosen."""

    RAW = lib.TMEM_ENCODING_RAW
    SAME = lib.TMEM_ENCODING_SAME
    LZ4 = lib.TMEM_ENCODING_LZ4
    ZSTD = lib.TMEM_ENCODING_ZSTD


class Put(enum.IntEnum):
    """What became of a put. Only STORED is true; after a refusal no copy of the handle is left."""

    STORED = lib.TMEM_DONE
    NO_ROOM = lib.TMEM_ENOMEM
    OVER_LIMIT = lib.TMEM_EDQUOT
    FROZEN = lib.TMEM_EFROZEN
    UNSERVED = lib.TMEM_EAGAIN
    DROPPED = lib.TMEM_ENOSPC  # refused over an existing page, which is gone (rule 4)

    def __bool__(self) -> bool:
        return self is Put.STORED


class SessionState(enum.IntEnum):
    """What has become of a client's session."""

    NONE = lib.TMEM_SESSION_NONE
    ACTIVE = lib.TMEM_SESSION_ACTIVE
    AWAITED = lib.TMEM_SESSION_AWAITED
    EXPELLED = lib.TMEM_SESSION_EXPELLED


class EndReason(enum.IntEnum):
    """Why the host ends a session; the guest is told."""

    RESET = lib.TMEM_ECONNRESET  # it was reset, crashed or died
    REWOUND = lib.TMEM_ESTALE  # it was put back to an earlier moment (R-e)
    PAGES_LOST = lib.TMEM_EUCLEAN  # waiting loads learn it (P)
    REMOVED = lib.TMEM_ENODEV


class EventKind(enum.IntEnum):
    """What happened; `code` and `detail` of the event say more."""

    CONNECTED = lib.TMEM_EVENT_CONNECTED
    DISCONNECTED = lib.TMEM_EVENT_DISCONNECTED
    REFUSED_PEER = lib.TMEM_EVENT_REFUSED_PEER
    SESSION_STARTED = lib.TMEM_EVENT_SESSION_STARTED
    SESSION_RESUMED = lib.TMEM_EVENT_SESSION_RESUMED
    SESSION_ENDED = lib.TMEM_EVENT_SESSION_ENDED
    EXPELLED = lib.TMEM_EVENT_EXPELLED
    BAD_INPUT = lib.TMEM_EVENT_BAD_INPUT
    POOL_SERVED = lib.TMEM_EVENT_POOL_SERVED
    POOL_UNSERVED = lib.TMEM_EVENT_POOL_UNSERVED
    LOST = lib.TMEM_EVENT_LOST
