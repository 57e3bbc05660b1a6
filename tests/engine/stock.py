# SPDX-License-Identifier: GPL-2.0-or-later
"""What a `MemorySystem` has stored: an LRU list that keeps its sums."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, MutableMapping

from tests.engine.system import Oid

HandleKey = tuple[int, Oid, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A page, and who pays for it."""

    page: bytes
    cost: int
    putter: str
    owner: str
    persistent: bool


class Stock(MutableMapping[HandleKey, Stored]):
    """By handle, oldest first. The first part of a key is the pool, the first two are the
    object."""

    def __init__(self) -> None:
        self._entries: collections.OrderedDict[HandleKey, Stored] = collections.OrderedDict()
        # what is ephemeral, oldest first too: of each owner, and of all
        self._ephemeral: dict[str | None, collections.OrderedDict[HandleKey, None]] = (
            collections.defaultdict(collections.OrderedDict)
        )
        self._of_pool: dict[int, dict[HandleKey, None]] = {}
        self._bytes_of_pool: collections.Counter[int] = collections.Counter()
        self._of_object: collections.Counter[tuple[int, Oid]] = collections.Counter()
        self._of_contents: collections.Counter[bytes] = collections.Counter()
        # by owner and whether they are persistent
        self._bytes: collections.Counter[tuple[str, bool]] = collections.Counter()
        self._pages: collections.Counter[tuple[str, bool]] = collections.Counter()
        self.used_bytes = 0

    # ---- a mapping -----------------------------------------------------------------------

    def __getitem__(self, key: HandleKey) -> Stored:
        return self._entries[key]

    def __setitem__(self, key: HandleKey, stored: Stored) -> None:
        if key in self._entries:
            del self[key]
        self._entries[key] = stored
        self._of_pool.setdefault(key[0], {})[key] = None
        if not stored.persistent:
            for owner in (stored.owner, None):
                self._ephemeral[owner][key] = None
        self._add(key, stored, 1)

    def __delitem__(self, key: HandleKey) -> None:
        stored = self._entries.pop(key)
        del self._of_pool[key[0]][key]
        if not stored.persistent:
            for owner in (stored.owner, None):
                del self._ephemeral[owner][key]
        self._add(key, stored, -1)

    def _add(self, key: HandleKey, stored: Stored, number: int) -> None:
        kind = (stored.owner, stored.persistent)
        self._bytes[kind] += number * stored.cost
        self._pages[kind] += number
        self._bytes_of_pool[key[0]] += number * stored.cost
        self.used_bytes += number * stored.cost
        for counter, name in ((self._of_object, key[:2]), (self._of_contents, stored.page)):
            counter[name] += number  # type: ignore[index]
            if not counter[name]:  # type: ignore[index]
                del counter[name]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[HandleKey]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    # ---- what is in it -------------------------------------------------------------------

    def use(self, key: HandleKey) -> None:
        """Makes it the newest."""
        self._entries.move_to_end(key)
        if not self._entries[key].persistent:
            for owner in (self._entries[key].owner, None):
                self._ephemeral[owner].move_to_end(key)

    def oldest_ephemeral(self, owner: str | None = None) -> HandleKey | None:
        """Of what `owner` pays for, or of all; None if there is none."""
        return next(iter(self._ephemeral[owner]), None)

    def of_pool(self, pool: int) -> list[HandleKey]:
        """The handles of a pool."""
        return list(self._of_pool.get(pool, ()))

    def pages_of_pool(self, pool: int) -> int:
        """How many these are."""
        return len(self._of_pool.get(pool, ()))

    def bytes_of_pool(self, pool: int) -> int:
        """What they cost."""
        return self._bytes_of_pool[pool]

    def has(self, page: bytes) -> bool:
        """Whether some handle has these contents."""
        return page in self._of_contents

    @property
    def objects(self) -> int:
        """How many objects have pages."""
        return len(self._of_object)

    def charged_bytes(self, owner: str, persistent: bool | None = None) -> int:
        """What `owner` pays for, of both kinds or of one."""
        kinds = (False, True) if persistent is None else (persistent,)
        return sum(self._bytes[owner, kind] for kind in kinds)

    def charged_pages(self, owner: str, persistent: bool) -> int:
        """The same in pages."""
        return self._pages[owner, persistent]

    @property
    def persistent(self) -> tuple[int, int]:
        """Pages that must not be evicted, and their bytes."""
        pages, bytes_ = (
            sum(number for (_, persistent), number in counter.items() if persistent)
            for counter in (self._pages, self._bytes)
        )
        return pages, bytes_
