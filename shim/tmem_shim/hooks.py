# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of the hooks (c/hooks) in a process: who is mounted, what is swapped on, and which shim
is the backend. As in the kernel, nobody is told why a page was not kept; the counters say it."""

from __future__ import annotations

import enum
import errno
import os
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmem_shim import errors
from tmem_shim._shim import ffi, lib
from tmem_shim.abi import PAGE_BYTES, Oid
from tmem_shim.handle import Handle
from tmem_shim.pages import oid_words, page_memory

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from tmem_shim._shim import tmem_hooks
    from tmem_shim.shim import Shim

AREAS = lib.TMEM_HOOKS_AREAS


class PoolState(enum.IntEnum):
    """What becomes of the pages of a mount."""

    NONE = lib.TMEM_HOOKS_POOL_NONE
    OPEN = lib.TMEM_HOOKS_POOL_OPEN
    LEAVING = lib.TMEM_HOOKS_POOL_LEAVING


@dataclass(frozen=True, slots=True, kw_only=True)
class MountInfo:
    """A mount. `shared`: the uuid by which it asks for a shared pool. `pool`: the shim's number."""

    id: int
    pool: int | None
    state: PoolState
    shared: uuid.UUID | None
    was_member: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaInfo:
    """A swap area: slots that are kept track of, pages that the backend holds."""

    type: int
    pages: int
    held: int
    taken: bool


