# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests' shims, their sockets, a server and its engine, together as a system under test.

What guests do goes through a shim of each client; what operators do and see is the engine's.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from uuid import UUID

from tests.engine.engine_system import EngineSystem, rejections
from tests.engine.pages import INDEX_MAX, INDICES
from tests.engine.system import NewPool, Oid, PutAnswer
from tests.system.events import TIMEOUT_S, await_event, forget_events
from tmem_host.native import EndReason, Server
from tmem_shim.abi import OFF, Event, PoolFlags, Put
from tmem_shim.pool import RANGE_MAX, Pool
from tmem_shim.records import Config
from tmem_shim.session import SavedSession
from tmem_shim.shim import Shim

# Every get asks the host, whose counters the machine looks at; nothing is given up on a slow
# machine.
# More pools than all steps of an example could make.
CONFIG = Config(pools=512, ahead_pages=OFF, summary_windows=OFF, get_ms=600_000, silent_ms=600_000)
LAPSE_MS = 48_000

ANSWERS = {
    Put.STORED: PutAnswer.STORED,
    Put.NO_ROOM: PutAnswer.NO_ROOM,
    Put.OVER_LIMIT: PutAnswer.OVER_LIMIT,
    Put.FROZEN: PutAnswer.FROZEN,
    Put.UNAVAILABLE: PutAnswer.UNSERVED,
    Put.DROPPED: PutAnswer.DROPPED,
}

# Where pages of the machine can be: it goes up to some 1,500 pages from each of these.
BEGINNINGS = sorted({index & ~0xFFF for index in (0, *INDICES)})
REACH = 1 << 13


