# SPDX-License-Identifier: GPL-2.0-or-later
"""What clients do how often, on which files."""

from dataclasses import dataclass, field

OPERATIONS = {
    "read": 50,
    "buffered": 12,
    "mmap": 6,
    "direct": 5,
    "append": 6,
    "truncate": 4,
    "punch": 4,
    "remake": 4,  # unlink and make anew: the inode is used again
    "unlink": 2,
    "rename": 3,
    "reflink": 3,
    "evict": 4,
    "drop": 1,
}


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A load. `clients` are on each node; files of `small` have up to `small_blocks`.

    What is only read for a while is what a shared pool serves, so most names are `quiet` at a
    time: they are written with `quiet_write` of the probability of others.
    """

    clients: int = 4
    small: int = 60
    small_blocks: int = 6
    large_blocks: int = 4096
    large_read_blocks: int = 24
    quiet: float = 0.75
    quiet_write: float = 0.04
    operations: dict[str, int] = field(default_factory=lambda: dict(OPERATIONS))

    def paths(self) -> dict[str, int]:
        """All names, and how many blocks a file of each may have."""
        small = {f"d{n % 4}/s{n:03}": self.small_blocks for n in range(self.small)}
        return {"large": self.large_blocks} | small
