# SPDX-License-Identifier: GPL-2.0-or-later
"""The arms of an experiment: what guests get besides their RAM."""

from dataclasses import dataclass
from uuid import UUID

from tmem_host.provision.vm.settings import Compression, TmemSettings


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to run the same workload with the same seed.

    `tmem` says whether the guests' kernels hand pages to the host at all, `shares` whether guests
    may join the pool of a file system that they share, `dedup` whether equal pages of all guests
    are kept once.
    """

    name: str
    meaning: str
    tmem: bool
    shares: bool = False
    compression: Compression = Compression.NONE
    dedup: bool = False

    def settings(self, shared: UUID | None) -> TmemSettings:
        """Those of each guest, where `shared` is the file system that all of them mount."""
        joined = frozenset({shared}) if self.shares and shared is not None else frozenset()
        return TmemSettings(compression=self.compression, shared=joined)


_ALL = (
    Arm(name="none", meaning="guests without tmem", tmem=False),
    Arm(
        name="private",
        meaning="each guest for itself, its pages compressed",
        tmem=True,
        compression=Compression.LZ4,
    ),
    Arm(name="shared", meaning="one copy for all guests, as it is", tmem=True, shares=True),
    Arm(
        name="shared-compressed",
        meaning="one copy for all guests, compressed, equal pages kept once",
        tmem=True,
        shares=True,
        compression=Compression.LZ4,
        dedup=True,
    ),
    Arm(
        name="control",
        meaning="as shared, but nobody may join: saves nothing, or the measurement is wrong",
        tmem=True,
    ),
)
ARMS = {arm.name: arm for arm in _ALL}
