# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine (c/engine) as Python objects.

    with Engine("/dev/shm/arena") as engine, engine.create_client("guest") as client:
        pool = client.new_pool(persistent=True)
        pool.put((1, 0, 0), 0, bytes(PAGE_BYTES))

A miss and a refused put are results, everything else is an exception of `errors`. Calls run
without the interpreter's lock and may come from any thread; pages are not copied on the way.
"""

from tmem_host.native.abi import (
    CLIENT_NAME_MAX_BYTES,
    INDEX_MAX,
    PAGE_BYTES,
    POOLS_PER_CLIENT_MAX,
    Encoding,
    Oid,
    PoolFlags,
    Put,
)
from tmem_host.native.arena import check_arena
from tmem_host.native.client import Client
from tmem_host.native.engine import Engine
from tmem_host.native.errors import (
    ArenaError,
    BadClientName,
    BadPoolFlags,
    ClientError,
    ClientExists,
    ClientGone,
    ClosedError,
    DamagedPage,
    FrozenError,
    PoolError,
    TmemError,
    TooManyPools,
    UnknownClient,
    UnknownPool,
)
from tmem_host.native.pool import Pool
from tmem_host.native.records import (
    COUNTER_MEANINGS,
    ArenaReport,
    ClientInfo,
    ClientSettings,
    Counters,
    PoolInfo,
    Recovery,
    ShrinkReport,
    Usage,
)
from tmem_host.native.scrubber import Scrubber

__all__ = [
    "CLIENT_NAME_MAX_BYTES",
    "COUNTER_MEANINGS",
    "INDEX_MAX",
    "PAGE_BYTES",
    "POOLS_PER_CLIENT_MAX",
    "ArenaError",
    "ArenaReport",
    "BadClientName",
    "BadPoolFlags",
    "Client",
    "ClientError",
    "ClientExists",
    "ClientGone",
    "ClientInfo",
    "ClientSettings",
    "ClosedError",
    "Counters",
    "DamagedPage",
    "Encoding",
    "Engine",
    "FrozenError",
    "Oid",
    "Pool",
    "PoolError",
    "PoolFlags",
    "PoolInfo",
    "Put",
    "Recovery",
    "Scrubber",
    "ShrinkReport",
    "TmemError",
    "TooManyPools",
    "UnknownClient",
    "UnknownPool",
    "Usage",
    "check_arena",
]
