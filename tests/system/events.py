# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for what happens to shims."""

from __future__ import annotations

from tmem_shim.abi import Event
from tmem_shim.records import EventRecord
from tmem_shim.shim import Shim

TIMEOUT_S = 120.0


def forget_events(shim: Shim) -> None:
    """Takes all events that there are."""
    while shim.next_event() is not None:
        pass


def await_event(shim: Shim, event: Event) -> EventRecord:
    """The next `event`; those before it are taken, too."""
    while True:
        record = shim.next_event(TIMEOUT_S)
        assert record is not None, f"{event.name} does not happen"
        if record.event is event:
            return record