class ShimSystem(EngineSystem):
    """An `EngineSystem` whose guests are at the other end of sockets.

    A client that has not resumed has no session, so nothing operates for it ("absence" is not
    offered). Ids of pools are those of the host.
    """

    def __init__(self, directory: Path, budget_bytes: int, *, squeezable: bool) -> None:
        # Not on the small host: sessions are kept also when its memory is taken.
        self._folder = Path(tempfile.mkdtemp(prefix="tmem-test-", dir="/dev/shm"))
        self._shims: dict[str, Shim] = {}
        self._shim_pools: dict[tuple[str, int], Pool] = {}
        self._saved: dict[str, SavedSession] = {}
        self._channels: dict[str, int] = {}
        super().__init__(directory, budget_bytes, squeezable=squeezable)
        self.offers = (self.offers | {"reconnect"}) - {"absence"}

    def _open(self) -> None:
        super()._open()
        # Nobody is expelled because this machine is slow.
        self._server = Server(
            self._engine, self._folder / "state", workers=1, expel_ms=LAPSE_MS, patience_ms=0
        )
        for client in self._clients:
            self._listen(client)
        self._absent = set(self._clients)

    def _socket(self, client: str) -> Path:
        return self._folder / client

    def _listen(self, client: str) -> None:
        self._channels[client] = self._server.listen(self._socket(client), client=client)

    # ---- clients -------------------------------------------------------------------------

    def create_client(self, client: str) -> None:
        super().create_client(client)
        self._listen(client)
        self._shims[client] = Shim(self._socket(client), config=CONFIG)
        self._shims[client].wait(TIMEOUT_S)

    def destroy_client(self, client: str) -> None:
        self._shims.pop(client).close(orderly=False)
        self._server.end_session(client, EndReason.REMOVED)
        self._server.remove_channel(self._channels.pop(client))
        super().destroy_client(client)
        self._shim_pools = {key: pool for key, pool in self._shim_pools.items() if key[0] != client}

    def resume(self, client: str) -> None:
        """A client that was saved or silenced comes back; for another one nothing happens."""
        if client not in self._absent:
            return
        self._absent.remove(client)
        if client in self._saved:
            saved = self._saved.pop(client)
            shim = Shim(self._socket(client), config=CONFIG, session=saved)
            self._shims[client] = shim
            for pool, kept in zip(shim.pools(), saved.pools, strict=True):
                self._shim_pools[client, kept.host_id] = pool
        self._shims[client].pause(False)
        await_event(self._shims[client], Event.RESUMED)

    # ---- pools ---------------------------------------------------------------------------

    def _shim_pool(self, client: str, pool: int) -> Pool:
        """The shim's pool; one that the shim does not have, where the client has none."""
        found = self._shim_pools.get((client, pool))
        return found or Pool(self._shims[client], 0x7FFF_FFFF)

    def new_pool(
        self, client: str, *, persistent: bool = False, shared: UUID | None = None
    ) -> NewPool:
        with rejections():
            pool = self._shims[client].new_pool(persistent=persistent, shared=shared)
            try:
                info = pool.wait_ready(TIMEOUT_S)
            except Exception:
                pool.destroy()  # else the shim would ask for it again
                raise
        assert info.host_id is not None
        self._shim_pools[client, info.host_id] = pool
        return NewPool(info.host_id, PoolFlags.SHARED in info.flags)

    def destroy_pool(self, client: str, pool: int) -> None:
        with rejections():
            self._shim_pool(client, pool).destroy()
            # Of a private pool nobody waits for the answer; this one comes after it (K).
            self._shims[client].stat()
        del self._shim_pools[client, pool]
        self._pools.pop((client, pool), None)

    def flush_pool(self, client: str, pool: int) -> None:
        with rejections():
            self._shim_pool(client, pool).flush()

    # ---- pages ---------------------------------------------------------------------------

    def put(self, client: str, pool: int, oid: Oid, index: int, page: bytes) -> PutAnswer:
        with rejections():
            return ANSWERS[self._shim_pool(client, pool).put(oid, index, page)]

    def get(self, client: str, pool: int, oid: Oid, index: int) -> bytes | None:
        held = self._shim_pool(client, pool)
        while True:
            unserved = self._server.session(client).unserved_gets
            with rejections():
                answer = held.read(oid, index)
            if self._server.session(client).unserved_gets == unserved:
                return answer
            # A lease lapsed since this machine was busy elsewhere; the model knows no time.
            with rejections():
                assert self._pool(client, pool).info().served, "the model knows of no absence"

    def flush_page(self, client: str, pool: int, oid: Oid, index: int) -> None:
        with rejections():
            self._shim_pool(client, pool).flush_page(oid, index)

    def flush_object(self, client: str, pool: int, oid: Oid) -> None:
        with rejections():
            self._shim_pool(client, pool).flush_object(oid)

    def flush_range(self, client: str, pool: int, oid: Oid, first: int, count: int) -> None:
        with rejections():
            held = self._shim_pool(client, pool)
            if count <= RANGE_MAX or PoolFlags.PERSISTENT not in held.info().flags:
                held.flush_range(oid, first, count)
                return
            # A guest with that many slots flushes the area; here only few can have pages.
            last = min(first + count - 1, INDEX_MAX)
            for beginning in BEGINNINGS:
                low, high = max(first, beginning), min(last, beginning + REACH)
                if low <= high:
                    held.flush_range(oid, low, high - low + 1)

    # ---- end and return --------------------------------------------------------------------

    def reopen(self) -> None:
        """The guests' processes end, too, and leave their sessions to the next ones."""
        for client, shim in self._shims.items():
            self._saved[client] = shim.save(TIMEOUT_S)
        self._shims.clear()
        self._shim_pools.clear()
        super().reopen()

    def crash(self) -> None:
        """The guests live on, and find that nobody answers any more."""
        for shim in self._shims.values():
            shim.pause()
            forget_events(shim)
        shutil.copyfile(self._folder / "state", self._folder / "copy")
        super().crash()

    def _end(self) -> None:
        self._server.close()
        super()._end()
        if (self._folder / "copy").exists():
            (self._folder / "copy").replace(self._folder / "state")

    def reconnect(self, client: str) -> None:
        shim = self._shims[client]
        forget_events(shim)
        shim.break_channel()
        await_event(shim, Event.RESUMED)

    def close(self) -> None:
        for shim in self._shims.values():
            shim.close(orderly=False)
        super().close()
        shutil.rmtree(self._folder)
