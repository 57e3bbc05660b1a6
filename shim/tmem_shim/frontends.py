# SPDX-License-Identifier: GPL-2.0-or-later
"""The front ends of Linux on a shim: the calls of cleancache and frontswap, under their names."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from tmem_shim import errors
from tmem_shim._shim import ffi, lib
from tmem_shim.abi import PAGE_BYTES, Oid
from tmem_shim.pages import oid_words, page_memory

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

    from tmem_shim.shim import Shim


class Cleancache:
    """The pool of one mounted file system: shared by all who mount the file system `shared`, or
    private. As in the kernel, nobody is told why a page was not kept."""

    def __init__(self, shim: Shim, shared: uuid.UUID | None = None) -> None:
        with shim.handle as pointer:
            if shared is None:
                code = lib.tmem_cleancache_init_fs(pointer, PAGE_BYTES)
            else:
                code = lib.tmem_cleancache_init_shared_fs(pointer, shared.bytes, PAGE_BYTES)
        if code < 0:
            raise errors.BadPool(f"no pool for the mount: {code}", errno=-code)
        self.pool = shim.pool(code)

    def get_page(self, oid: Oid, index: int, into: WriteableBuffer) -> bool:
        """Whether `into` was filled."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with page_memory(ffi, into, writable=True) as memory, self.pool.shim.handle as shim:
            code = lib.tmem_cleancache_get_page(shim, self.pool.id, name, index, memory)
        return code == lib.TMEM_DONE

    def put_page(self, oid: Oid, index: int, page: ReadableBuffer) -> None:
        """Offers a clean page; does not wait."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with page_memory(ffi, page, writable=False) as memory, self.pool.shim.handle as shim:
            lib.tmem_cleancache_put_page(shim, self.pool.id, name, index, memory)

    def invalidate_page(self, oid: Oid, index: int) -> None:
        """This guest gets the page no more; does not wait."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with self.pool.shim.handle as shim:
            lib.tmem_cleancache_invalidate_page(shim, self.pool.id, name, index)

    def invalidate_inode(self, oid: Oid) -> None:
        """Nobody gets anything older of the object; on a shared pool waits for the host (M)."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with self.pool.shim.handle as shim:
            lib.tmem_cleancache_invalidate_inode(shim, self.pool.id, name)

    def invalidate_fs(self) -> None:
        """The file system is unmounted: the pool goes; on a shared one waits for the host."""
        with self.pool.shim.handle as shim:
            lib.tmem_cleancache_invalidate_fs(shim, self.pool.id)


class SwapArea:
    """Swap area `number` (0 to 31) with up to `pages` slots. A context manager; leaving it
    invalidates the area."""

    def __init__(self, shim: Shim, number: int, pages: int) -> None:
        self.shim = shim
        self.number = number
        size = lib.tmem_frontswap_area_bytes(pages)
        memory = ffi.new("uint64_t[]", max(1, -(-size // 8)))
        with shim.handle as pointer:
            code = lib.tmem_frontswap_init(pointer, number, pages, memory)
        if code != lib.TMEM_DONE:
            raise errors.BadSwapArea(f"no swap area {number}: {code}", errno=abs(code))
        shim.lent[number] = memory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def store(self, offset: int, page: ReadableBuffer) -> bool:
        """Whether the host has the page now (O)."""
        with page_memory(ffi, page, writable=False) as memory, self.shim.handle as shim:
            return lib.tmem_frontswap_store(shim, self.number, offset, memory) == lib.TMEM_DONE

    def load(self, offset: int, into: WriteableBuffer) -> None:
        """Fetches a page that was stored; waits for a broken channel (P). PagesLost."""
        with page_memory(ffi, into, writable=True) as memory, self.shim.handle as shim:
            code = lib.tmem_frontswap_load(shim, self.number, offset, memory)
        if code != lib.TMEM_DONE:
            message = f"page {offset} of swap area {self.number} cannot be loaded: {code}"
            raise errors.PagesLost(message, errno=abs(code), index=offset)

    def invalidate_page(self, offset: int) -> None:
        """The slot is free; does not wait."""
        with self.shim.handle as shim:
            lib.tmem_frontswap_invalidate_page(shim, self.number, offset)

    def invalidate_area(self) -> None:
        """All slots are free."""
        with self.shim.handle as shim:
            lib.tmem_frontswap_invalidate_area(shim, self.number)

    def close(self, timeout_s: float = 10.0) -> None:
        """Invalidates the area, and takes its memory back once nothing of it is owed. BadSwapArea
        if the host has not heard of it in time."""
        self.invalidate_area()
        with self.shim.handle as shim:
            code = lib.tmem_frontswap_forget_area(shim, self.number, int(timeout_s * 1000))
        if code == lib.TMEM_DONE:
            del self.shim.lent[self.number]
        else:
            message = f"flushes of swap area {self.number} are still owed"
            raise errors.BadSwapArea(message, errno=abs(code))
