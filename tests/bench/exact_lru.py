# SPDX-License-Identifier: GPL-2.0-or-later
"""What the driver's lru group plays to its exact LRU, said a second time: c/bench/lru.c, data.c."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate

_MASK = (1 << 64) - 1


def random_numbers(state: int) -> Iterator[int]:
    """xorshift64*."""
    while True:
        state ^= state >> 12
        state = (state ^ state << 25) & _MASK
        state ^= state >> 27
        yield state * 0x2545F4914F6CDD1D & _MASK


def shuffled(numbers: Sequence[int]) -> list[int]:
    """In the driver's order."""
    result = list(numbers)
    random = random_numbers(1)
    for left in range(len(result), 1, -1):
        other = (next(random) >> 16) % (1 << 32) % left
        result[left - 1], result[other] = result[other], result[left - 1]
    return result


def trace(pages: Sequence[int], accesses: int) -> Iterator[int]:
    """Pages drawn with probabilities as one over their rank."""
    by_rank = shuffled(pages)
    cumulated = list(accumulate(1.0 / rank for rank in range(1, len(by_rank) + 1)))
    random = random_numbers(42)
    for _ in range(accesses):
        wanted = (next(random) >> 11) * 2.0**-53 * cumulated[-1]
        yield by_rank[min(bisect_right(cumulated, wanted), len(by_rank) - 1)]


def hit_ratio(pages: Sequence[int], capacity_pages: int, accesses: int) -> float:
    """Of exact LRU, over the second half of the accesses."""
    cache: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for number, page in enumerate(trace(pages, accesses)):
        if page in cache:
            cache.move_to_end(page)
            hits += number >= accesses // 2
        else:
            if len(cache) == capacity_pages:
                cache.popitem(last=False)
            cache[page] = None
    return hits / (accesses - accesses // 2)
