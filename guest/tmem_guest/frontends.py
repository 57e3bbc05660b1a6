# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest's front ends in user space: what Linux does around the module tmem_hooks, call by call,
on the same table (c/hooks) and with a shim as the backend.

    kernel = FrontEnds()
    mount = kernel.mount()      # neither hooks nor a backend: puts do nothing and gets miss
    kernel.load_hooks()
    kernel.attach(shim)         # now the mount has a pool

Mounts and swap areas that are there before the hooks are told to them when they come, which happens
once; a backend comes and goes. Any thread may call anything; a mount or a swap area belongs to one
at a time.
"""

from __future__ import annotations

import errno
import threading
import uuid
from typing import TYPE_CHECKING

from tmem_shim import errors
from tmem_shim.abi import PAGE_BYTES, Oid
from tmem_shim.hooks import Hooks

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from tmem_shim.shim import Shim


class FrontEnds:
    """cleancache and frontswap of one guest, with nothing mounted and no swap."""

    def __init__(self) -> None:
        self.hooks: Hooks | None = None
        self._lock = threading.Lock()
        self._mounts: list[Mount] = []
        self._areas: dict[int, SwapArea] = {}

    def load_hooks(self) -> None:
        """The module tmem_hooks is loaded, for good; it hears of every mount and swap area."""
        with self._lock:
            if self.hooks is not None:
                raise errors.ShimError("the hooks are loaded", errno=errno.EEXIST)
            self.hooks = Hooks()
            for area in self._areas.values():
                self.hooks.area_init(area.number, area.pages)
            for mount in self._mounts:
                mount.id = self.hooks.init_fs(mount.shared)

    def attach(self, shim: Shim) -> None:
        """The backend is there. NoHooks, BackendBusy."""
        self._loaded().attach(shim)

    def detach(self) -> None:
        """The backend goes. NoHooks, NotAttached, PagesHeld."""
        self._loaded().detach()

    def _loaded(self) -> Hooks:
        if self.hooks is None:
            raise errors.NoHooks("the hooks are not loaded", errno=errno.ENODEV)
        return self.hooks

    def mount(self, shared: uuid.UUID | None = None) -> Mount:
        """Mounts a file system: one that shares its pool by a uuid, or one of its own."""
        mount = Mount(self, shared)
        with self._lock:
            if self.hooks is not None:
                mount.id = self.hooks.init_fs(shared)
            self._mounts.append(mount)
        return mount

    def swapon(self, number: int, pages: int) -> SwapArea:
        """Swap area `number` with `pages` slots. BadSwapArea."""
        area = SwapArea(self, number, pages)
        with self._lock:
            if number in self._areas:
                raise errors.BadSwapArea(f"swap area {number} is there", errno=errno.EBUSY)
            if self.hooks is not None:
                self.hooks.area_init(number, pages)
            self._areas[number] = area
        return area

    def forget(self, gone: Mount | SwapArea) -> None:
        """What is gone is no longer told to hooks that come."""
        with self._lock:
            if isinstance(gone, Mount):
                self._mounts.remove(gone)
            else:
                del self._areas[gone.number]

    def close(self) -> None:
        """The guest is gone."""
        if self.hooks is not None:
            self.hooks.close()


class Mount:
    """A mounted file system. Until the hooks are there it has no id, as a superblock has none."""

    def __init__(self, kernel: FrontEnds, shared: uuid.UUID | None) -> None:
        self.shared = shared
        self.id: int | None = None
        self._kernel = kernel

    def _where(self) -> tuple[Hooks, int] | None:
        hooks, mount = self._kernel.hooks, self.id
        return None if hooks is None or mount is None else (hooks, mount)

    def remount(self) -> None:
        """ext4 calls init_fs again when it becomes writable; who has an id keeps it (F8)."""
        if self._kernel.hooks is not None and self.id is None:
            self.id = self._kernel.hooks.init_fs(self.shared)

    def umount(self) -> None:
        """Returns when the pool has been left; until then the mount has its id (S2)."""
        if where := self._where():
            where[0].invalidate_fs(where[1])
        self._kernel.forget(self)
        self.id = None

    def get_page(self, oid: Oid, index: int, into: WriteableBuffer) -> bool:
        """Whether `into` was filled."""
        where = self._where()
        return where is not None and where[0].get_page(where[1], oid, index, into)

    def read(self, oid: Oid, index: int) -> bytes | None:
        """The page, or None for a miss."""
        page = bytearray(PAGE_BYTES)
        return bytes(page) if self.get_page(oid, index, page) else None

    def put_page(self, oid: Oid, index: int, page: ReadableBuffer) -> None:
        """Offers a clean page."""
        if where := self._where():
            where[0].put_page(where[1], oid, index, page)

    def invalidate_page(self, oid: Oid, index: int) -> None:
        """This guest gets the page no more."""
        if where := self._where():
            where[0].invalidate_page(where[1], oid, index)

    def invalidate_inode(self, oid: Oid) -> None:
        """Nobody gets anything older of the object."""
        if where := self._where():
            where[0].invalidate_inode(where[1], oid)


class SwapArea:
    """A swap area. Like frontswap it knows itself which of its slots were stored."""

    def __init__(self, kernel: FrontEnds, number: int, pages: int) -> None:
        self.number = number
        self.pages = pages
        self._kernel = kernel
        self._stored: set[int] = set()

    def store(self, offset: int, page: ReadableBuffer) -> bool:
        """Whether the page need not be written to the disk."""
        hooks = self._kernel.hooks
        if hooks is None:
            return False
        self.invalidate_page(offset)
        if not hooks.store(self.number, offset, page):
            return False
        self._stored.add(offset)
        return True

    def load(self, offset: int) -> bytes | None:
        """The page, or None: it is on the disk. Waits for a broken channel (P). PagesLost."""
        hooks = self._kernel.hooks
        page = bytearray(PAGE_BYTES)
        if hooks is None or offset not in self._stored:
            return None
        if not hooks.load(self.number, offset, page):
            message = f"page {offset} of swap area {self.number} was stored and is not there"
            raise errors.PagesLost(message, errno=errno.EIO, index=offset)
        return bytes(page)

    def invalidate_page(self, offset: int) -> None:
        """The slot is free."""
        hooks = self._kernel.hooks
        if hooks is not None and offset in self._stored:
            hooks.invalidate_slot(self.number, offset)
            self._stored.remove(offset)

    def swapoff(self) -> dict[int, bytes]:
        """Brings all pages home; the area is gone."""
        home = {offset: page for offset in sorted(self._stored) if (page := self.load(offset))}
        for offset in home:
            self.invalidate_page(offset)
        if self._kernel.hooks is not None:
            self._kernel.hooks.area_gone(self.number)
        self._kernel.forget(self)
        return home