class Hooks:
    """A table without mounts, swap areas and backend. Any thread may call any method; what a mount
    or a swap area does stands in c/hooks/hooks.h under the same name."""

    def __init__(self) -> None:
        pointer = lib.tmem_hooks_new()
        if pointer == ffi.NULL:
            raise errors.ShimError("no memory for the hooks", errno=errno.ENOMEM)
        self._handle: Handle[tmem_hooks] = Handle("the hooks", pointer, lib.tmem_hooks_free)
        self._attaching = threading.Lock()
        self._attached: Shim | None = None

    # ---- mounts ---------------------------------------------------------------------------

    def init_fs(self, shared: uuid.UUID | None = None, page_bytes: int = PAGE_BYTES) -> int:
        """The id of a new mount. BadMount."""
        name = ffi.NULL if shared is None else shared.bytes
        with self._handle as hooks:
            code = lib.tmem_hooks_init_fs(hooks, page_bytes, name, 0)
        if code < 0:
            raise errors.BadMount(f"no mount: {os.strerror(-code)}", errno=-code)
        return code

    def invalidate_fs(self, mount: int) -> None:
        """The mount is gone; returns when its pool has been left."""
        with self._handle as hooks:
            lib.tmem_hooks_invalidate_fs(hooks, mount)

    def get_page(self, mount: int, oid: Oid, index: int, into: WriteableBuffer) -> bool:
        """Whether `into` was filled."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with page_memory(ffi, into, writable=True) as memory, self._handle as hooks:
            return lib.tmem_hooks_get_page(hooks, mount, name, index, _page(memory)) == 0

    def put_page(self, mount: int, oid: Oid, index: int, page: ReadableBuffer) -> None:
        """Offers a clean page."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with page_memory(ffi, page, writable=False) as memory, self._handle as hooks:
            lib.tmem_hooks_put_page(hooks, mount, name, index, _page(memory))

    def invalidate_page(self, mount: int, oid: Oid, index: int) -> None:
        """This guest gets the page no more."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with self._handle as hooks:
            lib.tmem_hooks_invalidate_page(hooks, mount, name, index)

    def invalidate_inode(self, mount: int, oid: Oid) -> None:
        """Nobody gets anything older of the object."""
        name = ffi.new("struct tmem_oid *", oid_words(oid))
        with self._handle as hooks:
            lib.tmem_hooks_invalidate_inode(hooks, mount, name)

    # ---- swap areas -----------------------------------------------------------------------

    def area_init(self, area: int, pages: int) -> None:
        """The swap area is there. BadSwapArea."""
        with self._handle as hooks:
            code = lib.tmem_hooks_area_init(hooks, area, pages)
        if code:
            message = f"no swap area {area} of {pages} pages: {os.strerror(-code)}"
            raise errors.BadSwapArea(message, errno=-code)

    def area_gone(self, area: int) -> None:
        """The swap area is gone, with all that was stored of it."""
        with self._handle as hooks:
            lib.tmem_hooks_area_gone(hooks, area)

    def store(self, area: int, offset: int, page: ReadableBuffer) -> bool:
        """Whether the backend has the page (O)."""
        with page_memory(ffi, page, writable=False) as memory, self._handle as hooks:
            return lib.tmem_hooks_store(hooks, area, offset, _page(memory)) == 0

    def load(self, area: int, offset: int, into: WriteableBuffer) -> bool:
        """Fills `into` with what was stored; False: it was not. Waits for a broken channel (P).
        PagesLost."""
        with page_memory(ffi, into, writable=True) as memory, self._handle as hooks:
            code = lib.tmem_hooks_load(hooks, area, offset, _page(memory))
        if code not in (0, -errno.ENOENT):
            message = f"page {offset} of swap area {area} cannot be loaded: {code}"
            raise errors.PagesLost(message, errno=abs(code), index=offset)
        return code == 0

    def invalidate_slot(self, area: int, offset: int) -> None:
        """The slot is free."""
        with self._handle as hooks:
            lib.tmem_hooks_invalidate_slot(hooks, area, offset)

    # ---- backends -------------------------------------------------------------------------

    def attach(self, shim: Shim) -> None:
        """`shim` is the backend from now on. When it is closed, nothing comes of what is called,
        but its memory stays until it is detached. BackendBusy, ClosedError."""
        with self._attaching, self._handle as hooks:
            ops = lib.tmem_shim_backend_ops(shim.hold_backend())
            if lib.tmem_hooks_attach(hooks, ops):
                shim.release_backend()
                raise errors.BackendBusy("another backend is attached", errno=errno.EBUSY)
            self._attached = shim

    def detach(self) -> None:
        """There is no backend any more, once its pools have been left. PagesHeld: of swap; nothing
        has changed. NotAttached."""
        pages = ffi.new("uint64_t *")
        with self._attaching, self._handle as hooks:
            if self._attached is None:
                raise errors.NotAttached("no backend is attached", errno=errno.ENOENT)
            ops = lib.tmem_shim_backend_ops(self._attached.backend)
            if lib.tmem_hooks_detach(hooks, ops, pages):
                message = f"frontswap holds {pages[0]} pages; swapoff brings them home"
                raise errors.PagesHeld(message, pages=pages[0])
            self._attached.release_backend()
            self._attached = None

    def close(self) -> None:
        """The guest is gone, with its mounts and its swap. May be called again."""
        try:
            for area in self.areas():
                self.area_gone(area.type)
            for mount in self.mounts():
                self.invalidate_fs(mount.id)
            if self._attached is not None:
                self.detach()
        except errors.ClosedError:
            return
        self._handle.close()

    # ---- looking at it --------------------------------------------------------------------

    def mounts(self) -> list[MountInfo]:
        """The mounts, in the order in which they came."""
        return list(self._mounts())

    def _mounts(self) -> Iterator[MountInfo]:
        info = ffi.new("struct tmem_hooks_mount_info *")
        with self._handle as hooks:
            while lib.tmem_hooks_mount_info(hooks, info.id, info) == 0:
                name = uuid.UUID(bytes=bytes(ffi.buffer(info.uuid)))
                yield MountInfo(
                    id=info.id,
                    pool=None if info.pool < 0 else info.pool,
                    state=PoolState(info.state),
                    shared=name if info.shared else None,
                    was_member=bool(info.was_member),
                )

    def areas(self) -> list[AreaInfo]:
        """The swap areas."""
        info = ffi.new("struct tmem_hooks_area_info *")
        with self._handle as hooks:
            return [
                AreaInfo(type=area, pages=info.pages, held=info.held, taken=bool(info.taken))
                for area in range(AREAS)
                if lib.tmem_hooks_area_info(hooks, area, info) == 0
            ]

    def counters(self) -> dict[str, int]:
        """The sums since the table was made, in the order of COUNTER_MEANINGS."""
        counters = ffi.new("struct tmem_hooks_counters *")
        with self._handle as hooks:
            lib.tmem_hooks_counters(hooks, counters)
        return {name: getattr(counters, name) for name in COUNTER_MEANINGS}


def _page(memory: Any) -> Any:
    """Memory as what stands for the kernel's struct page."""
    return ffi.cast("struct page *", memory)


# What each counter means, by name, in the order in which they are shown.
COUNTER_MEANINGS: dict[str, str] = {
    bytes(ffi.string(entry.name)).decode(): bytes(ffi.string(entry.meaning)).decode()
    for entry in (lib.tmem_hooks_counter_texts[i] for i in range(lib.tmem_hooks_counter_count))
}
