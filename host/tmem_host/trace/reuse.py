# SPDX-License-Identifier: GPL-2.0-or-later
"""Reuse distances: how many other pages were used between two uses of the same one."""

from collections import Counter
from collections.abc import Hashable


class Distances:
    """Counts them by powers of two, in memory that grows with the pages, not with the uses.

    A Fenwick tree over the times of each page's newest use; when it is full, those times are
    numbered anew.
    """

    def __init__(self, room: int = 1024) -> None:
        self.by_power: Counter[int] = Counter()  # n: distances below 2^n, at least 2^(n-1)
        self.first_uses = 0
        self._newest: dict[Hashable, int] = {}
        self._tree = [0] * (room + 1)
        self._now = 0

    def use(self, page: Hashable) -> int | None:
        """The distance to the use before; None if it is the first."""
        if self._now + 1 == len(self._tree):
            self._renumber()
        before = self._newest.pop(page, 0)
        distance = None
        if before:
            distance = len(self._newest) + 1 - self._sum(before)
            self._add(before, -1)
            self.by_power[distance.bit_length()] += 1
        else:
            self.first_uses += 1
        self._now += 1
        self._newest[page] = self._now
        self._add(self._now, 1)
        return distance

    def quantile(self, share: float) -> int | None:
        """A bound that this share of the distances is below; None when there are none."""
        wanted = share * self.by_power.total()
        seen = 0
        for power in sorted(self.by_power):
            seen += self.by_power[power]
            if seen >= wanted:
                return int(2**power)
        return None

    def _renumber(self) -> None:
        # the newest uses are kept in their order: each is put at the end
        count = len(self._newest)
        self._tree = [0] * (2 * max(count, len(self._tree) // 2) + 2)
        self._newest = {page: time for time, page in enumerate(self._newest, start=1)}
        self._now = count
        for time in range(1, count + 1):
            self._add(time, 1)

    def _sum(self, time: int) -> int:
        total = 0
        while time:
            total += self._tree[time]
            time &= time - 1
        return total

    def _add(self, time: int, number: int) -> None:
        while time < len(self._tree):
            self._tree[time] += number
            time += time & -time
