# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine, through its Python face, as a system under test."""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from tests.engine.arenas import EXTENT_BYTES, allocated_bytes, copy_arena, take_memory
from tests.engine.system import (
    ClientView,
    HostView,
    NewPool,
    Oid,
    PoolView,
    PutAnswer,
    RejectedError,
    Settings,
    Shrunk,
)
from tmem_host.native import (
    PAGE_BYTES,
    Client,
    Encoding,
    Engine,
    Pool,
    PoolFlags,
    ShrinkReport,
    TmemError,
)

MAX_BYTES = 8 << 20  # of an arena: small, so that copying it is quick


@contextmanager
def rejections() -> Iterator[None]:
    """Turns the face's exceptions into the one that the state machine knows."""
    try:
        yield
    except TmemError as error:
        raise RejectedError(error.errno) from error


def shrunk(report: ShrinkReport) -> Shrunk:
    return Shrunk(**dataclasses.asdict(report))


class EngineSystem:
    """An engine over an arena in `directory`; with `squeezable`, that is all of a small host."""

    def __init__(self, directory: Path, budget_bytes: int, *, squeezable: bool) -> None:
        self.offers = frozenset({"absence", "crash", *(["squeeze"] if squeezable else [])})
        self._directory = directory
        self._lives = 0  # of arenas, for their names
        self._path = directory / "arena-0"
        self._budget_bytes = budget_bytes
        self._ballast: Path | None = None
        self._page = bytearray(PAGE_BYTES)
        self._open()

    def _open(self) -> None:
        self._engine = Engine(
            self._path,
            budget_bytes=self._budget_bytes,
            max_bytes=MAX_BYTES,
            extent_bytes=EXTENT_BYTES,
        )
        self._clients: dict[str, Client] = {
            client.name: client for client in self._engine.clients()
        }
        self._pools: dict[tuple[str, int], Pool] = {}

    def _pool(self, client: str, pool: int) -> Pool:
        """The handle of a pool, kept: most calls use one that was used before."""
        handle = self._pools.get((client, pool))
        if handle is None:
            handle = self._clients[client].pool(pool)
            self._pools[client, pool] = handle
        return handle

    # ---- clients ---------------------------------------------------------------------------

    def create_client(self, client: str) -> None:
        with rejections():
            self._clients[client] = self._engine.create_client(client)

    def destroy_client(self, client: str) -> None:
        with rejections():
            self._clients[client].destroy()
        self._clients.pop(client).close()
        self._pools = {key: pool for key, pool in self._pools.items() if key[0] != client}

    def resume(self, client: str) -> None:
        with rejections():
            self._clients[client].resume()

    def set(self, client: str, changes: Mapping[str, object]) -> None:
        values = dict(changes)
        if "encoding" in values:
            values["encoding"] = Encoding[str(values["encoding"])]
        with rejections():
            self._clients[client].set(**values)  # type: ignore[arg-type]

    def auth_add(self, client: str, uuid: UUID) -> None:
        with rejections():
            if not self._clients[client].auth_add(uuid):
                raise RejectedError(errno.EEXIST)

    def auth_remove(self, client: str, uuid: UUID) -> None:
        with rejections():
            if not self._clients[client].auth_remove(uuid):
                raise RejectedError(errno.ENOENT)

    def auth_all(self, allow: bool) -> None:
        self._engine.shared_auth_all = allow

    def reclaim(self, client: str, bytes_: int) -> int:
        with rejections():
            return self._clients[client].reclaim(bytes_)

    # ---- pools -----------------------------------------------------------------------------

    def new_pool(
        self, client: str, *, persistent: bool = False, shared: UUID | None = None
    ) -> NewPool:
        with rejections():
            pool = self._clients[client].new_pool(persistent=persistent, shared=shared)
        self._pools[client, pool.id] = pool
        return NewPool(pool.id, pool.granted_shared)

    def destroy_pool(self, client: str, pool: int) -> None:
        with rejections():
            self._pool(client, pool).destroy()
        del self._pools[client, pool]

    def flush_pool(self, client: str, pool: int) -> None:
        with rejections():
            self._pool(client, pool).flush()

    def serve_empty(self, client: str, pool: int) -> None:
        with rejections():
            self._pool(client, pool).serve_empty()

    # ---- pages -----------------------------------------------------------------------------

    def put(self, client: str, pool: int, oid: Oid, index: int, page: bytes) -> PutAnswer:
        with rejections():
            return PutAnswer[self._pool(client, pool).put(oid, index, page).name]

    def get(self, client: str, pool: int, oid: Oid, index: int) -> bytes | None:
        with rejections():
            if self._pool(client, pool).get(oid, index, self._page):
                return bytes(self._page)
        return None

    def flush_page(self, client: str, pool: int, oid: Oid, index: int) -> None:
        with rejections():
            self._pool(client, pool).flush_page(oid, index)

    def flush_object(self, client: str, pool: int, oid: Oid) -> None:
        with rejections():
            self._pool(client, pool).flush_object(oid)

    def flush_range(self, client: str, pool: int, oid: Oid, first: int, count: int) -> None:
        with rejections():
            self._pool(client, pool).flush_range(oid, first, count)

    # ---- the host --------------------------------------------------------------------------

    def set_budget(self, bytes_: int) -> Shrunk:
        report = self._engine.set_budget(bytes_)
        self._budget_bytes = bytes_
        return shrunk(report)

    def shrink(self, bytes_: int) -> Shrunk:
        return shrunk(self._engine.shrink(bytes_))

    def scrub(self, max_pages: int) -> int:
        return self._engine.scrub(max_pages)

    def set_admission(self, name: str) -> None:
        self._engine.set_policy(admission=name)

    def squeeze(self, taken: bool) -> None:
        if taken and self._ballast is None:
            self._ballast = take_memory(self._directory)
        elif not taken and self._ballast is not None:
            self._ballast.unlink()
            self._ballast = None

    # ---- views -----------------------------------------------------------------------------

    def counters(self, client: str | None = None) -> dict[str, int]:
        source = self._engine if client is None else self._clients[client]
        counters = source.counters()
        return {name: getattr(counters, name) for name in counters.__slots__}

    def client_view(self, client: str) -> ClientView:
        held = self._clients[client]
        info = held.info()
        pools = frozenset(pool.id for pool in held.pools())
        if len(pools) != info.pools:
            raise AssertionError(f"{client} lists {pools} and counts {info.pools} pools")
        settings = info.settings
        return ClientView(
            pools=pools,
            auth=frozenset(held.auth_list()),
            settings=Settings(
                weight=settings.weight,
                trust_group=settings.trust_group,
                cap_bytes=settings.cap_bytes,
                persistent_quota_bytes=settings.persistent_quota_bytes,
                encoding=settings.encoding.name,
                dedup=settings.dedup,
                frozen=settings.frozen,
            ),
            ephemeral_pages=info.ephemeral_pages,
            persistent_pages=info.persistent_pages,
            ephemeral_bytes=info.ephemeral_bytes,
            persistent_bytes=info.persistent_bytes,
            resumed=info.resumed,
        )

    def pool_view(self, client: str, pool: int) -> PoolView:
        with rejections():
            info = self._pool(client, pool).info()
        owners = [other.name for other in self._clients.values() if other.uid == info.owner]
        return PoolView(
            persistent=PoolFlags.PERSISTENT in info.flags,
            shared=PoolFlags.SHARED in info.flags,
            uuid=info.uuid,
            members=info.members,
            owner=owners[0] if owners else f"nobody: uid {info.owner}",
            served=info.served,
            pages=info.pages,
            bytes=info.bytes,
        )

    def host_view(self) -> HostView:
        usage = self._engine.usage()
        found = self._engine.recovery()
        return HostView(
            budget_bytes=usage.budget_bytes,
            extent_bytes=usage.extent_bytes,
            resident_bytes=usage.resident_bytes,
            idle_bytes=usage.idle_bytes,
            freeable_bytes=usage.freeable_bytes,
            file_bytes=allocated_bytes(self._path),
            ephemeral_pages=usage.ephemeral_pages,
            persistent_pages=usage.persistent_pages,
            objects=usage.objects,
            clients=usage.clients,
            pools=usage.pools,
            shared_pools=usage.shared_pools,
            unserved_pools=usage.unserved_pools,
            damaged=found.damaged_records
            + found.damaged_rows
            + found.damaged_extents
            + found.scrub_damaged_pages
            + self._engine.counters().damaged,
        )

    # ---- end and return --------------------------------------------------------------------

    def _end(self) -> None:
        self._engine.close()

    def reopen(self) -> None:
        self._end()
        self._open()

    def crash(self) -> None:
        """Leaves the file as it is at this moment to a new engine: this one never closes it."""
        self._lives += 1
        copy = self._directory / f"arena-{self._lives}"
        copy_arena(self._path, copy)
        self._end()
        os.unlink(self._path)
        self._path = copy
        self._open()

    def reconnect(self, client: str) -> None:
        raise NotImplementedError("there is no channel between the engine and its caller")

    def close(self) -> None:
        self.squeeze(False)
        self._end()
        self._path.unlink()
