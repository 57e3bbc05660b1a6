# SPDX-License-Identifier: GPL-2.0-or-later
"""What all runs of a state machine saw together, to tell a thorough run from an idle one."""

from __future__ import annotations

import collections
from collections.abc import Mapping

# Counters of the engine that must have moved, and events that the machine itself notices.
COUNTERS = (
    "puts_stored",
    "puts_replaced",
    "refused_frozen",
    "refused_cap",
    "refused_quota",
    "refused_full",
    "refused_unserved",
    "refused_admission",
    "gets_hit",
    "gets_missed",
    "gets_unserved",
    "gets_empty",
    "hits_other",
    "dup_puts_flushed",
    "page_flushes_found",
    "object_flushes_found",
    "range_flushes_found",
    "pool_flushes_found",
    "evicted",
    "encoded_same",
    "encoded_raw",
    "encoded_lz4",
    "encoded_zstd",
    "deduplicated",
)
EVENTS = (
    "class change",
    "hash resize",
    "owner hand-over",
    "reopen",
    "reopen with pages",
    "crash",
    "shared pool unserved",
    "shared join downgraded",
    "pages moved",
    "memory returned",
    "foreign pool refused",
)
# Happens only where something lies between the clients and the engine.
CHANNEL_EVENTS = ("reconnect",)
# Needs a file system of limited size, which only root can mount.
SQUEEZED_COUNTERS = ("refused_host",)


class Coverage:
    """Sums over all examples of one test."""

    def __init__(self) -> None:
        self.seen: collections.Counter[str] = collections.Counter()

    def count(self, event: str) -> None:
        """Notes that `event` happened once more."""
        if event not in EVENTS + CHANNEL_EVENTS:
            raise ValueError(f"not an event: {event}")
        self.seen[event] += 1

    def add(self, counters: Mapping[str, int]) -> None:
        """Adds the counters of a system that is about to be closed."""
        self.seen.update(counters)

    def missing(self, wanted: tuple[str, ...]) -> list[str]:
        """Those of `wanted` that never happened."""
        return [name for name in wanted if not self.seen[name]]
