# SPDX-License-Identifier: GPL-2.0-or-later
"""Users of tmem that know what they may be answered, and stop at the first wrong answer."""

from __future__ import annotations

import abc
import dataclasses
import random
import struct
import threading
from collections.abc import Callable
from uuid import UUID

from tmem_shim.abi import PAGE_BYTES, Oid
from tmem_shim.frontends import Cleancache, SwapArea
from tmem_shim.shim import Shim

SLOTS = 96
OBJECTS = 12
PAGES_PER_OBJECT = 8


def contents(owner: int, place: int, version: int) -> bytes:
    """The page that is `version` of what `owner` keeps at `place`."""
    return struct.pack("<QII", version, place, owner) * (PAGE_BYTES // 16)


class User(threading.Thread, abc.ABC):
    """Takes steps until it is told to stop, or one of them fails."""

    def __init__(self, name: str, shim: Shim, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.shim = shim
        self.random = random.Random(seed)
        self.seed = seed
        self.steps = 0
        self.failure: BaseException | None = None
        self.page = bytearray(PAGE_BYTES)
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.step()
                self.steps += 1
        except BaseException as error:
            self.failure = error

    @abc.abstractmethod
    def step(self) -> None:
        """Does one thing, and compares what it is answered with what it may be."""

    def stop(self) -> None:
        """Returns once it has stopped."""
        self._stopping.set()
        self.join()

    def check(self) -> None:
        """Raises what made it fail."""
        if self.failure is not None:
            raise AssertionError(f"{self.name}: {self.failure!r}") from self.failure


class Keeper(User):
    """Puts, gets and flushes pages of a persistent pool."""

    def __init__(self, name: str, shim: Shim, seed: int) -> None:
        super().__init__(name, shim, seed)
        self.pool = shim.new_pool(persistent=True)
        self.pool.wait_ready(60)
        self.kept: dict[int, int] = {}  # versions of acknowledged pages by slot
        self.version = 0
        self.refused = 0

    def step(self) -> None:
        slot = self.random.randrange(SLOTS)
        oid, index = (slot // 16, 0, 0), slot % 16
        match self.random.choice(("put", "put", "get", "get", "flush")):
            case "put":
                self.version += 1
                self.kept.pop(slot, None)
                if self.pool.put(oid, index, contents(self.seed, slot, self.version)):
                    self.kept[slot] = self.version
                else:
                    self.refused += 1
            case "get":
                self.look(slot, oid, index)
            case "flush":
                self.kept.pop(slot, None)
                self.pool.flush_page(oid, index, wait=self.random.random() < 0.5)

    def look(self, slot: int, oid: Oid, index: int) -> None:
        """An acknowledged page is there, unchanged; no other one is."""
        hit = self.pool.get(oid, index, self.page)
        version = self.kept.get(slot)
        assert hit == (version is not None), f"slot {slot}: hit {hit}, version {version} kept"
        if version is not None:
            assert self.page == contents(self.seed, slot, version), f"slot {slot} changed"

    def look_at_all(self) -> None:
        for slot in range(SLOTS):
            self.look(slot, (slot // 16, 0, 0), slot % 16)


class Swapper(User):
    """Stores, loads and invalidates slots of a swap area."""

    def __init__(self, name: str, shim: Shim, seed: int) -> None:
        super().__init__(name, shim, seed)
        self.area = SwapArea(shim, 0, SLOTS)
        while not self.area.store(0, contents(seed, 0, 0)):
            pass  # until the host has made the pool
        self.kept: dict[int, int] = {}
        self.version = 0

    def step(self) -> None:
        slot = self.random.randrange(SLOTS)
        match self.random.choice(("store", "store", "load", "load", "invalidate")):
            case "store":
                self.version += 1
                self.kept.pop(slot, None)
                if self.area.store(slot, contents(self.seed, slot, self.version)):
                    self.kept[slot] = self.version
            case "load" if slot in self.kept:
                self.look(slot)
            case "invalidate":
                self.kept.pop(slot, None)
                self.area.invalidate_page(slot)

    def look(self, slot: int) -> None:
        self.area.load(slot, self.page)
        assert self.page == contents(self.seed, slot, self.kept[slot]), f"slot {slot} changed"

    def look_at_all(self) -> None:
        for slot in self.kept:
            self.look(slot)


class File:
    """An object of the shared file system: its disk, and who holds which lock of it."""

    def __init__(self, number: int) -> None:
        self.oid: Oid = (number, 0, 0)
        self.disk = [0] * PAGES_PER_OBJECT  # versions
        self.modes: dict[Node, str] = {}  # "PR" or "EX"; cached until somebody else wants more
        self.mutex = threading.Lock()


@dataclasses.dataclass
class Cluster:
    """A file system that several nodes mount, and its locks."""

    uuid: UUID
    files: list[File] = dataclasses.field(
        default_factory=lambda: [File(number) for number in range(OBJECTS)]
    )


class Node(User):
    """A node with the file system mounted: reads and writes files under cluster locks, through a
    shared pool. It keeps no page in a cache of its own, so every read asks the pool first."""

    def __init__(self, name: str, shim: Shim, seed: int, cluster: Cluster) -> None:
        super().__init__(name, shim, seed)
        self.cluster = cluster
        self.cache = Cleancache(shim, cluster.uuid)
        self.cache.pool.wait_ready(60)
        self.hits = 0

    def step(self) -> None:
        file = self.random.choice(self.cluster.files)
        place = self.random.randrange(PAGES_PER_OBJECT)
        with file.mutex:
            if self.random.random() < 0.15:
                self.lock(file, "EX")
                self.write(file, place)
            else:
                self.lock(file, "PR")
                self.read(file, place)

    def lock(self, file: File, mode: str) -> None:
        """Has the others let go of what stands in the way. As ocfs2 does (with its cure S1), they
        empty the pool of what they put there before they do."""
        if file.modes.get(self) in (mode, "EX"):
            return
        for other in [node for node in file.modes if node is not self]:
            if mode == "EX" or file.modes[other] == "EX":
                other.cache.invalidate_inode(file.oid)
                file.modes[other] = "PR"
                if mode == "EX":
                    del file.modes[other]
        file.modes[self] = mode

    def write(self, file: File, place: int) -> None:
        self.cache.invalidate_page(file.oid, place)
        file.disk[place] += 1

    def read(self, file: File, place: int) -> None:
        version = file.disk[place]
        right = contents(file.oid[0], place, version)
        if self.cache.get_page(file.oid, place, self.page):
            self.hits += 1
            assert self.page == right, f"a stale page of {file.oid}, {place}: not {version}"
        # Read from disk or pool, it is soon evicted from the page cache.
        self.cache.put_page(file.oid, place, right)


def wait_for_steps(users: list[User], steps: int, wait: Callable[[], None]) -> None:
    """Until each has taken so many more; fails when one of them has failed."""
    goals = {user: user.steps + steps for user in users}
    while any(user.steps < goal for user, goal in goals.items()):
        for user in users:
            user.check()
        wait()
