# SPDX-License-Identifier: GPL-2.0-or-later
"""The numbers of c/include/tmem_abi.h and c/engine/engine.h under Python names."""

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
