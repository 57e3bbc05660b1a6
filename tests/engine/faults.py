# SPDX-License-Identifier: GPL-2.0-or-later
"""What a `MemorySystem` can be told to do wrong."""

from __future__ import annotations

from typing import Final

# Fault: what a system with it does wrong.
FAULTS: Final = {
    "stale after refusal": "a refused put leaves the older page readable (B2, B3)",
    "old page after replacement": "a put over a page answers success and keeps the old one",
    "inclusive get": "a hit on a private ephemeral pool keeps the page",
    "exclusive shared get": "a hit on a shared pool removes the page: allowed, never stale",
    "forgetful flush": "flush_page does nothing",
    "object flush of a page": "flush_object removes the first page only",
    "range off by one": "flush_range leaves the last page",
    "folded oid": "objects are told apart by the sum of their words",
    "index of 32 bits": "pages are told apart by the low half of their index",
    "evicts persistent": "pages of persistent pools are evicted too",
    "joins anybody": "a shared join needs no authorisation",
    "keeps after leave": "leaving a shared pool does not empty it",
    "keeps the owner": "a pool stays charged to a client that left it",
    "serves at once": "shared pools are served after reopening before members resumed",
    "ignores freeze": "a frozen client may put new pages",
    "freeze refuses all": "a frozen client may not replace pages either",
    "ignores cap": "caps are stored and printed, never enforced",
    "ignores quota": "quotas are stored and printed, never enforced",
    "wrong refusal": "a failed duplicate put answers -ENOMEM",
    "loses settings": "reopening thaws every client",
    "loses a page": "reopening loses one persistent page",
    "uncounted refusal": "puts refused for want of room are not counted",
    "reuses ids": "a pool id is used again as soon as its pool is gone",
    "foreign pools": "a pool id of another client's works",
}
