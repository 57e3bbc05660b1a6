# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened lately: for the log, for `tmem events`, and for whoever asks why."""

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

KEPT_EVENTS = 1000
# A subscriber that does not read loses events, and is told how many.
SUBSCRIBER_EVENTS = 1000

# How threads of the service report: kind, text, client.
Tell = Callable[[str, str, str | None], None]

logger = logging.getLogger("tmem.events")

# Every kind of event, whether it is a warning, and what it says; docs/control.md has this list.
KINDS: dict[str, tuple[bool, str]] = {
    "connected": (False, "a guest's channel was connected"),
    "disconnected": (False, "a guest's channel was closed"),
    "refused-peer": (True, "another process or user than expected was at the other end"),
    "session-started": (False, "a guest began a new epoch"),
    "session-resumed": (False, "a guest goes on with its session"),
    "session-ended": (False, "a session is over, and why"),
    "expelled": (True, "a guest did not answer for too long and is out of its shared pools"),
    "bad-input": (True, "a guest sent what it must not"),
    "pool-served": (False, "all members of a shared pool answer"),
    "pool-unserved": (True, "a shared pool waits for a member"),
    "lost": (True, "events were dropped before this one"),
    "client-added": (False, "an operator added a client"),
    "client-removed": (False, "an operator removed a client"),
    "client-lost": (False, "an operator declared a client's pages lost"),
    "trace": (False, "the recording of a trace began or ended"),
    "set": (False, "settings of a client were changed"),
    "flush": (False, "ephemeral pages of a client were evicted by an operator"),
    "auth-all": (False, "the right of every client to share was given or taken"),
    "shrink": (False, "an operator had memory given back"),
    "budget": (False, "an operator set the budget"),
    "pressure-watched": (False, "where the host's signs of pressure are read"),
    "pressure": (True, "the host needs memory, and the budget was lowered"),
    "pressure-over": (False, "the budget was raised again"),
    "reload": (False, "the configuration was read again"),
    "reload-failed": (True, "the configuration could not be taken over"),
    "refused-tool": (True, "a process that may not do so used the service's own sockets"),
    "channel-failed": (True, "a channel that was added earlier could not be opened"),
    "libvirt-there": (False, "the domains of a libvirt connection are followed"),
    "libvirt-away": (True, "libvirt does not answer"),
    "domain-started": (False, "a domain runs, its channels are connected to"),
    "domain-paused": (False, "a domain's guest stands still"),
    "domain-resumed": (False, "a domain's guest runs again"),
    "domain-set": (False, "a domain's settings were changed in libvirt"),
    "domain-ended": (False, "the sessions of a domain are over, and why"),
    "domain-refused": (True, "a domain's settings cannot be used"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `time` is seconds since the epoch."""

    number: int
    time: float
    kind: str
    client: str | None
    text: str

    def as_map(self) -> dict[str, Any]:
        return asdict(self)


class Journal:
    """The newest events, and who wants to hear of the next ones. For the event loop's thread."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._subscribers: set[Subscription] = set()

    def add(self, kind: str, text: str, client: str | None = None) -> None:
        """Logs the event, of a kind in KINDS, and tells it to every subscriber."""
        warning, _ = KINDS[kind]
        event = Event(next(self._numbers), time.time(), kind, client, text)
        self._events.append(event)
        level = logging.WARNING if warning else logging.INFO
        logger.log(level, "%s client=%s: %s", kind, client or "-", text)
        for subscription in self._subscribers:
            subscription.offer(event)

    def recent(self, count: int) -> list[Event]:
        """The newest `count` events, oldest first."""
        return list(self._events)[-count:] if count > 0 else []

    @contextmanager
    def subscribe(self) -> Iterator["Subscription"]:
        subscription = Subscription()
        self._subscribers.add(subscription)
        try:
            yield subscription
        finally:
            self._subscribers.discard(subscription)


class Subscription:
    """A bounded queue of events."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue(SUBSCRIBER_EVENTS)
        self.lost = 0

    def offer(self, event: Event) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.lost += 1

    async def next(self) -> Event:
        return await self._queue.get()
