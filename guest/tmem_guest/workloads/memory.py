# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds anonymous memory whose contents a seed decides, and verifies them: what is swapped out must
come back."""

from __future__ import annotations

import mmap
import random
from dataclasses import dataclass
from typing import Final

from tmem_guest.workloads.errors import WorkloadError, WrongBytes

PAGE_BYTES: Final = 4096
_NUMBER_BYTES: Final = 8
# Different page bodies; each page has its number besides, so that no two are equal.
_BODIES: Final = 61


@dataclass(frozen=True)
class Figures:
    """What was written and verified."""

    written_bytes: int
    verified_bytes: int


class Memory:
    """So many bytes of memory, all touched. A context manager. WorkloadError if there are not."""

    def __init__(self, size_bytes: int, *, seed: int, compressible: float) -> None:
        self._pages = size_bytes // PAGE_BYTES
        self._seed = seed
        rng = random.Random(f"memory {seed}")
        zeros = int((PAGE_BYTES - _NUMBER_BYTES) * compressible)
        self._bodies = [
            rng.randbytes(PAGE_BYTES - _NUMBER_BYTES - zeros) + bytes(zeros) for _ in range(_BODIES)
        ]
        try:
            self._map = mmap.mmap(-1, self._pages * PAGE_BYTES, flags=mmap.MAP_PRIVATE)
        except OSError as error:
            raise WorkloadError(f"no {size_bytes} bytes of memory: {error.strerror}") from error
        for page in range(self._pages):
            offset = page * PAGE_BYTES
            self._map[offset : offset + PAGE_BYTES] = self._contents(page)
        self.figures = Figures(self._pages * PAGE_BYTES, 0)

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()

    def verify(self, pass_number: int) -> None:
        """Looks at every page once, in an order of this pass's own; WrongBytes."""
        pages = list(range(self._pages))
        random.Random(f"{self._seed} {pass_number}").shuffle(pages)
        for page in pages:
            offset = page * PAGE_BYTES
            if self._map[offset : offset + PAGE_BYTES] != self._contents(page):
                raise WrongBytes(f"page {page} of the memory is not what was written to it")
        self.figures = Figures(
            self.figures.written_bytes, self.figures.verified_bytes + self._pages * PAGE_BYTES
        )

    def _contents(self, page: int) -> bytes:
        return page.to_bytes(_NUMBER_BYTES, "little") + self._bodies[page % _BODIES]
