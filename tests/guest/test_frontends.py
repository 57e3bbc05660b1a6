# SPDX-License-Identifier: GPL-2.0-or-later
"""The front ends of a guest in user space, against a real server: in every order of events."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.shim.conftest import PATIENT, Host
from tmem_guest.frontends import FrontEnds, Mount, SwapArea
from tmem_shim import errors
from tmem_shim.abi import PAGE_BYTES
from tmem_shim.hooks import AREAS, COUNTER_MEANINGS, Hooks, PoolState
from tmem_shim.shim import Shim

OID = (1, 2, 3)
UUID = uuid.UUID("6d6f756e-7465-4d74-a865-6d7465737400")
EVENTS = ("hooks", "mount", "swapon", "transport", "service")


def await_true(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.001)


class Guest:
    """A guest to which the events of an order happen."""

    def __init__(self, arena: Path, stack: ExitStack) -> None:
        self.kernel = FrontEnds()
        self.host = Host(arena, stack)
        self.shims: list[Shim] = []
        self._stack = stack
        stack.callback(self.kernel.close)

    def hooks(self) -> None:
        self.kernel.load_hooks()
        for shim in self.shims:
            # a transport that was there before has been waiting for them
            self.kernel.attach(shim)

    def mount(self) -> None:
        self.private = self.kernel.mount()
        self.shared = self.kernel.mount(UUID)
        self.private.remount()
        for mount in (self.private, self.shared):
            mount.put_page(OID, 9, bytes(PAGE_BYTES))
            assert mount.read(OID, 9) is None or self.complete()

    def swapon(self) -> None:
        self.area = self.kernel.swapon(0, 64)

    def transport(self) -> None:
        shim = Shim(self.host.arena.with_name("socket-guest"), config=PATIENT)
        self._stack.callback(shim.close, orderly=False)
        self.shims.append(shim)
        if self.kernel.hooks is not None:
            self.kernel.attach(shim)

    def service(self) -> None:
        self.host.start(workers=1)
        self.host.socket()

    def complete(self) -> bool:
        return bool(self.shims) and self.kernel.hooks is not None and hasattr(self.host, "server")

    def pools(self) -> int:
        with self.host.engine.find_client("guest") as client:
            return len(client.pools())

    def ready(self) -> None:
        """Waits until the host has made all pools."""
        assert self.kernel.hooks is not None
        self.shims[-1].wait(60)
        for info in self.kernel.hooks.mounts():
            assert info.state is PoolState.OPEN
            assert info.pool is not None
            self.shims[-1].pool(info.pool).wait_ready(60)


@pytest.fixture
def guest(arena_path: Path) -> Iterator[Guest]:
    with ExitStack() as stack:
        yield Guest(arena_path, stack)


@pytest.fixture
def whole(guest: Guest) -> Guest:
    """One to which everything has happened."""
    for event in ("service", "hooks", "transport", "mount", "swapon"):
        getattr(guest, event)()
    guest.ready()
    return guest


def works(mount: Mount, index: int) -> None:
    page = os.urandom(PAGE_BYTES)
    mount.put_page(OID, index, page)
    assert mount.read(OID, index) == page
    mount.invalidate_page(OID, index)
    assert mount.read(OID, index) is None
    mount.put_page(OID, index, page)
    mount.invalidate_inode(OID)
    assert mount.read(OID, index) is None


def stores(area: SwapArea, offset: int) -> bytes:
    page = os.urandom(PAGE_BYTES)
    await_true(lambda: area.store(offset, page))
    assert area.load(offset) == page
    return page


@pytest.mark.parametrize("order", list(itertools.permutations(EVENTS)), ids=" ".join)
def test_every_order(guest: Guest, order: tuple[str, ...]) -> None:
    """However it came about, everything works; and it comes apart again."""
    for event in order:
        getattr(guest, event)()
    guest.ready()
    kernel = guest.kernel
    works(guest.private, 1)
    works(guest.shared, 1)
    page = stores(guest.area, 5)
    assert guest.pools() == 3  # of the two mounts, and of swap
    with pytest.raises(errors.PagesHeld) as held:
        kernel.detach()
    assert held.value.pages == 1
    assert guest.area.swapoff() == {5: page}
    kernel.detach()

    # mounts stay, with nothing behind them, until a backend comes and makes new pools
    guest.private.put_page(OID, 1, page)
    assert guest.private.read(OID, 1) is None
    kernel.attach(guest.shims[0])
    guest.ready()
    assert guest.private.read(OID, 1) is None
    works(guest.private, 1)
    works(guest.shared, 1)
    guest.private.umount()
    guest.shared.umount()
    guest.shims[0].stat()  # answered after what was destroyed
    assert guest.pools() == 1
    kernel.detach()


def test_ids_are_never_used_again(whole: Guest) -> None:
    seen = {whole.private.id, whole.shared.id}
    for _ in range(50):
        mount = whole.kernel.mount()
        assert mount.id not in seen
        seen.add(mount.id)
        mount.umount()


def test_a_second_backend_is_refused(whole: Guest) -> None:
    assert whole.kernel.hooks is not None
    second = whole.host.shim("second")
    with pytest.raises(errors.BackendBusy) as busy:
        whole.kernel.attach(second)
    assert busy.value.errno == errno.EBUSY
    works(whole.private, 1)
    whole.kernel.detach()
    with pytest.raises(errors.NotAttached):
        whole.kernel.detach()
    whole.kernel.attach(second)
    second.close()  # waits for nobody: what is attached is not in a call
    whole.kernel.detach()


def test_what_went_before_the_hooks_came_is_not_told_to_them(guest: Guest) -> None:
    mount, area = guest.kernel.mount(UUID), guest.kernel.swapon(3, 64)
    guest.mount()
    mount.umount()
    area.swapoff()
    guest.hooks()
    assert guest.kernel.hooks is not None
    assert len(guest.kernel.hooks.mounts()) == 2
    assert guest.kernel.swapon(3, 32).pages == 32


def test_a_store_that_is_refused_leaves_nothing_older(whole: Guest) -> None:
    stores(whole.area, 5)
    with whole.host.engine.find_client("guest") as client:
        client.set(frozen=True)
        assert not whole.area.store(5, bytes(PAGE_BYTES))
    assert whole.area.load(5) is None


def test_without_hooks_there_is_no_backend(guest: Guest) -> None:
    guest.service()
    with pytest.raises(errors.NoHooks):
        guest.kernel.attach(guest.host.shim())
    with pytest.raises(errors.NoHooks):
        guest.kernel.detach()
    guest.hooks()
    with pytest.raises(errors.ShimError, match="are loaded"):
        guest.kernel.load_hooks()


def test_what_cannot_be_recorded(guest: Guest) -> None:
    hooks = Hooks()
    with pytest.raises(errors.BadMount) as caught:
        hooks.init_fs(page_bytes=65536)
    assert caught.value.errno == errno.EOPNOTSUPP
    for area, pages in ((AREAS, 1), (0, 0)):
        with pytest.raises(errors.BadSwapArea):
            hooks.area_init(area, pages)
    assert list(hooks.counters()) == list(COUNTER_MEANINGS)
    assert hooks.counters()["mounts_page_size"] == 1
    hooks.close()
    hooks.close()
    with pytest.raises(errors.ClosedError):
        hooks.init_fs()
    guest.swapon()
    with pytest.raises(errors.BadSwapArea, match="is there"):
        guest.swapon()


def test_a_shared_pool_is_shared(whole: Guest) -> None:
    """Pages that one guest puts another gets, until either leaves."""
    other = FrontEnds()
    other.load_hooks()
    shim = whole.host.shim("other")
    other.attach(shim)
    mount = other.mount(UUID)
    assert other.hooks is not None
    [info] = other.hooks.mounts()
    assert info.pool is not None
    shim.pool(info.pool).wait_ready(60)
    page = os.urandom(PAGE_BYTES)

    def seen() -> bool:
        # the host serves a shared pool once both have answered for it
        whole.shared.put_page(OID, 1, page)
        whole.shims[0].stat()
        return mount.read(OID, 1) == page

    await_true(seen)
    whole.kernel.detach()  # leaves, which empties it for everyone (S2)
    assert mount.read(OID, 1) is None
    [private, shared] = whole.kernel.hooks.mounts() if whole.kernel.hooks else []
    assert (private.was_member, shared.was_member) == (False, True)
    other.close()


def test_mounts_come_and_go_while_the_backend_does(whole: Guest) -> None:
    """In threads; no page is wrong, and no pool is left."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def mounts() -> None:
        try:
            while not stop.is_set():
                mount = whole.kernel.mount()
                for version in range(5):
                    page = version.to_bytes(2, "big") * (PAGE_BYTES // 2)
                    mount.invalidate_page(OID, 1)
                    mount.put_page(OID, 1, page)
                    assert mount.read(OID, 1) in (None, page)
                mount.umount()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=mounts) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        whole.kernel.detach()
        whole.kernel.attach(whole.shims[0])
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    whole.kernel.detach()
    # one that the host was still being asked for goes when it has answered
    await_true(lambda: whole.pools() == 1)
    assert whole.kernel.hooks is not None
    assert whole.kernel.hooks.counters()["detached"] == 51
