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
_LEVELS = {
    "expelled": logging.WARNING,
    "bad-input": logging.WARNING,
    "refused-peer": logging.WARNING,
    "pool-unserved": logging.WARNING,
    "lost": logging.WARNING,
    "pressure": logging.WARNING,
    "domain-refused": logging.WARNING,
    "libvirt-away": logging.WARNING,
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
        """Logs the event and tells it to every subscriber."""
        event = Event(next(self._numbers), time.time(), kind, client, text)
        self._events.append(event)
        logger.log(_LEVELS.get(kind, logging.INFO), "%s client=%s: %s", kind, client or "-", text)
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
