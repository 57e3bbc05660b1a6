# SPDX-License-Identifier: GPL-2.0-or-later
"""One client's pool, and the pages in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tmem_host.native._engine import ffi, lib
from tmem_host.native.abi import PAGE_BYTES, Oid, Put
from tmem_host.native.buffers import oid_struct, readable_page, writable_page
from tmem_host.native.errors import DamagedPage, PoolError
from tmem_host.native.records import Counters, PoolInfo, record

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from tmem_host.native.client import Client

_PUT_RESULTS = {int(result): result for result in Put}


class Pool:
    """The pool `id` of `client`. A cheap name: making or dropping one does nothing to the pool.

    `granted_shared` tells whether the pool is a shared one; a shared request may be answered with
    a private pool (guarantee I).

    Every method raises UnknownPool when the pool is not there, ClientGone when the client was
    destroyed, ClosedError when the reference to it was closed. An oid is three words and an index
    one, all unsigned 64-bit: OverflowError for what does not fit.
    """

    __slots__ = ("client", "granted_shared", "id")

    def __init__(self, client: Client, pool_id: int, *, granted_shared: bool) -> None:
        self.client = client
        self.id = pool_id
        self.granted_shared = granted_shared

    def __repr__(self) -> str:
        return f"<Pool {self.id} of client {self.client.name!r}>"

    # ---- pages ---------------------------------------------------------------------------

    def put(self, oid: Oid, index: int, page: ReadableBuffer) -> Put:
        """Stores the PAGE_BYTES bytes of `page`, which are read in place.

        A refusal is a result, and leaves no older copy readable (guarantee B). ValueError for a
        buffer of another size or not in one piece.
        """
        name = oid_struct(oid)
        with readable_page(page) as memory, self.client.handle as client:
            code = lib.tmem_put(client, self.id, name, index, memory)
        result = _PUT_RESULTS.get(code)
        if result is None:
            raise self._failed(code, "put", oid, index)
        return result

    def get(self, oid: Oid, index: int, into: WriteableBuffer) -> bool:
        """Fetches a page into `into`, PAGE_BYTES writable bytes: True for a hit, False for a miss.

        A miss leaves `into` as it was (rule 14). A hit on a private ephemeral pool removes the
        page (guarantee D). DamagedPage if a persistent page is lost; `into` may be in pieces then.
        """
        name = oid_struct(oid)
        with writable_page(into) as memory, self.client.handle as client:
            code = lib.tmem_get(client, self.id, name, index, memory)
        if code == lib.TMEM_DONE:
            return True
        if code in (lib.TMEM_MISS, lib.TMEM_EEMPTY):
            return False
        raise self._failed(code, "get", oid, index)

    def read(self, oid: Oid, index: int) -> bytes | None:
        """The page as bytes, or None for a miss; otherwise like get(), at the cost of a copy."""
        page = bytearray(PAGE_BYTES)
        return bytes(page) if self.get(oid, index, page) else None

    def flush_page(self, oid: Oid, index: int) -> None:
        """Removes one page, if it is there (rule 9)."""
        name = oid_struct(oid)
        with self.client.handle as client:
            code = lib.tmem_flush_page(client, self.id, name, index)
        self._done(code, "flush page", oid, index)

    def flush_object(self, oid: Oid) -> None:
        """Removes every page of an object (rule 10)."""
        name = oid_struct(oid)
        with self.client.handle as client:
            code = lib.tmem_flush_object(client, self.id, name)
        self._done(code, "flush object", oid)

    def flush_range(self, oid: Oid, first: int, count: int) -> None:
        """Removes the pages `first` to `first + count - 1`, cut at the largest index."""
        name = oid_struct(oid)
        with self.client.handle as client:
            code = lib.tmem_flush_range(client, self.id, name, first, count)
        self._done(code, "flush range", oid, first)

    # ---- the pool itself -----------------------------------------------------------------

    def flush(self) -> None:
        """Removes every page of the pool, for all its members."""
        with self.client.handle as client:
            code = lib.tmem_pool_flush(client, self.id)
        self._done(code, "flush pool")

    def destroy(self) -> bool:
        """Destroys a private pool, leaves a shared one, which empties it for everybody (R(1)).

        False if there was no such pool.
        """
        with self.client.handle as client:
            code = lib.tmem_pool_destroy(client, self.id)
        if code == lib.TMEM_MISS:
            return False
        self._done(code, "destroy pool")
        return True

    def serve_empty(self) -> None:
        """Serves a recovered shared pool whose absent members will not come back; empties it."""
        with self.client.handle as client:
            code = lib.tmem_pool_serve_empty(client, self.id)
        self._done(code, "serve empty")

    def info(self) -> PoolInfo:
        """The pool as it is now."""
        info = ffi.new("struct tmem_pool_info *")
        with self.client.handle as client:
            code = lib.tmem_pool_info(client, self.id, info)
        if code:
            raise self._failed(code, "pool info")
        return record(PoolInfo, info)

    def counters(self) -> Counters:
        """The counters of the pool as this client uses it."""
        counters = ffi.new("struct tmem_counters *")
        with self.client.handle as client:
            code = lib.tmem_pool_counters(client, self.id, counters)
        if code:
            raise self._failed(code, "pool counters")
        return record(Counters, counters)

    # ---- errors --------------------------------------------------------------------------

    def _done(
        self, code: int, operation: str, oid: Oid | None = None, index: int | None = None
    ) -> None:
        if code != lib.TMEM_DONE:
            raise self._failed(code, operation, oid, index)

    def _failed(
        self, code: int, operation: str, oid: Oid | None = None, index: int | None = None
    ) -> Exception:
        """The exception for `code`, which no result stands for."""
        if code == lib.TMEM_ENODEV:
            return self.client.no_such_pool(self.id, oid, index)
        if code == lib.TMEM_EIO:
            return DamagedPage(
                f"page {index} of object {oid} in pool {self.id} was damaged and is lost",
                errno=-code,
                client=self.client.name,
                pool=self.id,
                oid=oid,
                index=index,
            )
        return PoolError(
            f"{operation} in pool {self.id} failed with {code}",
            errno=abs(code),
            client=self.client.name,
            pool=self.id,
            oid=oid,
            index=index,
        )
