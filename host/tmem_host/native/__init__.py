# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine (c/engine) and the server (c/server) as Python objects.

    with Engine("/dev/shm/arena") as engine, engine.create_client("guest") as client:
        pool = client.new_pool(persistent=True)
        pool.put((1, 0, 0), 0, bytes(PAGE_BYTES))

    with Engine("/dev/shm/arena") as engine, Server(engine, "/dev/shm/arena.state") as server:
        server.listen("/run/tmem/guest", client="guest")

A miss and a refused put are results, everything else is an exception of `errors`. Calls run
without the interpreter's lock and may come from any thread; pages are not copied on the way.
"""

from tmem_host.native.abi import (
    CLIENT_NAME_MAX_BYTES,
    INDEX_MAX,
    PAGE_BYTES,
    POOLS_PER_CLIENT_MAX,
    Encoding,
    EndReason,
    EventKind,
    Oid,
    PoolFlags,
    Put,
    SessionState,
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
    NoSession,
    PoolError,
    ServerError,
    TmemError,
    TooManyPools,
    TraceError,
    UnknownChannel,
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
    Event,
    PoolInfo,
    Recovery,
    ReplayReport,
    SessionInfo,
    ShrinkReport,
    TraceStatus,
    Usage,
)
from tmem_host.native.scrubber import Scrubber
from tmem_host.native.server import Server
from tmem_host.native.trace import Operation, Trace, TraceClient, TraceOp

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
    "EndReason",
    "Engine",
    "Event",
    "EventKind",
    "FrozenError",
    "NoSession",
    "Oid",
    "Operation",
    "Pool",
    "PoolError",
    "PoolFlags",
    "PoolInfo",
    "Put",
    "Recovery",
    "ReplayReport",
    "Scrubber",
    "Server",
    "ServerError",
    "SessionInfo",
    "SessionState",
    "ShrinkReport",
    "TmemError",
    "TooManyPools",
    "Trace",
    "TraceClient",
    "TraceError",
    "TraceOp",
    "TraceStatus",
    "UnknownChannel",
    "UnknownClient",
    "UnknownPool",
    "Usage",
    "check_arena",
]
