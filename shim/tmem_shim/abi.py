# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of c/include/tmem_abi.h and c/shim under Python names."""

import enum
from typing import Final, TypeAlias

from tmem_shim._shim import lib

PAGE_BYTES: Final = lib.TMEM_PAGE_BYTES
INDEX_MAX: Final = 2**64 - 1
# Switches off what a configuration can do without.
OFF: Final = lib.TMEM_SHIM_NONE

# The name of an object in a pool: TMEM_OID_WORDS unsigned 64-bit words.
Oid: TypeAlias = tuple[int, int, int]


class PoolFlags(enum.IntFlag):
    """The flag bits of a pool."""

    PERSISTENT = lib.TMEM_POOL_PERSISTENT
    SHARED = lib.TMEM_POOL_SHARED


class PoolState(enum.IntEnum):
    """How far the shim has come with a pool; c/shim/shim.h explains each."""

    WANTED = lib.TMEM_SHIM_POOL_WANTED
    ASKED = lib.TMEM_SHIM_POOL_ASKED
    READY = lib.TMEM_SHIM_POOL_READY
    STAYS_OUT = lib.TMEM_SHIM_POOL_STAYS_OUT
    REFUSED = lib.TMEM_SHIM_POOL_REFUSED
    LEAVING = lib.TMEM_SHIM_POOL_LEAVING


class State(enum.IntEnum):
    """How far the shim has come with its session."""

    CLOSED = lib.TMEM_SHIM_CLOSED
    HELLO = lib.TMEM_SHIM_HELLO
    START = lib.TMEM_SHIM_START
    RUNNING = lib.TMEM_SHIM_RUNNING
    ENDED = lib.TMEM_SHIM_ENDED


class Event(enum.IntEnum):
    """What the shim tells; c/shim/shim.h explains each, and its code."""

    STARTED = lib.TMEM_SHIM_STARTED
    RESUMED = lib.TMEM_SHIM_RESUMED
    BROKEN = lib.TMEM_SHIM_BROKEN
    REFUSED = lib.TMEM_SHIM_REFUSED
    GAVE_UP = lib.TMEM_SHIM_GAVE_UP
    EXPELLED = lib.TMEM_SHIM_EXPELLED
    LOST = lib.TMEM_SHIM_LOST
    LOAD_WAITS = lib.TMEM_SHIM_LOAD_WAITS
    BAD_MESSAGE = lib.TMEM_SHIM_BAD_MESSAGE
    DOWNGRADED = lib.TMEM_SHIM_DOWNGRADED


class Put(enum.IntEnum):
    """What became of a put. Only STORED is true; after a refusal no copy of the handle is left."""

    STORED = lib.TMEM_DONE
    NO_ROOM = lib.TMEM_ENOMEM
    OVER_LIMIT = lib.TMEM_EDQUOT
    FROZEN = lib.TMEM_EFROZEN
    # The shared pool is not served now, there is no session, or the shim's queue is full.
    UNAVAILABLE = lib.TMEM_EAGAIN
    DROPPED = lib.TMEM_ENOSPC  # refused over an existing page, which is gone (rule 4)

    def __bool__(self) -> bool:
        return self is Put.STORED
