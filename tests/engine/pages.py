# SPDX-License-Identifier: GPL-2.0-or-later
"""Page contents for the engine's tests: reproducible, and of a chosen size once compressed."""

from __future__ import annotations

import enum
import functools
import random
from typing import Final

from tests.engine.system import Oid

PAGE_BYTES: Final = 4096
INDEX_MAX: Final = 2**64 - 1
UNCHANGED: Final = b"\xa5" * PAGE_BYTES  # what a buffer holds that no get may have touched


class Kind(enum.Enum):
    """What a page compresses to; the value is the number of its bytes that do not compress."""

    SAME = 0
    TINY = 90
    SMALL = 700
    MEDIUM = 1700
    LARGE = 2900
    RANDOM = PAGE_BYTES


@functools.lru_cache(maxsize=4096)
def page(kind: Kind, serial: int) -> bytes:
    """The page of `kind` number `serial`: equal arguments give equal pages, others differ.

    Serial 0 of `Kind.SAME` is the page of zeros.
    """
    if kind is Kind.SAME:
        return serial.to_bytes(8, "little") * (PAGE_BYTES // 8)
    noise = random.Random(f"{kind.name} {serial}").randbytes(kind.value)
    return noise + bytes(PAGE_BYTES - kind.value)


def random_page(serial: int) -> bytes:
    """An incompressible page: it takes the largest size class whatever the encoding."""
    return page(Kind.RANDOM, serial)


def oid(number: int) -> Oid:
    """The oid whose first word is `number`."""
    return (number, 0, 0)


# Names that differ in one word only, or in its highest bit only: an index that drops or folds a
# word confuses some of them.
OIDS: Final[tuple[Oid, ...]] = (
    (0, 0, 0),
    (1, 0, 0),
    (0, 1, 0),
    (0, 0, 1),
    (2**63, 0, 0),
    (2**64 - 1, 2**64 - 1, 2**64 - 1),
)
INDICES: Final[tuple[int, ...]] = (0, 1, 2, 3, 64, 2**32, 2**63, INDEX_MAX)
