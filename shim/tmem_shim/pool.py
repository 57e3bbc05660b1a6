# SPDX-License-Identifier: GPL-2.0-or-later
"""One pool of a shim, and the pages in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tmem_shim import errors
from tmem_shim._shim import ffi, lib
from tmem_shim.abi import Oid, Put
from tmem_shim.pages import PAGE_BYTES, oid_words, page_memory
from tmem_shim.records import PoolInfo, record

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from tmem_shim._shim import Array
    from tmem_shim.shim import Shim

_PUT_RESULTS = {int(result): result for result in Put}
DEPTH_MAX: Final = 256
# Pages that one message can flush.
RANGE_MAX: Final = lib.TMEM_WIRE_RANGE_MAX


class Pool:
    """The pool `id` of `shim`. A cheap name: making or dropping one does nothing to the pool.

    Every method raises UnknownPool when the pool is not there and ClosedError when the shim was
    closed. An oid is three words and an index one, all unsigned 64-bit: OverflowError for what does
    not fit.
    """

    __slots__ = ("id", "shim")

    def __init__(self, shim: Shim, pool_id: int) -> None:
        self.shim = shim
        self.id = pool_id

    def __repr__(self) -> str:
        return f"<Pool {self.id} of {self.shim!r}>"

    # ---- pages ---------------------------------------------------------------------------

    def put(self, oid: Oid, index: int, page: ReadableBuffer) -> Put:
        """Puts and waits for the host's answer. A refusal is a result, and leaves no older copy
        readable (guarantee B). ValueError unless `page` is PAGE_BYTES bytes in one piece."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with page_memory(ffi, page, writable=False) as memory, self.shim.handle as shim:
            code = lib.tmem_shim_put_wait(shim, self.id, name, index, memory)
        return self._put_result(code, "put")

    def queue(self, oid: Oid, index: int, page: ReadableBuffer) -> bool:
        """Puts without waiting (L): whether it was queued. If not, no older copy is readable. Not
        for persistent pools, whose pages must not be lost."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with page_memory(ffi, page, writable=False) as memory, self.shim.handle as shim:
            code = lib.tmem_shim_put(shim, self.id, name, index, memory)
        return bool(self._put_result(code, "put"))

    def get(self, oid: Oid, index: int, into: WriteableBuffer) -> bool:
        """Fetches a page into `into`, PAGE_BYTES writable bytes: True for a hit, False for a miss,
        after which `into` may hold part of a page. On a persistent pool it waits for the host,
        however long (P). PageDamaged, PagesLost."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with page_memory(ffi, into, writable=True) as memory, self.shim.handle as shim:
            code = lib.tmem_shim_get(shim, self.id, name, index, memory)
        return self._hit(code, oid, index)

    def read(self, oid: Oid, index: int) -> bytes | None:
        """The page as bytes, or None for a miss; otherwise like get(), at the cost of a copy."""
        page = bytearray(PAGE_BYTES)
        return bytes(page) if self.get(oid, index, page) else None

    def put_run(
        self, oid: Oid, first: int, count: int, pages: ReadableBuffer, *, depth: int = 64
    ) -> list[Put]:
        """Puts `count` pages from `first` on, up to `depth` of them at once, and waits for all."""
        with page_memory(ffi, pages, writable=False, count=count) as memory:
            results = self._run(
                lib.TMEM_OP_PUT_PAGE, oid, range(first, first + count), memory, depth
            )
        return [self._put_result(code, "put") for code in results]

    def get_run(
        self, oid: Oid, first: int, count: int, into: WriteableBuffer, *, depth: int = 64
    ) -> list[bool]:
        """Gets `count` pages from `first` on, up to `depth` of them at once: which were hits."""
        with page_memory(ffi, into, writable=True, count=count) as memory:
            results = self._run(
                lib.TMEM_OP_GET_PAGE, oid, range(first, first + count), memory, depth
            )
        return [self._hit(code, oid, first + i) for i, code in enumerate(results)]

    def _run(self, op: int, oid: Oid, indices: range, memory: Array[int], depth: int) -> list[int]:
        if not 1 <= depth <= DEPTH_MAX:
            raise ValueError(f"{depth} at once: there can be 1 to {DEPTH_MAX}")
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        count = len(indices)
        results = ffi.new("int32_t[]", count)
        with self.shim.handle as shim:
            lib.tmem_transport_run(
                shim, op, self.id, name, indices.start, count, depth, memory, results
            )
        return [results[i] for i in range(count)]

    # ---- flushes -------------------------------------------------------------------------

    def flush_page(self, oid: Oid, index: int, *, wait: bool = True) -> None:
        """Removes a page. Without `wait` only this guest is sure of it when it returns (N)."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with self.shim.handle as shim:
            if wait:
                code = lib.tmem_shim_flush_page_wait(shim, self.id, name, index)
            else:
                code = lib.tmem_shim_flush_page(shim, self.id, name, index)
        self._done(code, "flush page")

    def flush_object(self, oid: Oid, *, wait: bool = True) -> None:
        """Removes every page of an object; `wait` as above."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with self.shim.handle as shim:
            if wait:
                code = lib.tmem_shim_flush_object_wait(shim, self.id, name)
            else:
                code = lib.tmem_shim_flush_object(shim, self.id, name)
        self._done(code, "flush object")

    def flush_range(self, oid: Oid, first: int, count: int) -> None:
        """Removes the pages `first` to `first + count - 1`, cut at the largest index; waits. Of a
        persistent pool at most RANGE_MAX at once: ShimError with EINVAL for more."""
        if count:
            self._flush(lib.TMEM_OP_FLUSH_RANGE, oid, first, count, "flush range")

    def flush(self) -> None:
        """Removes every page of the pool, for all its members; waits."""
        self._flush(lib.TMEM_OP_FLUSH_POOL, (0, 0, 0), 0, 0, "flush pool")

    def _flush(self, op: int, oid: Oid, first: int, count: int, what: str) -> None:
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with self.shim.handle as shim:
            code = lib.tmem_transport_flush(shim, op, self.id, name, first, count)
        self._done(code, what)

    # ---- the pool itself -----------------------------------------------------------------

    def wait_ready(self, timeout_s: float = 10.0) -> PoolInfo:
        """Waits until the host has made the pool. PoolRefused with the host's refusal as errno;
        NoSession if it has not answered in time."""
        with self.shim.handle as shim:
            code = lib.tmem_shim_pool_wait(shim, self.id, int(timeout_s * 1000))
        if code == lib.TMEM_ETIMEDOUT:
            raise self.shim.no_session("the host has not made the pool")
        if code == lib.TMEM_ENODEV:
            raise self._failed(code, "pool wait")
        if code != lib.TMEM_DONE:
            message = f"the host refused pool {self.id} with {code}"
            raise errors.PoolRefused(message, errno=-code, pool=self.id)
        return self.info()

    def info(self) -> PoolInfo:
        """The pool as it is now."""
        info = ffi.new("struct tmem_shim_pool_info *")
        with self.shim.handle as shim:
            code = lib.tmem_shim_pool_info(shim, self.id, info)
        if code:
            raise self._failed(code, "pool info")
        return record(PoolInfo, info)

    def exists(self) -> bool:
        """Whether the shim has the pool (it may be leaving it)."""
        info = ffi.new("struct tmem_shim_pool_info *")
        with self.shim.handle as shim:
            return lib.tmem_shim_pool_info(shim, self.id, info) == 0

    def destroy(self) -> None:
        """Destroys a private pool or leaves a shared one, and waits for that (S2)."""
        with self.shim.handle as shim:
            code = lib.tmem_shim_destroy_pool(shim, self.id)
        self._done(code, "destroy pool")

    # ---- errors --------------------------------------------------------------------------

    def _put_result(self, code: int, operation: str) -> Put:
        result = _PUT_RESULTS.get(code)
        if result is None:
            raise self._failed(code, operation)
        return result

    def _hit(self, code: int, oid: Oid, index: int) -> bool:
        if code == lib.TMEM_DONE:
            return True
        if code in (lib.TMEM_MISS, lib.TMEM_EEMPTY):
            return False
        if code == lib.TMEM_EIO:
            message = f"page {index} of object {oid} in pool {self.id} was damaged and is lost"
            raise errors.PageDamaged(message, errno=-code, pool=self.id, oid=oid, index=index)
        raise self._failed(code, "get")

    def _done(self, code: int, operation: str) -> None:
        if code != lib.TMEM_DONE:
            raise self._failed(code, operation)

    def _failed(self, code: int, operation: str) -> errors.ShimError:
        """The exception for `code`, which no result stands for."""
        if code == lib.TMEM_ENODEV:
            return errors.UnknownPool(f"there is no pool {self.id}", errno=-code, pool=self.id)
        if code == lib.TMEM_EUCLEAN:
            message = "the host no longer has this guest's persistent pages"
            return errors.PagesLost(message, errno=-code, pool=self.id)
        message = f"{operation} in pool {self.id} failed with {code}"
        return errors.ShimError(message, errno=abs(code), pool=self.id)
